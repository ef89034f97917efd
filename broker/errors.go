package broker

import (
	"errors"
	"fmt"
)

var (
	// ErrNoTopic says that there is no topic of that name.
	ErrNoTopic = errors.New("no such topic")
	// ErrNoGroup says that nobody ever subscribed to the topic under that group name.
	ErrNoGroup = errors.New("no such group")
	// ErrLockLost says that a delivery no longer belongs to its holder: its lock lapsed and somebody else
	// has the message, or it was released, rejected or acknowledged before. Nothing was changed.
	ErrLockLost = errors.New("lock on the delivery is lost")
	// ErrClosed says that the broker or the subscription was closed.
	ErrClosed = errors.New("broker is closed")
	// ErrInvalid says that a name, a message or a setting is outside its limits; the text says which.
	ErrInvalid = errors.New("invalid")
	// ErrGroupAhead says that a group has been delivered messages that its topic's log no longer has: the log's end was
	// damaged and cut off, or the log is older than what the group did. It is found in a *DamageError.
	ErrGroupAhead = errors.New("the group was delivered messages beyond the topic's end")
	// ErrGroupBehind says that messages are gone which a group has not acknowledged: the oldest segments of the topic's
	// log were removed, or what the group did is older than the log. It is found in a *DamageError.
	ErrGroupBehind = errors.New("messages that the group has not acknowledged are gone")
	// ErrBadPosition says that a group cannot start there: the offset lies beyond the topic's end.
	ErrBadPosition = errors.New("position is beyond the topic's end")
)

// A DamageError says that files on disk contradict each other or cannot be decoded: something other than a
// crash changed them. The broker does not open, or the reader does not go on, rather than skip messages.
type DamageError struct {
	Topic, Group string // Group is empty when the topic itself is damaged
	Offset       uint64 // in the topic, or in its groups log when decoding that failed
	Dir          string // folder of the log that is damaged, if the broker did not open
	Cure         string // what an operator can do and what that costs; may be empty
	Err          error
}

func (e *DamageError) Error() string {
	text := fmt.Sprintf("topic %s is damaged at offset %d: %v", e.Topic, e.Offset, e.Err)
	if e.Group != "" {
		text = fmt.Sprintf("group %s of %s", e.Group, text)
	}
	if e.Dir != "" {
		text += fmt.Sprintf(" (log %s)", e.Dir)
	}
	if e.Cure != "" {
		text += "; " + e.Cure
	}
	return text
}

func (e *DamageError) Unwrap() error { return e.Err }
