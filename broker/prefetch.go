package broker

import (
	"context"
	"errors"
	"time"

	"casepress/commitlog"
)

// prefetchQueue holds the messages that come next for a group, read but not yet handed out. Its first message
// is the one at groupState.next.
type prefetchQueue struct {
	queue []Message
	head  int
	bytes int
	limit int
}

const messageBytes = 256 // of a Message and its slices, beside what they hold, about

func (q *prefetchQueue) len() int { return len(q.queue) - q.head }

func (q *prefetchQueue) low() bool { return q.bytes < q.limit/2 }

func (q *prefetchQueue) push(m Message) {
	q.queue = append(q.queue, m)
	q.bytes += messageBytes + m.Size()
}

func (q *prefetchQueue) pop() Message {
	m := q.queue[q.head]
	q.queue[q.head] = Message{}
	q.head++
	q.bytes -= messageBytes + m.Size()
	if q.head == len(q.queue) {
		q.queue, q.head = q.queue[:0], 0
	}
	return m
}

// readRetryDelay is how long the prefetch waits after a failure that may pass, such as too many open files.
const readRetryDelay = time.Second

// runPrefetch reads new messages ahead until ctx ends or what it reads is damaged.
func (g *group) runPrefetch(ctx context.Context) {
	g.mu.Lock()
	g.prefetched.limit = g.topic.broker.opts.ReadAhead
	r := g.topic.log.NewReader(g.state.next)
	g.mu.Unlock()
	defer func() { _ = r.Close() }() // it was only read
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

func (g *group) prefetchFrom(ctx context.Context, r *commitlog.Reader) error {
	for ctx.Err() == nil {
		if !g.wantsMessages() {
			select {
			case <-g.prefetcher:
			case <-ctx.Done():
			}
			continue
		}
		records, err := r.Next(g.topic.broker.opts.ReadAhead / 2)
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
		switch err := g.topic.log.Wait(ctx, r.Offset()); {
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
