package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// RedriveGroup is the group of a dead-letter topic that stands for what was sent again: a dead letter it has
// acknowledged is done with. Nobody else should subscribe under that name.
const RedriveGroup = "redrive"

// DeadLetters returns up to limit dead letters of a topic that were not sent again, oldest first, from an offset of
// its dead-letter topic on, and no more than fit into about 2 MiB; next is where to go on, 0 at the end. A topic without dead letters has none.
func (b *Broker) DeadLetters(topic string, from uint64, limit int) (letters []Message, next uint64, err error) {
	size := 0
	dead, err := b.deadTopic(topic)
	if err != nil || dead == nil {
		return nil, 0, err
	}
	g := dead.group(RedriveGroup)
	for from = max(from, dead.log.Start()); ; {
		records, err := dead.log.Read(from, 256<<10)
		if err != nil {
			return nil, 0, fmt.Errorf("list dead letters of %s: %w", topic, err)
		}
		if len(records) == 0 {
			return letters, 0, nil
		}
		for _, r := range records {
			if len(letters) == limit || size > lettersBytes {
				return letters, r.Offset, nil
			}
			if g != nil && g.isDone(r.Offset) {
				continue
			}
			m, err := dead.decode(r)
			if err != nil {
				return nil, 0, err
			}
			letters, size = append(letters, m), size+messageBytes+m.Size()
		}
		from = records[len(records)-1].Offset + 1
	}
}

// lettersBytes is when DeadLetters has enough.
const lettersBytes = 1 << 20

// deadTopic returns the dead-letter topic, nil if there is none yet. It outlives the topic.
func (b *Broker) deadTopic(topic string) (*topic, error) {
	dead, err := b.topic(DeadLetterTopic(topic))
	if errors.Is(err, ErrNoTopic) {
		_, err = b.topic(topic)
		return nil, err
	}
	return dead, err
}

func (g *group) isDone(offset uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.isDone(offset)
}

// redriveTogether bounds how many dead letters are published at once.
const redriveTogether = 16

// Redrive publishes dead letters to the topic they came from, with key, payload and all headers, those of a dead
// letter included, so that every group gets them as new messages; then they are no dead letters any more.
// Offsets are of the dead-letter topic; none means all there are now. Those sent again before are passed over. A
// crash on the way sends none twice within the deduplication window. redriven says how many were sent, also
// beside an error.
func (b *Broker) Redrive(ctx context.Context, topic string, offsets ...uint64) (redriven int, err error) {
	dead, err := b.deadTopic(topic)
	if err != nil {
		return 0, err
	}
	if dead == nil {
		if len(offsets) > 0 {
			return 0, fmt.Errorf("%w: offsets: topic %s has no dead letters", ErrInvalid, topic)
		}
		return 0, nil
	}
	g, err := dead.ensureGroup(RedriveGroup, Earliest)
	if err != nil {
		return 0, fmt.Errorf("redrive %s: %w", topic, err)
	}
	if len(offsets) == 0 {
		return b.redriveAll(ctx, topic, g)
	}
	end := dead.log.End()
	for _, offset := range offsets {
		if offset < dead.log.Start() || offset >= end {
			return redriven, fmt.Errorf("%w: offsets: topic %s has no dead letter %d", ErrInvalid, topic, offset)
		}
		if g.isDone(offset) {
			continue
		}
		m, err := dead.read(ctx, offset)
		if err != nil {
			return redriven, err
		}
		if err := b.redrive(ctx, topic, g, []Message{m}); err != nil {
			return redriven, err
		}
		redriven++
	}
	return redriven, nil
}

func (b *Broker) redriveAll(ctx context.Context, topic string, g *group) (redriven int, err error) {
	end := g.topic.log.End() // what dies again meanwhile is not sent round and round
	for from, more := uint64(0), true; more; {
		letters, next, err := b.DeadLetters(topic, from, redriveTogether)
		if err != nil {
			return redriven, err
		}
		for len(letters) > 0 && letters[len(letters)-1].Offset >= end {
			letters = letters[:len(letters)-1]
			next = 0
		}
		if n := g.withinReach(letters); n < len(letters) {
			letters, next = letters[:n], letters[n].Offset
		}
		if err := b.redrive(ctx, topic, g, letters); err != nil {
			return redriven, err
		}
		redriven += len(letters)
		from, more = next, next > 0
	}
	return redriven, nil
}

// withinReach returns how many of the letters, oldest first, can be acknowledged together: the first always.
func (g *group) withinReach(letters []Message) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(1, len(letters))
	for n < len(letters) && g.state.reaches(letters[n].Offset) {
		n++
	}
	return n
}

// redrive publishes letters one by one, lest the batch be too large, and acknowledges them durably.
func (b *Broker) redrive(ctx context.Context, topic string, g *group, letters []Message) error {
	if len(letters) == 0 {
		return nil
	}
	t, err := b.topic(topic)
	if err != nil {
		return err
	}
	g.mu.Lock()
	incarnation, reached := g.state.incarnation, g.state.reaches(letters[len(letters)-1].Offset)
	g.mu.Unlock()
	if !reached { // before anything is sent
		return fmt.Errorf("redrive to %s: %w", topic, errTooFar)
	}
	waits := make([]Pending, len(letters))
	for i, m := range letters {
		again := Message{ID: deadLetterID(m.Topic, strconv.FormatUint(m.Offset, 10), RedriveGroup, incarnation), Key: m.Key, Headers: m.Headers, Payload: m.Payload}
		if waits[i], err = t.enqueue(ctx, []Message{again}, nil); err != nil {
			return fmt.Errorf("redrive to %s: %w", topic, t.closedError(err))
		}
	}
	for i := range waits {
		if err := waits[i].Wait(ctx); err != nil {
			return fmt.Errorf("redrive to %s: %w", topic, err)
		}
	}
	err = g.act(func(s *groupState, _ instant) error {
		for i := range letters {
			if err := s.ackUndelivered(letters[i].Offset); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("redrive to %s: %w", topic, err)
	}
	return g.topic.journal.flush(ctx)
}

// errTooFar says that a group is too far behind to acknowledge a message so far ahead: those between would be too many.
var errTooFar = fmt.Errorf("%w: offsets: too far beyond the oldest dead letter that was not sent again: send older ones first, or all", ErrInvalid)

// ackUndelivered acknowledges a message that need not have been handed out. Those before it that have not been become
// available.
func (g *groupState) ackUndelivered(offset uint64) error {
	if g.isDone(offset) {
		return nil
	}
	if !g.reaches(offset) {
		return errTooFar
	}
	for g.next <= offset {
		g.makeAvailable(g.extend(), available)
	}
	s := g.at(offset)
	if s.status == deadLettering {
		return ErrLockLost
	}
	g.detach(s)
	g.acknowledge(offset, s)
	return nil
}
