package broker

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Limits of what a message carries beside its payload.
const (
	MaxID          = 512  // bytes of an ID
	MaxKey         = 1024 // bytes of a key
	MaxHeaders     = 64   // headers of a published message
	MaxHeaderBytes = 8192 // bytes of all header names and values together
)

// Header is a name and a value that travel with a message. Names may repeat.
type Header struct{ Name, Value string }

// Message is what producers publish and consumers get. A producer sets the first five fields; the broker sets
// the others and ignores what a producer put there.
type Message struct {
	ID        string    // names the message for deduplication within the window; may be empty
	Key       string    // what the message is about; may be empty
	Headers   []Header  // may be nil
	Payload   []byte    // never looked into
	DeliverAt time.Time // not delivered before; zero: at once. At most Options.MaxDelay ahead; counts as unacknowledged meanwhile

	Topic  string
	Offset uint64
	Time   time.Time // when the broker took it, UTC
}

// Header returns the value of the first header of that name, or "".
func (m *Message) Header(name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// Size returns the bytes of payload, ID, key and headers.
func (m *Message) Size() int {
	return len(m.Payload) + len(m.ID) + len(m.Key) + m.headerBytes()
}

func (m *Message) headerBytes() (n int) {
	for _, h := range m.Headers {
		n += len(h.Name) + len(h.Value)
	}
	return n
}

// check says what is wrong with a message that a producer hands in.
func (m *Message) check(maxBytes int) error {
	size := m.headerBytes()
	switch {
	case len(m.Payload) > maxBytes:
		return fmt.Errorf("%w: payload of %d bytes, the limit is %d", ErrInvalid, len(m.Payload), maxBytes)
	case len(m.ID) > MaxID:
		return fmt.Errorf("%w: id of %d bytes, the limit is %d", ErrInvalid, len(m.ID), MaxID)
	case len(m.Key) > MaxKey:
		return fmt.Errorf("%w: key of %d bytes, the limit is %d", ErrInvalid, len(m.Key), MaxKey)
	case len(m.Headers) > MaxHeaders:
		return fmt.Errorf("%w: %d headers, the limit is %d", ErrInvalid, len(m.Headers), MaxHeaders)
	case size > MaxHeaderBytes:
		return fmt.Errorf("%w: %d bytes of headers, the limit is %d", ErrInvalid, size, MaxHeaderBytes)
	}
	return m.checkText()
}

// checkText keeps what other languages must read as strings valid UTF-8.
func (m *Message) checkText() error {
	ok := utf8.ValidString(m.ID) && utf8.ValidString(m.Key)
	for _, h := range m.Headers {
		ok = ok && utf8.ValidString(h.Name) && utf8.ValidString(h.Value)
	}
	if !ok {
		return fmt.Errorf("%w: id, key and headers must be UTF-8", ErrInvalid)
	}
	return nil
}
