package broker

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// ackVersion begins every ack ID. It is no file format: IDs do not outlive the process, since locks do not.
//
//	base64url( version, topic, group, offset, lock (8 bytes), lock timeout (µs) )   numbers are varints
const ackVersion = 1

// AckID names the delivery for a client that settles it later, perhaps from another connection: see
// Broker.Delivery. It tells nothing but where the message lies, and is good for as long as the lock.
func (d Delivery) AckID() string {
	g := d.sub.group
	var buf [384]byte
	b := append(buf[:0], ackVersion)
	b = appendText(b, g.topic.name)
	b = appendText(b, g.name)
	b = binary.AppendUvarint(b, d.Offset)
	b = binary.LittleEndian.AppendUint64(b, d.lock)
	b = binary.AppendUvarint(b, uint64(d.lockTimeout))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Delivery returns the delivery that an ack ID names, without its message. Its methods return ErrLockLost when
// the message went to another member meanwhile, and after a restart, unless it is acknowledged. Delivery itself
// returns ErrInvalid for what is no ack ID, and ErrLockLost when the topic or the group is gone.
func (b *Broker) Delivery(ackID string) (Delivery, error) {
	var buf [512]byte
	raw, err := base64.RawURLEncoding.AppendDecode(buf[:0], []byte(ackID))
	if err != nil || len(raw) == 0 || raw[0] != ackVersion {
		return Delivery{}, fmt.Errorf("%w: ack id", ErrInvalid)
	}
	r := reader{b: raw[1:]}
	topic, group, offset, lock, lockTimeout := r.text(), r.text(), r.number(), r.fixed(), r.number()
	if r.err != nil || len(r.b) > 0 || lockTimeout > 1<<62 {
		return Delivery{}, fmt.Errorf("%w: ack id", ErrInvalid)
	}
	if b.closed.Load() {
		return Delivery{}, ErrClosed
	}
	t := (*b.topics.Load())[topic]
	if t == nil {
		return Delivery{}, fmt.Errorf("%w: no topic %q", ErrLockLost, topic)
	}
	g := t.group(group)
	if g == nil {
		return Delivery{}, fmt.Errorf("%w: no group %q", ErrLockLost, group)
	}
	return Delivery{
		Message: Message{Topic: topic, Offset: offset},
		sub:     &g.anyone, lock: lock, lockTimeout: int64(lockTimeout),
	}, nil
}

// fixed reads eight bytes.
func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}
