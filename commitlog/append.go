package commitlog

import (
	"context"
	"fmt"
)

// Append adds the payloads, all in one batch with consecutive offsets, and returns the first offset
// when they are on stable storage. The payloads are copied before it waits.
//
// ctx ends the wait, not the write: after the error of ctx the outcome is unknown. Any other error
// means that the records were not acknowledged: ErrTooLarge and ErrClosed that they were not written,
// ErrPoisoned that the next Open may find them or not. Without payloads it does nothing.
func (l *Log) Append(ctx context.Context, payloads ...[]byte) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b, first, err := l.join(ctx, payloads, true)
	if err == nil {
		err = Pending{First: first, batch: b}.Wait(ctx)
	}
	if err != nil {
		return 0, err
	}
	return first, nil
}

// AppendLazy adds the payloads in order but does not wait for the disk: they become durable with the
// next commit, at the latest after LazyDelay. A power cut before that loses them, and so does a
// failure, which only Err tells. It waits only while a full batch waits for the disk.
func (l *Log) AppendLazy(payloads ...[]byte) (first uint64, err error) {
	_, first, err = l.join(context.Background(), payloads, false)
	return first, err
}

// join copies the payloads into the filling batch.
func (l *Log) join(ctx context.Context, payloads [][]byte, waits bool) (*batch, uint64, error) {
	n, err := l.measure(payloads)
	if err != nil {
		return nil, 0, err
	}
	l.mu.Lock()
	for {
		if l.failed != nil || l.closing {
			err := l.failed
			l.mu.Unlock()
			return nil, 0, cmpErr(err, ErrClosed)
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
	fresh := b.count == 0
	b.add(payloads, n)
	rouse := false
	if waits {
		b.waiters++
		rouse = b.waiters == 1
		l.waiting.Store(int32(b.waiters))
	} else if fresh {
		l.lazy.Reset(l.opts.LazyDelay)
	}
	l.mu.Unlock()
	if rouse {
		l.rouse()
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
	l.lazyDue = true // lazy records alone fill it: do not wait for the timer
	l.mu.Unlock()
	l.rouse()
	select {
	case <-taken:
		l.mu.Lock()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rouse makes sure that the committer looks again.
func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
