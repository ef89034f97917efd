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
// sends them again. An error that Is commitlog.ErrPoisoned lasts until the broker is reopened. One call takes up to
// 4 MiB of messages, or a single larger one.
func (b *Broker) Publish(ctx context.Context, topic string, msgs ...Message) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	t, s, err := b.place(topic, msgs, nil)
	if err != nil {
		return 0, err
	}
	if err := s.wait(ctx, t); err != nil {
		return 0, fmt.Errorf("publish to %s: %w", topic, t.blame(err))
	}
	return s.first, nil
}

// place is Publish without the wait. If offsets is not nil it is as long as msgs and gets the offset of each.
func (b *Broker) place(name string, msgs []Message, offsets []uint64) (*topic, sent, error) {
	t, err := b.topic(name)
	if err != nil {
		return nil, sent{}, err
	}
	if len(msgs) == 0 {
		return nil, sent{}, fmt.Errorf("%w: no message to publish", ErrInvalid)
	}
	for i := range msgs {
		if err := msgs[i].check(b.opts.MaxMessageBytes); err != nil {
			return nil, sent{}, err
		}
	}
	s, err := t.enqueue(msgs, offsets)
	if errors.Is(err, commitlog.ErrTooLarge) {
		return nil, sent{}, fmt.Errorf("%w: publish to %s: %w", ErrInvalid, name, err)
	}
	if err != nil {
		return nil, sent{}, fmt.Errorf("publish to %s: %w", name, t.blame(err))
	}
	return t, s, nil
}

// blame says ErrNoTopic or ErrClosed where the log says that it is closed.
func (t *topic) blame(err error) error {
	switch {
	case !errors.Is(err, commitlog.ErrClosed):
		return err
	case t.deleted.Load():
		return fmt.Errorf("%w: %w", ErrNoTopic, err)
	}
	return fmt.Errorf("%w: %w", ErrClosed, err)
}

func (t *topic) publish(ctx context.Context, msgs []Message) (first uint64, err error) {
	s, err := t.enqueue(msgs, nil)
	if err != nil {
		return 0, err
	}
	return s.first, s.wait(ctx, t)
}

// sent is a publish on its way to the disk.
type sent struct {
	first   uint64
	last    uint64            // the greatest offset, with lastDup
	pending commitlog.Pending // of the messages that are new, if any are
	dup     bool              // some are known: up to lastDup
	lastDup uint64
}

// wait returns when all of it is on stable storage.
func (s *sent) wait(ctx context.Context, t *topic) error {
	if err := s.pending.Wait(ctx); err != nil {
		return err
	}
	if s.dup {
		return t.log.Wait(ctx, s.lastDup)
	}
	return nil
}

// settled says whether wait would return at once.
func (s *sent) settled(t *topic) bool {
	return t.log.End() > max(s.last, s.lastDup)
}

// enqueue hands messages to the log. The buffers they are encoded in are free again when it returns, not only after
// the disk has answered: a thousand waiting producers share a few. If offsets is not nil it is as long as msgs and
// gets the offset of each.
func (t *topic) enqueue(msgs []Message, offsets []uint64) (sent, error) {
	b := batches.Get().(*batch)
	defer b.free()
	b.encode(msgs)
	if t.dedup.window > 0 && hasID(msgs) {
		return t.enqueueOnce(msgs, offsets, b)
	}
	pending, err := t.log.Enqueue(b.payloads...)
	for i := range offsets {
		offsets[i] = pending.First + uint64(i)
	}
	return sent{first: pending.First, last: pending.First + uint64(len(msgs)) - 1, pending: pending}, err
}

// enqueueOnce appends those messages that are no duplicates, without waiting for the disk. The lock is held until
// their offsets are known, so that a resend finds either nothing or the offset.
func (t *topic) enqueueOnce(msgs []Message, offsets []uint64, b *batch) (s sent, err error) {
	d := t.dedup
	d.mu.Lock()
	defer d.mu.Unlock()
	now := t.broker.clock.now()
	d.forget(now)
	fresh, firstKnown := b.payloads[:0], false
	for i := range msgs {
		place, known := d.claim(msgs[i].ID, now)
		b.places = append(b.places, place)
		if !known {
			fresh = append(fresh, b.payloads[i])
		} else if offset := d.offset(place); offset != unplaced { // else the same message twice in one batch
			s.dup, s.lastDup = true, max(s.lastDup, offset)
			if i == 0 {
				s.first, firstKnown = offset, true
			}
		}
	}
	if len(fresh) > 0 {
		if s.pending, err = t.log.Enqueue(fresh...); err != nil {
			d.unclaim()
			return s, err
		}
		s.last = s.pending.First + uint64(len(fresh)) - 1
		if !firstKnown {
			s.first = s.pending.First
		}
	}
	d.settle(b.places, offsets, s.pending.First)
	return s, nil
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
	places   []uint64 // in the table of duplicates
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
	b.buf, b.payloads, b.places = b.buf[:0], b.payloads[:0], b.places[:0]
	batches.Put(b)
}
