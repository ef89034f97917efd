package broker

import (
	"cmp"
	"fmt"
	"time"
)

// A Delivery is a message in the hands of one consumer, held until the lock lapses. End it with one of Ack,
// Release and Reject. When the lock has lapsed and another member has the message they return ErrLockLost and
// change nothing; while nobody has taken it they still work.
type Delivery struct {
	Message
	Count int // deliveries to this group so far, this one included: 1 is the first

	sub         *Subscription
	lock        uint64
	lockTimeout int64 // microseconds
	loaded      bool  // Message is there
}

// A Lease names a delivery by value, so that it can be ended from elsewhere, such as another connection of a client:
// see Broker.Delivery. It is good for as long as the process runs and nobody else got the message.
type Lease struct {
	Topic, Group string
	Offset       uint64
	Lock         uint64        // of the delivery; a later delivery of the message has another
	Timeout      time.Duration // for which Renew holds the message
}

// Lease returns what names the delivery.
func (d Delivery) Lease() Lease {
	g := d.sub.group
	return Lease{
		Topic: g.topic.name, Group: g.name, Offset: d.Offset, Lock: d.lock,
		Timeout: time.Duration(d.lockTimeout) * time.Microsecond,
	}
}

// Delivery returns the delivery that a lease names, without its message. Its methods return ErrLockLost when the
// message went to another member meanwhile, and after a restart, unless it is acknowledged. Delivery itself returns
// ErrLockLost when the topic or the group is gone.
func (b *Broker) Delivery(l Lease) (Delivery, error) {
	if b.closed.Load() {
		return Delivery{}, ErrClosed
	}
	t := (*b.topics.Load())[l.Topic]
	if t == nil {
		return Delivery{}, fmt.Errorf("%w: no topic %q", ErrLockLost, l.Topic)
	}
	g := t.group(l.Group)
	if g == nil {
		return Delivery{}, fmt.Errorf("%w: no group %q", ErrLockLost, l.Group)
	}
	return Delivery{
		Message: Message{Topic: l.Topic, Offset: l.Offset},
		sub:     &g.anyone, lock: l.Lock, lockTimeout: l.Timeout.Microseconds(),
	}, nil
}

// Ack says that the message is done. It does not wait for the disk: it is durable within Options.AckDelay and
// one sync, and a power cut before that costs a redelivery, never a loss. Acknowledging what is acknowledged
// already is no error.
func (d Delivery) Ack() error {
	return d.sub.group.act(func(s *groupState, _ instant) error { return s.ack(d.Offset, d.lock) })
}

// Release gives the message up for after, at most Options.MaxDelay; then any member may get it. The delivery stays counted. As durable
// as an Ack.
func (d Delivery) Release(after time.Duration) error {
	if most := d.sub.group.topic.broker.opts.MaxDelay; after < 0 || after > most {
		return fmt.Errorf("%w: release for %v, it must be 0 to %v", ErrInvalid, after, most)
	}
	return d.sub.group.act(func(s *groupState, now instant) error {
		return s.release(d.Offset, d.lock, now.steady, now.steady+after.Microseconds())
	})
}

// GiveBack gives the message up at once as if it had never been delivered: it counts for nothing. It is for who has not begun to
// work on it. As durable as an Ack.
func (d Delivery) GiveBack() error {
	return d.sub.group.act(func(s *groupState, _ instant) error { return s.giveBack(d.Offset, d.lock) })
}

// Renew holds the message for another lock timeout from now on.
func (d Delivery) Renew() error {
	return d.sub.group.act(func(s *groupState, now instant) error {
		return s.renew(d.Offset, d.lock, now.steady+d.lockTimeout)
	})
}

// Reject publishes the message to the dead-letter topic, <topic>.dead, with the headers Dead…, and when that is
// on stable storage acknowledges it. When publishing fails the message stays held.
func (d Delivery) Reject(reason string) error {
	r, err := d.StartReject(reason)
	if err != nil {
		return err
	}
	return r.Wait()
}

// A Rejection is a Reject on its way to stable storage. Wait must be called, once.
type Rejection struct {
	delivery Delivery
	letter   letter
}

// StartReject is Reject without the wait for the disk: Wait of what it returns is that. So many rejections become durable
// together. Until then nobody else gets the message, and nothing else can be done with the delivery. It waits only as
// [Broker.Enqueue] does.
func (d Delivery) StartReject(reason string) (*Rejection, error) {
	g := d.sub.group
	var count uint32
	var incarnation uint64
	err := g.act(func(s *groupState, _ instant) (err error) {
		count, err = s.reject(d.Offset, d.lock)
		incarnation = s.incarnation
		return err
	})
	if err != nil {
		return nil, err
	}
	r := &Rejection{delivery: d}
	b := g.topic.broker
	m, err := d.message()
	if err == nil {
		r.letter, err = b.deadLetter(b.ctx, m, g.name, incarnation, reason, int(count))
	}
	if err != nil {
		return nil, r.end(err)
	}
	return r, nil
}

// Wait returns when the dead letter is on stable storage and the message acknowledged, with the errors of Reject.
func (r *Rejection) Wait() error {
	return r.end(r.letter.wait(r.delivery.sub.group.topic.broker.ctx))
}

// end acknowledges the message, or lets the delivery go on if it failed, and returns why.
func (r *Rejection) end(failed error) error {
	g := r.delivery.sub.group
	err := g.act(func(s *groupState, _ instant) error {
		if failed != nil {
			s.undoReject(r.delivery.Offset)
			return nil
		}
		s.deadLettered(r.delivery.Offset)
		return nil
	})
	if failed != nil && g.topic.broker.closed.Load() {
		return fmt.Errorf("%w: %w", ErrClosed, failed)
	}
	return cmp.Or(failed, err)
}

// message returns the message, reading it if the delivery was made from an ack ID.
func (d Delivery) message() (Message, error) {
	if d.loaded {
		return d.Message, nil
	}
	t := d.sub.group.topic
	return t.read(t.broker.ctx, d.Offset)
}
