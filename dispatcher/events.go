package dispatcher

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// Position is a place in the order of all events: behind the event with this sequence. Events count from 1.
//
//	0                    before the first event
//	1234-9f86d081884c    behind event 1234, if that is still the event with this check
//	1234                 behind whatever event has the sequence 1234
//
// With its check a position notices that the events were lost and published again in another order, or that an older
// copy of them was put back and went on differently: then it is of no use, and says so.
type Position struct {
	Sequence uint64
	// Check is a part of the SHA-256 of the event, in lower-case hex; "" if it is not known.
	Check string
}

// CheckLength is how many characters [Position.Check] has.
const CheckLength = 12

// String writes the position as ParsePosition reads it.
func (p Position) String() string {
	s := strconv.FormatUint(p.Sequence, 10)
	if p.Check != "" {
		s += "-" + p.Check
	}
	return s
}

// ParsePosition reads what [Position.String] wrote, and refuses any other spelling.
func ParsePosition(s string) (Position, error) {
	number, check, has := strings.Cut(s, "-")
	sequence, err := strconv.ParseUint(number, 10, 63)
	p := Position{sequence, check}
	if err != nil || p.String() != s || has && (sequence == 0 || !isCheck(check)) {
		return Position{}, fmt.Errorf("%q is no position among events", s)
	}
	return p, nil
}

func isCheck(s string) bool {
	return len(s) == CheckLength && strings.Trim(s, "0123456789abcdef") == ""
}

// PublishedEvent is an event in the order in which all events are told.
type PublishedEvent struct {
	// Position is behind this event.
	Position Position
	// ID is the same for every repeat; events with one Key keep their order.
	ID, Key string
	Payload []byte
}

// Events are batches of events in their order. A batch without events says that there are no more at the moment; the next
// one comes when there are. It ends with the first error, after which nothing follows.
type Events = iter.Seq2[[]PublishedEvent, error]

// PositionError says that a position is not one in the events as they are now: they end before it, begin behind it, or
// another event has its sequence. Events that were published again have the ids that they had.
type PositionError struct {
	At Position
	// Begin is the position before the oldest event that there is, and End has the sequence of the newest, 0 if there is none.
	Begin, End Position
	// NeverTold says that At is a bare sequence beyond the newest event. It names no event, so nothing shows that there ever was one:
	// rather than lost, it is wrong.
	NeverTold bool
	Reason    string
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("position %s among the events: %s; they begin at %s", e.At, e.Reason, e.Begin)
}

// ReadEvents reads what other services are told: see [Ledger].
func (d *Dispatcher) ReadEvents(ctx context.Context, after Position, maxBytes int) Events {
	return d.ledger.ReadEvents(ctx, after, maxBytes)
}

// LastEvent is the position behind the newest event.
func (d *Dispatcher) LastEvent(ctx context.Context) (Position, error) { return d.ledger.LastEvent(ctx) }
