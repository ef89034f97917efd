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
	// ErrBadPosition says that a group cannot start there: the offset lies beyond the topic's end.
	ErrBadPosition = errors.New("position is beyond the topic's end")
)

// A DamageError says that files on disk contradict each other or cannot be decoded: something other than a
// crash changed them. The broker does not open, or the reader does not go on, rather than skip messages.
type DamageError struct {
	Topic, Group string // Group is empty when the topic itself is damaged
	Offset       uint64 // in the topic, or in its groups log when decoding that failed
	Err          error
}

func (e *DamageError) Error() string {
	if e.Group == "" {
		return fmt.Sprintf("topic %s is damaged at offset %d: %v", e.Topic, e.Offset, e.Err)
	}
	return fmt.Sprintf("group %s of topic %s is damaged at offset %d: %v", e.Group, e.Topic, e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }
