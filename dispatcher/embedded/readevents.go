package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/dispatcher"
	"casepress/tasks"
)

// ReadEvents reads the topic of the events. The sequence of an event is its offset there and one more.
func (l *Ledger) ReadEvents(ctx context.Context, after dispatcher.Position, maxBytes int) dispatcher.Events {
	return func(yield func([]dispatcher.PublishedEvent, error) bool) {
		if err := l.readEvents(ctx, after, maxBytes, yield); err != nil {
			yield(nil, err)
		}
	}
}

// readEvents returns nil once yield has enough.
func (l *Ledger) readEvents(ctx context.Context, after dispatcher.Position, maxBytes int, yield func([]dispatcher.PublishedEvent, error) bool) error {
	open, cancel := l.untilClosed(ctx)
	defer cancel()
	from, err := l.offsetOf(after)
	if err != nil {
		return err
	}
	f, err := l.broker.Follow(tasks.TopicUpdates, from)
	if err != nil {
		return l.readEventsError(ctx, open, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	unchecked := from < after.Sequence
	for {
		end, err := l.broker.End(tasks.TopicUpdates)
		if err != nil {
			return l.readEventsError(ctx, open, err)
		}
		if from >= end && !yield(nil, nil) {
			return nil
		}
		messages, err := f.Next(open, maxBytes)
		if err != nil {
			return l.readEventsError(ctx, open, err)
		}
		if unchecked {
			if eventCheck(messages[0]) != after.Check {
				return l.lostPosition(after, "another event has this sequence")
			}
			unchecked, messages, from = false, messages[1:], from+1
		}
		if len(messages) == 0 {
			continue
		}
		events := make([]dispatcher.PublishedEvent, len(messages))
		for i, m := range messages {
			events[i] = dispatcher.PublishedEvent{Position: positionAfter(m), ID: m.ID, Key: m.Key, Payload: m.Payload}
		}
		if !yield(events, nil) {
			return nil
		}
		from += uint64(len(messages))
	}
}

// offsetOf is where to begin to read: at the event behind the position, or at the one before, to look whether it has the
// check. Its error is a *PositionError.
func (l *Ledger) offsetOf(p dispatcher.Position) (uint64, error) {
	info, err := l.broker.Topic(tasks.TopicUpdates)
	switch {
	case err != nil:
		return 0, l.brokerClosed(err)
	case p.Sequence > info.End:
		lost := positionError(p, info, "it lies beyond their end")
		lost.NeverTold = p.Check == ""
		return 0, lost
	case p.Sequence < info.Start:
		return 0, positionError(p, info, "the oldest ones are not there any more")
	case p.Check == "":
		return p.Sequence, nil
	case p.Sequence == info.Start:
		return 0, positionError(p, info, "the event before it is not there any more")
	}
	return p.Sequence - 1, nil
}

// lostPosition is the error of a position that is of no use.
func (l *Ledger) lostPosition(p dispatcher.Position, reason string) error {
	info, err := l.broker.Topic(tasks.TopicUpdates)
	if err != nil {
		return l.brokerClosed(err)
	}
	return positionError(p, info, reason)
}

func positionError(p dispatcher.Position, info broker.TopicInfo, reason string) *dispatcher.PositionError {
	return &dispatcher.PositionError{
		At: p, Begin: dispatcher.Position{Sequence: info.Start}, End: dispatcher.Position{Sequence: info.End}, Reason: reason,
	}
}

// readEventsError is why reading events has failed. open is ctx until the ledger is closed.
func (l *Ledger) readEventsError(ctx, open context.Context, err error) error {
	var gone *commitlog.OutOfRangeError
	switch {
	case open.Err() != nil:
		return l.closedError(ctx)
	case errors.As(err, &gone):
		return l.lostPosition(dispatcher.Position{Sequence: gone.Offset}, "the oldest ones are not there any more")
	}
	return l.brokerClosed(fmt.Errorf("read events: %w", err))
}

// brokerClosed says ErrClosed where the broker is.
func (l *Ledger) brokerClosed(err error) error {
	if errors.Is(err, broker.ErrClosed) {
		return dispatcher.ErrClosed
	}
	return err
}

// LastEvent is the position behind the newest event.
func (l *Ledger) LastEvent(ctx context.Context) (dispatcher.Position, error) {
	if err := ctx.Err(); err != nil {
		return dispatcher.Position{}, err
	}
	info, err := l.broker.Topic(tasks.TopicUpdates)
	if err != nil {
		return dispatcher.Position{}, l.brokerClosed(err)
	}
	if info.End == info.Start {
		return dispatcher.Position{Sequence: info.End}, nil
	}
	m, err := l.broker.Read(tasks.TopicUpdates, info.End-1)
	if err != nil {
		return dispatcher.Position{}, l.brokerClosed(fmt.Errorf("read the last event: %w", err))
	}
	return positionAfter(m), nil
}

func positionAfter(m broker.Message) dispatcher.Position {
	return dispatcher.Position{Sequence: m.Offset + 1, Check: eventCheck(m)}
}

// eventCheck tells an event from any other that ever has its offset. Together with the time of the commit it also tells
// apart the same event in topics that were filled in another order.
func eventCheck(m broker.Message) string {
	h := sha256.New()
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], uint64(m.Time.UnixMicro()))
	h.Write(t[:])
	h.Write([]byte(m.ID))
	h.Write(m.Payload)
	return hex.EncodeToString(h.Sum(nil)[:dispatcher.CheckLength/2])
}
