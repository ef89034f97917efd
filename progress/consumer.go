package progress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"casepress/broker"
)

// Group is the consumer group by which a casepress follows its own topic.
const Group = "trial-progress"

const (
	consumers      = 4   // workers
	eventsTogether = 256 // that a worker takes, and so applies in one transaction
	window         = consumers * eventsTogether
	bytesTogether  = 1 << 20
	applyTimeout   = 30 * time.Second // of one transaction, also after the signal to stop
	firstRetry     = time.Second      // until what could not be applied is tried again
	lastRetry      = time.Minute
)

// Consumer follows the topic of a casepress in the same process: a few workers receive events of the group [Group], apply
// them, and acknowledge them after the commit. The group keeps the order of each patient. An event that can never be
// applied becomes a dead letter with the reason; others are tried until it works, the wait doubling up to a minute, and
// hold up those of their patient alone.
//
// How far it has come stands in the rows' own transaction, and the rows decide: if they are older than the group, or
// lost, the group goes back to where they are.
type Consumer struct {
	rows   *Rows
	broker *broker.Broker
	log    *slog.Logger
	sub    *broker.Subscription
	at     tracker
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// Start begins to follow the topic, which it makes if it is not there. Neither rows nor b may be closed before [Consumer.Close].
func Start(ctx context.Context, rows *Rows, b *broker.Broker, log *slog.Logger) (*Consumer, error) {
	c := &Consumer{rows: rows, broker: b, log: log}
	if err := c.begin(ctx); err != nil {
		return nil, fmt.Errorf("follow %s: %w", Topic, err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	for range consumers {
		c.wg.Go(func() { c.work(running) })
	}
	return c, nil
}

// begin finds where the rows are, and joins the group there.
func (c *Consumer) begin(ctx context.Context) error {
	if err := c.broker.CreateTopic(ctx, Topic); err != nil {
		return err
	}
	next, check, err := c.position(ctx)
	if err != nil {
		return err
	}
	c.at = tracker{next: next, check: check, done: map[uint64]string{}, shown: next}
	if err := c.moveGroup(next); err != nil {
		return err
	}
	c.sub, err = c.broker.Subscribe(Topic, Group, broker.SubscribeOptions{Window: window, Ordered: true})
	return err
}

// position is the offset up to which the rows have come. Rows that are of another topic, or of a newer copy of this one,
// are forgotten: what is left of it may differ from what they were made of.
func (c *Consumer) position(ctx context.Context) (next uint64, check string, err error) {
	info, err := c.broker.Topic(Topic)
	if err != nil {
		return 0, "", err
	}
	known, err := c.rows.Positions(ctx, Topic)
	if err != nil {
		return 0, "", err
	}
	p, ok := known[0]
	if !ok {
		return info.Start, "", nil
	}
	same := p.Next <= info.End
	if same && p.Next > info.Start {
		last, err := c.broker.Read(Topic, p.Next-1)
		if err != nil {
			return 0, "", err
		}
		same = checkOf(last) == p.Incarnation
	}
	switch {
	case !same:
		c.log.Warn("the rows of trial progress are of another topic than this one, or of a newer copy of it: they are made again from its events",
			"topic", Topic, "begins", info.Start, "ends", info.End, "next", p.Next)
		return info.Start, "", c.rows.Reset(ctx)
	case p.Next < info.Start:
		c.log.Warn("events are gone from the beginning of the topic that trial progress had not seen", "topic", Topic, "begins", info.Start, "next", p.Next)
		return info.Start, "", nil
	}
	return p.Next, p.Incarnation, nil
}

// moveGroup lets the group go on where the rows are, unless it has acknowledged nothing beyond.
func (c *Consumer) moveGroup(next uint64) error {
	group, err := c.broker.Group(Topic, Group)
	if err != nil && !errors.Is(err, broker.ErrNoGroup) {
		return err
	}
	if err == nil && group.Start <= next && uint64(group.Lag) == group.End-group.Start {
		return nil
	}
	_, err = c.broker.SetPosition(Topic, Group, broker.FromOffset(next))
	return err
}

// checkOf tells one message from another that has its offset in another topic.
func checkOf(m broker.Message) string {
	sum := sha256.Sum256(m.Payload)
	return fmt.Sprintf("%d-%s", m.Time.UnixMicro(), hex.EncodeToString(sum[:8]))
}

// Close ends the work: what is in hand is finished, what has not begun stays for the next start. ctx bounds the wait.
func (c *Consumer) Close(ctx context.Context) error {
	c.stop()
	ended := make(chan struct{})
	go func() { c.wg.Wait(); close(ended) }()
	select {
	case <-ended:
		return c.sub.Close()
	case <-ctx.Done():
		return fmt.Errorf("trial progress: events in work have not ended: %w", ctx.Err())
	}
}

// Behind is how many events of the topic are not in the rows yet.
func (c *Consumer) Behind() (uint64, error) {
	end, err := c.broker.End(Topic)
	if err != nil {
		return 0, err
	}
	return c.at.behind(end), nil
}

func (c *Consumer) work(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		ds, err := c.sub.ReceiveWith(ctx, broker.ReceiveOptions{Max: eventsTogether, MaxBytes: bytesTogether})
		if err == nil {
			err = c.handle(context.WithoutCancel(ctx), ds)
		}
		switch {
		case err == nil:
			failures = 0
			continue
		case ctx.Err() != nil, errors.Is(err, broker.ErrClosed):
			return
		}
		wait := min(firstRetry<<min(failures, 10), lastRetry)
		failures++
		c.log.Error("trial progress stands still and will be tried again", "in", wait, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// handle applies deliveries and ends them. After an error those that have not ended are given back.
func (c *Consumer) handle(ctx context.Context, ds []broker.Delivery) (err error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic of type %T", p) // its text may be made of an event
			c.log.Error("applying events panicked", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
		if err != nil {
			c.sub.GiveBack(ds)
		}
	}()
	reasons := make([]error, len(ds)) // why it is poison, or nil
	var events []Event
	var of []int // the places of events in ds
	for i, d := range ds {
		e, counts, err := Decode(d.Payload)
		switch {
		case err != nil:
			reasons[i] = err
		case counts:
			events, of = append(events, e), append(of, i)
		}
	}
	var shown uint64
	_, err = c.rows.Apply(ctx, events, func(errs []error) (to Position, undo func()) {
		for j, err := range errs {
			reasons[of[j]] = err
		}
		to, shown, undo = c.at.move(ds, reasons)
		return to, undo
	})
	if err != nil {
		return err
	}
	c.at.show(shown)
	return c.end(ctx, ds, reasons)
}

// end acknowledges what was applied and makes dead letters of the others.
func (c *Consumer) end(ctx context.Context, ds []broker.Delivery, reasons []error) error {
	var errs []error
	var dead []broker.Delivery
	for i, d := range ds {
		var err error
		if reasons[i] == nil {
			err = d.Ack()
		} else if err = d.Reject(reasons[i].Error()); err == nil {
			dead = append(dead, d)
			c.log.Warn("an event cannot be applied and is a dead letter", "topic", Topic, "offset", d.Offset, "reason", reasons[i].Error())
		}
		if err != nil && !errors.Is(err, broker.ErrLockLost) { // somebody else has it, and finds it applied
			errs = append(errs, err)
		}
	}
	if len(dead) > 0 {
		var shown uint64
		_, err := c.rows.Apply(ctx, nil, func([]error) (to Position, undo func()) {
			to, shown, undo = c.at.move(dead, make([]error, len(dead)))
			return to, undo
		})
		if err == nil {
			c.at.show(shown)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tracker knows up to which offset without a gap the events are applied: workers end out of order. Its map has at most
// what is in flight.
type tracker struct {
	mu    sync.Mutex
	next  uint64
	check string            // of the message before next
	done  map[uint64]string // applied beyond next, with the check of each
	shown uint64            // offsets that are done with, those before the first included, in rows that are committed
}

func (t *tracker) behind(end uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return end - min(end, t.shown)
}

// show takes what move has returned, once it is committed: until then nobody sees the rows.
func (t *tracker) show(shown uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shown = max(t.shown, shown)
}

// move takes in the deliveries without a reason against them and returns how far that reaches, and what is then to be shown.
func (t *tracker) move(ds []broker.Delivery, reasons []error) (to Position, shown uint64, undo func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, beforeCheck := t.next, t.check
	added := map[uint64]string{}
	for i, d := range ds {
		if _, known := t.done[d.Offset]; reasons[i] == nil && d.Offset >= t.next && !known {
			added[d.Offset] = checkOf(d.Message)
			t.done[d.Offset] = added[d.Offset]
		}
	}
	passed := map[uint64]string{}
	for {
		check, ok := t.done[t.next]
		if !ok {
			break
		}
		passed[t.next] = check
		delete(t.done, t.next)
		t.check = check
		t.next++
	}
	return Position{Topic: Topic, Next: t.next, Incarnation: t.check}, t.next + uint64(len(t.done)), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.next, t.check = before, beforeCheck
		for offset, check := range passed {
			t.done[offset] = check
		}
		for offset := range added {
			delete(t.done, offset)
		}
	}
}
