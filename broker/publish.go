package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"casepress/commitlog"
)

// Publish appends the messages in order and returns the first one's offset when all are on stable storage. A
// message whose ID is within the deduplication window is not stored again: its offset is the first one's, also
// when the first is still on its way to the disk. The others follow each other without gaps.
//
// ctx ends the wait, not the write: after its error the messages may be there or not; a caller that sent IDs
// sends them again. An error that Is commitlog.ErrPoisoned lasts until the broker is reopened; one that Is
// commitlog.ErrNotPrepared, such as of a full disk, means that nothing new was stored and passes when there is room; only a
// message whose ID was being published by somebody else at that moment may be there. One call takes up to 4 MiB of
// messages, or a single larger one.
func (b *Broker) Publish(ctx context.Context, topic string, msgs ...Message) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p, err := b.Enqueue(ctx, topic, msgs, nil)
	if err != nil {
		return 0, err
	}
	if err := p.Wait(ctx); err != nil {
		return 0, fmt.Errorf("publish to %s: %w", topic, err)
	}
	return p.First, nil
}

// Check returns ErrInvalid, with the reason, for a message that Publish refuses whatever else happens.
func (b *Broker) Check(m Message) error { return m.check(b.opts.MaxMessageBytes) }

// A Pending is a publish on its way to stable storage. It is small and may be copied; keep it no longer than needed,
// for it holds on to the memory of its batch.
type Pending struct {
	First uint64 // offset of the first message

	topic    *topic
	last     uint64                      // the greatest offset, with lastDup
	appended commitlog.Pending           // of the messages that are new, if any are
	lastDup  uint64                      // of those that are known and may not be durable
	follow   func(context.Context) error // waits for lastDup, nil if there is none
}

// Wait returns when all messages are on stable storage, with the errors of Publish.
func (p *Pending) Wait(ctx context.Context) error {
	if err := p.appended.Wait(ctx); err != nil {
		return p.topic.closedError(err)
	}
	if p.follow != nil {
		return p.topic.closedError(p.follow(ctx))
	}
	return nil
}

// Durable says whether Wait would return at once.
func (p *Pending) Durable() bool {
	return p.topic.log.End() > max(p.last, p.lastDup)
}

// Enqueue is Publish without the wait: the messages' offsets are known, and Wait of what it returns tells when they
// are on stable storage. If offsets is not nil it must be as long as msgs; it gets the offset of each. Enqueue waits
// only while a full batch of the log waits for the disk; when ctx ends that wait, nothing was stored.
func (b *Broker) Enqueue(ctx context.Context, topic string, msgs []Message, offsets []uint64) (Pending, error) {
	t, err := b.topic(topic)
	if err != nil {
		return Pending{}, err
	}
	if len(msgs) == 0 {
		return Pending{}, fmt.Errorf("%w: no message to publish", ErrInvalid)
	}
	for i := range msgs {
		if err := msgs[i].check(b.opts.MaxMessageBytes); err != nil {
			return Pending{}, err
		}
		if due := msgs[i].DeliverAt; !due.IsZero() && due.After(b.opts.Now().Add(b.opts.MaxDelay)) {
			return Pending{}, fmt.Errorf("%w: deliver_at %v is more than %v ahead", ErrInvalid, due.UTC(), b.opts.MaxDelay)
		}
	}
	p, err := t.enqueue(ctx, msgs, offsets)
	if errors.Is(err, commitlog.ErrTooLarge) {
		return Pending{}, fmt.Errorf("%w: publish to %s: %w", ErrInvalid, topic, err)
	}
	if err != nil {
		return Pending{}, fmt.Errorf("publish to %s: %w", topic, t.closedError(err))
	}
	return p, nil
}

// closedError says ErrNoTopic or ErrClosed where the log says that it is closed.
func (t *topic) closedError(err error) error {
	switch {
	case !errors.Is(err, commitlog.ErrClosed):
		return err
	case t.deleted.Load():
		return fmt.Errorf("%w: %w", ErrNoTopic, err)
	}
	return fmt.Errorf("%w: %w", ErrClosed, err)
}

