package brokergrpc

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker"
)

// ackVersion begins every ack ID. It is no file format: IDs do not outlive the process, since locks do not.
//
//	base64url( version, topic, group, offset, lock (8 bytes), lock timeout (µs) )   numbers are varints
const ackVersion = 1

// encodeAckID names the delivery for a client that ends it later, perhaps from another connection.
func encodeAckID(l broker.Lease) string {
	var buf [384]byte
	b := append(buf[:0], ackVersion)
	b = appendText(b, l.Topic)
	b = appendText(b, l.Group)
	b = binary.AppendUvarint(b, l.Offset)
	b = binary.LittleEndian.AppendUint64(b, l.Lock)
	b = binary.AppendUvarint(b, uint64(l.Timeout.Microseconds()))
	return base64.RawURLEncoding.EncodeToString(b)
}

var (
	errAckEmpty    = errors.New("it is empty")
	errAckEncoding = errors.New("it is not base64url without padding")
	errAckVersion  = errors.New("it is of another version of casepress")
	errAckShort    = errors.New("it is cut short")
	errAckTail     = errors.New("it is too long")
	errAckTimeout  = errors.New("its lock timeout is out of range")
)

// decodeAckID decodes what encodeAckID made.
func decodeAckID(id string) (broker.Lease, error) {
	var buf [512]byte
	b, err := base64.RawURLEncoding.AppendDecode(buf[:0], []byte(id))
	switch {
	case id == "":
		return broker.Lease{}, notAnAckID(id, errAckEmpty)
	case err != nil || len(b) == 0:
		return broker.Lease{}, notAnAckID(id, errAckEncoding)
	case b[0] != ackVersion:
		return broker.Lease{}, notAnAckID(id, errAckVersion)
	}
	r := ackReader{b: b[1:]}
	topic, group, offset, lock, timeout := r.text(), r.text(), r.number(), r.fixed(), r.number()
	switch {
	case r.short:
		return broker.Lease{}, notAnAckID(id, errAckShort)
	case len(r.b) > 0:
		return broker.Lease{}, notAnAckID(id, errAckTail)
	case timeout > uint64(math.MaxInt64/time.Microsecond):
		return broker.Lease{}, notAnAckID(id, errAckTimeout)
	}
	return broker.Lease{
		Topic: topic, Group: group, Offset: offset, Lock: lock, Timeout: time.Duration(timeout) * time.Microsecond,
	}, nil
}

// checkTimeout refuses a lock timeout that no delivery can have: whoever changed an ID could hold a message for ever.
func (s *Service) checkTimeout(id string, l broker.Lease) error {
	usual := s.broker.LockTimeout()
	if l.Timeout < min(minLockTimeout, usual) || l.Timeout > max(maxLockTimeout, usual) {
		return notAnAckID(id, errAckTimeout)
	}
	return nil
}

func notAnAckID(id string, why error) error {
	return status.Errorf(codes.InvalidArgument, "ack_id: %.60q was not made by this broker: %v; send what came with the message, unchanged", id, why)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// ackReader takes values off the front of b. After the first that is cut short every value is zero.
type ackReader struct {
	b     []byte
	short bool
}

func (r *ackReader) fail() {
	r.b, r.short = nil, true
}

func (r *ackReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *ackReader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// fixed reads eight bytes.
func (r *ackReader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}
