package commitlog

import (
	"context"
	"errors"
)

// discards counts the batches that were given up because there was no room for them. Their offsets are
// handed out again, so whoever waits for such an offset must not take the record that comes there for his own.
type discards struct {
	count uint64
	from  uint64 // first offset of the last one
	err   error  // its cause
}

// discard fails a batch that was taken, of which nothing is on the disk, and the one that fills after it. The committer
// calls it, when all batches before are committed: so their offsets are all that were handed out and are not durable.
func (l *Log) discard(b *batch, cause error) {
	l.mu.Lock()
	l.refusing = cause
	after := l.filling
	l.mu.Unlock()
	if l.opts.OnDiscard != nil { // before anybody hears of it and tries again
		l.opts.OnDiscard(b.base)
	}
	l.state.Lock()
	l.discards = discards{count: l.discards.count + 1, from: b.base, err: cause}
	l.announce()
	l.state.Unlock()
	l.mu.Lock()
	l.filling = newBatch(l.buffers.get(), len(l.active.held), b.base)
	l.waiting.Store(0)
	l.refusing = nil
	l.mu.Unlock()
	b.finish(cause) // only now: who tries again at once is not refused for this batch
	after.finish(cause)
}

// Follow returns a function that waits until the record at offset, which an Enqueue has handed out, is on stable
// storage, with the errors of Append. It is for those who know the offset of a record but not the Pending. After
// ErrNotPrepared the record is, with few exceptions, not written; and its offset belongs to another one.
func (l *Log) Follow(offset uint64) func(context.Context) error {
	l.state.RLock()
	since := l.discards.count
	l.state.RUnlock()
	return func(ctx context.Context) error {
		for {
			changed, err := l.follow(offset, since)
			if changed == nil {
				return err
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// follow is growth for a record whose offset was handed out when there had been so many discards.
func (l *Log) follow(offset, since uint64) (<-chan struct{}, error) {
	l.state.RLock()
	d := l.discards
	l.state.RUnlock()
	if d.count != since && (d.count > since+1 || offset >= d.from) {
		return nil, errors.Join(d.err, errDiscarded)
	}
	return l.growth(offset)
}

var errDiscarded = errors.New("the record was given up")
