package broker

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"casepress/commitlog"
)

// prefetchQueue holds the messages that come next for a group, read but not yet handed out. Its first message
// is the one at groupState.next.
type prefetchQueue struct {
	queue []prefetchedMessage
	head  int
	bytes int // of the messages that have all that they carry, and of the others without it
	limit int
	total *readAhead
}

// prefetchedMessage is a message of a prefetchQueue.
type prefetchedMessage struct {
	Message
	loaded bool // payload, ID and headers are there
}

// readAhead counts what all groups of a broker have read ahead: messages, and the buffers of their readers.
type readAhead struct {
	limit int64
	bytes atomic.Int64
}

// full says that no group should keep more than it must: the messages' payloads are read when they are handed out.
func (a *readAhead) full() bool { return a.bytes.Load() >= a.limit }

func (a *readAhead) add(n int) { a.bytes.Add(int64(n)) }

const messageBytes = 256 // of a Message and its slices, beside what they hold, about

func (q *prefetchQueue) len() int { return len(q.queue) - q.head }

func (q *prefetchQueue) low() bool {
	if q.total.full() {
		return q.len() == 0
	}
	return q.bytes < q.limit/2
}

func (q *prefetchQueue) push(m Message) {
	p := prefetchedMessage{m, true}
	if q.total.full() { // what decides when it is handed out is enough
		p = prefetchedMessage{Message{Offset: m.Offset, Key: strings.Clone(m.Key), DeliverAt: m.DeliverAt}, false}
	}
	q.queue = append(q.queue, p)
	q.add(messageBytes + p.Size())
}

func (q *prefetchQueue) pop() prefetchedMessage {
	m := q.queue[q.head]
	q.queue[q.head] = prefetchedMessage{}
	q.head++
	q.add(-messageBytes - m.Size())
	if q.head == len(q.queue) {
		q.queue, q.head = q.queue[:0], 0
	}
	return m
}

func (q *prefetchQueue) add(n int) {
	q.bytes += n
	q.total.add(n)
}

// clear forgets what was read ahead.
func (q *prefetchQueue) clear() {
	q.add(-q.bytes)
	*q = prefetchQueue{total: q.total}
}

// readRetryDelay is how long the prefetch waits after a failure that may pass, such as too many open files.
const readRetryDelay = time.Second

// runPrefetch reads new messages ahead until ctx ends or what it reads is damaged.
func (g *group) runPrefetch(ctx context.Context) {
	g.mu.Lock()
	g.prefetched.limit = g.topic.broker.opts.ReadAhead
	r := &groupReader{Reader: g.topic.log.NewReader(g.state.next), topic: g.topic, total: g.prefetched.total}
	g.mu.Unlock()
	defer r.rest()
	for {
		err := g.prefetchFrom(ctx, r)
		if err == nil || ctx.Err() != nil {
			return
		}
		if isPermanent(err) {
			g.topic.broker.opts.Logger.Error("group cannot read on", "topic", g.topic.name, "group", g.name, "error", err)
			g.fail(err)
			return
		}
		g.topic.broker.opts.Logger.Warn("group retries to read", "topic", g.topic.name, "group", g.name, "after", readRetryDelay, "error", err)
		g.setReadError(err)
		// The reader stands behind what it returned last, which may not have got as far as the queue.
		g.mu.Lock()
		r.Seek(g.state.next + uint64(g.prefetched.len()))
		g.mu.Unlock()
		select {
		case <-time.After(readRetryDelay):
		case <-ctx.Done():
			return
		}
	}
}

// isPermanent says whether reading the same again would fail the same.
func isPermanent(err error) bool {
	_, corrupt := errors.AsType[*commitlog.CorruptionError](err)
	_, gone := errors.AsType[*commitlog.OutOfRangeError](err)
	_, damaged := errors.AsType[*DamageError](err)
	return corrupt || gone || damaged
}

// groupReader is a group's reader, whose buffer counts as read ahead.
type groupReader struct {
	*commitlog.Reader
	topic   *topic
	total   *readAhead
	counted int
}

// next returns the next records: when there is no room to read ahead only one, and no buffer stays.
func (r *groupReader) next(ctx context.Context, maxBytes int) ([]commitlog.Record, error) {
	if r.total.full() {
		if err := r.topic.single.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		defer r.topic.single.Release(1)
		defer r.rest()
		maxBytes = 1
	}
	records, err := r.Next(maxBytes)
	if held := r.Buffered(); held != r.counted {
		r.total.add(held - r.counted)
		r.counted = held
	}
	return records, err
}

// readerIdle is how long a reader that has nothing to read keeps its buffer, which may have a MiB after a backlog: some
// dozens of idle groups would leave no room to read ahead for those that are busy.
const readerIdle = time.Second

// idle is when the buffer has not been used for long enough; never, if there is none.
func (r *groupReader) idle() <-chan time.Time {
	if r.counted == 0 {
		return nil
	}
	return time.After(readerIdle)
}

// wait returns when there is something to read, with the errors of [commitlog.Log.Wait]. Meanwhile it keeps the buffer for
// a moment only.
func (r *groupReader) wait(ctx context.Context) error {
	if r.counted > 0 {
		soon, cancel := context.WithTimeout(ctx, readerIdle)
		err := r.topic.log.Wait(soon, r.Offset())
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		r.rest()
	}
	return r.topic.log.Wait(ctx, r.Offset())
}

// rest lets go of file and buffer until they are needed again.
func (r *groupReader) rest() {
	_ = r.Close() // it was only read
	r.total.add(-r.counted)
	r.counted = 0
}

func (g *group) prefetchFrom(ctx context.Context, r *groupReader) error {
	for ctx.Err() == nil {
		if !g.wantsMessages() {
			if r.total.full() {
				r.rest()
			}
			select {
			case <-g.prefetcher:
			case <-r.idle():
				r.rest()
			case <-ctx.Done():
			}
			continue
		}
		records, err := r.next(ctx, g.topic.broker.opts.ReadAhead/2)
		if err != nil {
			return err
		}
		g.setReadError(nil)
		if len(records) > 0 {
			if err := g.addPrefetched(records); err != nil {
				return err
			}
			continue
		}
		switch err := r.wait(ctx); {
		case errors.Is(err, commitlog.ErrPoisoned), errors.Is(err, commitlog.ErrClosed):
			return nil // there will be no new messages; what was handed out goes on
		case err != nil:
			return nil // ctx has ended
		}
	}
	return nil
}

func (g *group) wantsMessages() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.prefetched.low()
}

// addPrefetched decodes records, which follow what is queued, and hands them out to those who wait.
func (g *group) addPrefetched(records []commitlog.Record) error {
	msgs := make([]Message, len(records))
	for i, r := range records {
		m, err := g.topic.decode(r)
		if err != nil {
			return err
		}
		msgs[i] = m
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if want := g.state.next + uint64(g.prefetched.len()); msgs[0].Offset != want {
		return &DamageError{Topic: g.topic.name, Group: g.name, Offset: want, Err: errMissing}
	}
	for _, m := range msgs {
		g.prefetched.push(m)
	}
	if len(g.waiters) > 0 {
		g.handOut(g.now())
	}
	return nil
}
