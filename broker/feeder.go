package broker

import (
	"context"
	"errors"
	"time"

	"casepress/commitlog"
)

// ahead is a queue of the messages that come next for a group, read but not yet handed out. Its first message
// is the one at groupState.next.
type ahead struct {
	queue []Message
	head  int
	bytes int
	limit int
}

const messageBytes = 256 // a Message without its payload, about

func (a *ahead) len() int { return len(a.queue) - a.head }

func (a *ahead) low() bool { return a.bytes < a.limit/2 }

func (a *ahead) push(m Message) {
	a.queue = append(a.queue, m)
	a.bytes += messageBytes + len(m.Payload)
}

func (a *ahead) pop() Message {
	m := a.queue[a.head]
	a.queue[a.head] = Message{}
	a.head++
	a.bytes -= messageBytes + len(m.Payload)
	if a.head == len(a.queue) {
		a.queue, a.head = a.queue[:0], 0
	}
	return m
}

// readAgain is how long the feeder waits after a failure that may pass, such as too many open files.
const readAgain = time.Second

// feed reads new messages ahead until ctx ends or what it reads is damaged.
func (g *group) feed(ctx context.Context) {
	g.mu.Lock()
	g.ahead.limit = g.topic.broker.opts.ReadAhead
	r := g.topic.log.NewReader(g.state.next)
	g.mu.Unlock()
	defer func() { _ = r.Close() }() // it was only read
	for {
		err := g.feedFrom(ctx, r)
		if err == nil || ctx.Err() != nil {
			return
		}
		if lasting(err) {
			g.topic.broker.opts.Logger.Error("group cannot read on", "topic", g.topic.name, "group", g.name, "error", err)
			g.fail(err)
			return
		}
		g.topic.broker.opts.Logger.Warn("group reads again", "topic", g.topic.name, "group", g.name, "after", readAgain, "error", err)
		g.stall(err)
		// The reader stands behind what it returned last, which may not have got as far as ahead.
		g.mu.Lock()
		r.Seek(g.state.next + uint64(g.ahead.len()))
		g.mu.Unlock()
		select {
		case <-time.After(readAgain):
		case <-ctx.Done():
			return
		}
	}
}

// lasting says whether reading the same again would fail the same.
func lasting(err error) bool {
	_, corrupt := errors.AsType[*commitlog.CorruptionError](err)
	_, gone := errors.AsType[*commitlog.OutOfRangeError](err)
	_, damaged := errors.AsType[*DamageError](err)
	return corrupt || gone || damaged
}

func (g *group) feedFrom(ctx context.Context, r *commitlog.Reader) error {
	for ctx.Err() == nil {
		if !g.appetite() {
			select {
			case <-g.hungry:
			case <-ctx.Done():
			}
			continue
		}
		records, err := r.Next(g.topic.broker.opts.ReadAhead / 2)
		if err != nil {
			return err
		}
		g.stall(nil)
		if len(records) > 0 {
			if err := g.fill(records); err != nil {
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

func (g *group) appetite() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ahead.low()
}

// fill decodes records, which follow what is in ahead, and serves those who wait for them.
func (g *group) fill(records []commitlog.Record) error {
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
	if want := g.state.next + uint64(g.ahead.len()); msgs[0].Offset != want {
		return &DamageError{Topic: g.topic.name, Group: g.name, Offset: want, Err: errMissing}
	}
	for _, m := range msgs {
		g.ahead.push(m)
	}
	if len(g.waiters) > 0 {
		g.serve(g.now())
	}
	return nil
}
