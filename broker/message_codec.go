package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// A message in the topic's log. These values are part of the file format: do not change them, add a version.
// The log adds offset, time and checksum. Numbers are unsigned varints; text is its length and its bytes.
//
//	+---------+-------+------+------+--------------------+---------------+-------------------+---------+
//	| version | flags | id   | key  | number of headers  | name, value   | deliver at (µs)   | payload |
//	| 1 byte  | 1 byte| text | text |                    | text, text,...| only with flag 1  | to end  |
//	+---------+-------+------+------+--------------------+---------------+-------------------+---------+
const (
	messageVersion  = 1
	flagDeliverAt   = 1
	usualOverhead   = 32       // bytes beside id, key and payload when there are no headers, with room to spare
	messageOverhead = 64 << 10 // room that a record needs at most beside the payload, dead-letter headers included
)

var (
	errVersion = errors.New("unknown version")
	errShort   = errors.New("cut short")
	errFlags   = errors.New("unknown flags")
)

// appendMessage encodes m.
func appendMessage(b []byte, m *Message) []byte {
	var flags byte
	if !m.DeliverAt.IsZero() {
		flags = flagDeliverAt
	}
	b = append(b, messageVersion, flags)
	b = appendText(b, m.ID)
	b = appendText(b, m.Key)
	b = binary.AppendUvarint(b, uint64(len(m.Headers)))
	for _, h := range m.Headers {
		b = appendText(b, h.Name)
		b = appendText(b, h.Value)
	}
	if flags&flagDeliverAt != 0 {
		b = binary.AppendUvarint(b, uint64(max(m.DeliverAt.UnixMicro(), 0)))
	}
	return append(b, m.Payload...)
}

// decodeMessage decodes what appendMessage made. The message shares no memory with b.
func decodeMessage(b []byte) (Message, error) {
	flags, r, err := openMessage(b)
	if err != nil {
		return Message{}, err
	}
	m := Message{ID: r.text(), Key: r.text()}
	if n := r.count(2); n > 0 { // a header takes two bytes at least
		m.Headers = make([]Header, n)
		for i := range m.Headers {
			m.Headers[i] = Header{Name: r.text(), Value: r.text()}
		}
	}
	if flags&flagDeliverAt != 0 {
		m.DeliverAt = microTime(int64(min(r.number(), math.MaxInt64)))
	}
	if r.err != nil {
		return Message{}, r.err
	}
	m.Payload = append([]byte(nil), r.b...)
	return m, nil
}

// decodeID decodes no more than the ID.
func decodeID(b []byte) (string, error) {
	_, r, err := openMessage(b)
	if err != nil {
		return "", err
	}
	id := r.text()
	return id, r.err
}

// decodeKey decodes no more than the key.
func decodeKey(b []byte) (string, error) {
	_, r, err := openMessage(b)
	if err != nil {
		return "", err
	}
	_, key := r.text(), r.text()
	return key, r.err
}

func openMessage(b []byte) (flags byte, r reader, err error) {
	switch {
	case len(b) < 2:
		return 0, r, errShort
	case b[0] != messageVersion:
		return 0, r, fmt.Errorf("%w %d", errVersion, b[0])
	case b[1]&^flagDeliverAt != 0:
		return 0, r, fmt.Errorf("%w %#x", errFlags, b[1])
	}
	return b[1], reader{b: b[2:]}, nil
}

func microTime(us int64) time.Time { return time.UnixMicro(us).UTC() }

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes encoded values off the front of b. After the first error every value is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many elements follow, each of at least size bytes, so that nothing is allocated for a lie.
func (r *reader) count(size int) int {
	n := r.number()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count(1)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) fail() { r.reject(errShort) }

// reject remembers the first error and leaves nothing to read.
func (r *reader) reject(err error) {
	r.b = nil
	if r.err == nil {
		r.err = err
	}
}
