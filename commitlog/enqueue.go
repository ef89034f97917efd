package commitlog

import "context"

// Pending is an append on its way to stable storage. It is small and may be copied; keep it no longer
// than needed, for it holds on to the memory of its batch.
type Pending struct {
	First uint64 // offset of the first record
	batch *batch // nil when there was nothing to append
}

// Enqueue is Append without the wait: the commit begins at once, and Wait of what it returns tells when the
// records are on stable storage. So a producer learns its offsets before the disk has answered, and one
// goroutine can have many appends under way. It waits only while a full batch waits for the disk; when ctx ends that
// wait, nothing was appended.
func (l *Log) Enqueue(ctx context.Context, payloads ...[]byte) (Pending, error) {
	b, first, err := l.join(ctx, payloads)
	if err != nil {
		return Pending{}, err
	}
	return Pending{First: first, batch: b}, nil
}

// TryEnqueue is Enqueue without any wait: while a full batch waits for the disk it appends nothing and returns a
// channel that is closed when it is worth another try; else full is nil.
func (l *Log) TryEnqueue(payloads ...[]byte) (p Pending, full <-chan struct{}, err error) {
	n, err := l.measure(payloads)
	if err != nil {
		return Pending{}, nil, err
	}
	b, first, full, err := l.tryJoin(payloads, n)
	return Pending{First: first, batch: b}, full, err
}

// Wait returns when the records are on stable storage, with the errors of Append.
func (p Pending) Wait(ctx context.Context) error {
	if p.batch == nil {
		return nil
	}
	if ctx.Done() == nil { // as common as it is cheaper than a select
		<-p.batch.done
		return p.batch.err
	}
	select {
	case <-p.batch.done:
		return p.batch.err
	case <-ctx.Done():
	}
	select {
	case <-p.batch.done: // known after all
		return p.batch.err
	default:
		return ctx.Err()
	}
}
