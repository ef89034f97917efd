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

// join copies the payloads into the filling batch.
func (l *Log) join(ctx context.Context, payloads [][]byte) (*batch, uint64, error) {
	n, err := l.measure(payloads)
	if err != nil {
		return nil, 0, err
	}
	l.mu.Lock()
	for {
		if l.failed != nil || l.refusing != nil || l.closing {
			err := cmp.Or(l.failed, l.refusing, ErrClosed)
			l.mu.Unlock()
			return nil, 0, err
		}
		if l.filling.room(n, l.opts.BatchBytes) {
			break
		}
		if err := l.awaitRoom(ctx); err != nil {
			return nil, 0, err
		}
	}
	b := l.filling
	first := b.end()
	if len(payloads) == 0 {
		l.mu.Unlock()
		return nil, first, nil
	}
	b.add(payloads, n)
	b.waiters++
	startsBatch := b.waiters == 1
	l.waiting.Store(int32(b.waiters))
	l.mu.Unlock()
	if startsBatch {
		l.committer.wake()
	}
	return b, first, nil
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

// awaitRoom waits until the filling batch is on its way. Called and, unless it fails, returns with mu
// locked.
func (l *Log) awaitRoom(ctx context.Context) error {
	b := l.filling
	if b.taken == nil {
		b.taken = make(chan struct{})
	}
	taken := b.taken
	l.mu.Unlock()
	select {
	case <-taken:
		l.mu.Lock()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