// enqueue hands messages to the log. The buffers they are encoded in are free again when it returns, not only after
// the disk has answered: a thousand waiting producers share a few. If offsets is not nil it is as long as msgs and
// gets the offset of each.
func (t *topic) enqueue(ctx context.Context, msgs []Message, offsets []uint64) (Pending, error) {
	b := batches.Get().(*batch)
	defer b.free()
	b.encode(msgs)
	if t.dedup.window > 0 && hasID(msgs) {
		return t.enqueueOnce(ctx, msgs, offsets, b)
	}
	appended, err := t.log.Enqueue(ctx, b.payloads...)
	for i := range offsets {
		offsets[i] = appended.First + uint64(i)
	}
	return Pending{topic: t, First: appended.First, last: appended.First + uint64(len(msgs)) - 1, appended: appended}, err
}

// enqueueOnce appends those messages that are no duplicates, without waiting for the disk; while a full batch waits for
// it, nobody else is held up.
func (t *topic) enqueueOnce(ctx context.Context, msgs []Message, offsets []uint64, b *batch) (Pending, error) {
	for {
		p, full, err := t.tryEnqueueOnce(msgs, offsets, b)
		if full == nil {
			return p, err
		}
		select {
		case <-full:
		case <-ctx.Done():
			return Pending{}, ctx.Err()
		}
	}
}

// tryEnqueueOnce is enqueueOnce without any wait: full is closed when it is worth another try, nil if there was room. The
// lock is held until the offsets are known, so that a resend finds either nothing or the offset.
func (t *topic) tryEnqueueOnce(msgs []Message, offsets []uint64, b *batch) (p Pending, full <-chan struct{}, err error) {
	p.topic = t
	d := t.dedup
	d.mu.Lock()
	defer d.mu.Unlock()
	now := t.broker.clock.steady()
	d.forget(now)
	b.entries, b.fresh = b.entries[:0], b.fresh[:0]
	firstKnown, inFlight := false, false
	for i := range msgs {
		entry, known := d.claim(msgs[i].ID, now)
		b.entries = append(b.entries, entry)
		if !known {
			b.fresh = append(b.fresh, b.payloads[i])
		} else if offset := d.offset(entry); offset != noOffset { // else the same message twice in one batch
			p.lastDup = max(p.lastDup, offset)
			inFlight = inFlight || offset >= t.log.End()
			if i == 0 {
				p.First, firstKnown = offset, true
			}
		}
	}
	if len(b.fresh) > 0 {
		if p.appended, full, err = t.log.TryEnqueue(b.fresh...); err != nil || full != nil {
			d.undoClaims()
			return p, full, err
		}
		p.last = p.appended.First + uint64(len(b.fresh)) - 1
		if !firstKnown {
			p.First = p.appended.First
		}
	}
	if inFlight { // under d.mu: what the log gives up later is told apart
		p.follow = t.log.Follow(p.lastDup)
	}
	d.assign(b.entries, offsets, p.appended.First)
	return p, nil, nil
}

func hasID(msgs []Message) bool {
	for i := range msgs {
		if msgs[i].ID != "" {
			return true
		}
	}
	return false
}

// A batch is the encoded form of messages, used again and again: the log copies what it appends.
type batch struct {
	buf      []byte
	payloads [][]byte
	fresh    [][]byte // those of payloads that are no duplicates
	entries  []uint64 // in the table of IDs
}

var batches = sync.Pool{New: func() any { return new(batch) }}

const maxPooled = 1 << 20 // a larger buffer is left to the garbage collector

// encode encodes messages. It makes room for all of them at once.
func (b *batch) encode(msgs []Message) {
	size := 0
	for i := range msgs {
		size += len(msgs[i].Payload) + len(msgs[i].ID) + len(msgs[i].Key) + usualOverhead
	}
	b.buf = slices.Grow(b.buf, size)
	for i := range msgs {
		from := len(b.buf)
		b.buf = appendMessage(b.buf, &msgs[i])
		b.payloads = append(b.payloads, b.buf[from:len(b.buf):len(b.buf)])
	}
}

func (b *batch) free() {
	if cap(b.buf) > maxPooled {
		return
	}
	clear(b.payloads)
	clear(b.fresh)
	b.buf, b.payloads, b.fresh, b.entries = b.buf[:0], b.payloads[:0], b.fresh[:0], b.entries[:0]
	batches.Put(b)
}
