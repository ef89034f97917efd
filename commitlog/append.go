package commitlog

import (
	"cmp"
	"context"
	"fmt"
)

// Append adds the payloads, all in one batch with consecutive offsets, and returns the first offset
// when they are on stable storage. The payloads are copied before it waits.
//
// ctx ends the wait, not the write: after the error of ctx the outcome is unknown. Any other error
// means that the records were not acknowledged: ErrTooLarge, ErrNotPrepared and ErrClosed that they were not written,
// ErrPoisoned that the next Open may find them or not. Without payloads it does nothing.
func (l *Log) Append(ctx context.Context, payloads ...[]byte) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b, first, err := l.join(ctx, payloads)
	if err == nil {
		err = Pending{First: first, batch: b}.Wait(ctx)
	}
	if err != nil {
		return 0, err
	}
	return first, nil
}

// join copies the payloads into the filling batch, and waits while that has no room.
func (l *Log) join(ctx context.Context, payloads [][]byte) (*batch, uint64, error) {
	n, err := l.measure(payloads)
	if err != nil {
		return nil, 0, err
	}
	for {
		b, first, full, err := l.tryJoin(payloads, n)
		if full == nil {
			return b, first, err
		}
		select {
		case <-full:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// tryJoin copies payloads, which take n bytes, into the filling batch. If that has no room it returns a channel that is
// closed when the batch is on its way.
func (l *Log) tryJoin(payloads [][]byte, n int) (b *batch, first uint64, full <-chan struct{}, err error) {
	l.mu.Lock()
	if l.failed != nil || l.refusing != nil || l.closing {
		err := cmp.Or(l.failed, l.refusing, ErrClosed)
		l.mu.Unlock()
		return nil, 0, nil, err
	}
	b = l.filling
	if !b.room(n, l.opts.BatchBytes) {
		if b.taken == nil {
			b.taken = make(chan struct{})
		}
		full = b.taken
		l.mu.Unlock()
		return nil, 0, full, nil
	}
	first = b.end()
	if len(payloads) == 0 {
		l.mu.Unlock()
		return nil, first, nil, nil
	}
	b.add(payloads, n)
	b.waiters++
	startsBatch := b.waiters == 1
	starts := startsBatch && l.startCommitter()
	l.waiting.Store(int32(b.waiters))
	l.mu.Unlock()
	if startsBatch {
		l.runOrWake(starts)
	}
	return b, first, nil, nil
}

// measure returns the bytes that the payloads take in a batch.
func (l *Log) measure(payloads [][]byte) (int, error) {
	n := 0
	for _, p := range payloads {
		if len(p) > l.opts.MaxRecordBytes {
			return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(p), l.opts.MaxRecordBytes)
		}
		n += recordOverhead + len(p)
		if limit := l.opts.batchLimit(); n > limit {
			return 0, fmt.Errorf("%w: %d records together take more than %d bytes", ErrTooLarge, len(payloads), limit)
		}
	}
	return n, nil
}

// A wakeup wakes the one goroutine that receives from it, now or when it comes to receive.
type wakeup chan struct{}

func newWakeup() wakeup { return make(wakeup, 1) }

func (w wakeup) wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}
