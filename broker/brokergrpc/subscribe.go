package brokergrpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

const (
	minLockTimeout = 10 * time.Millisecond
	maxLockTimeout = 24 * time.Hour
	maxWindow      = 1 << 16
	together       = 64       // deliveries taken at once, and so at most in a response
	togetherBytes  = 64 << 10 // of deliveries in a response, the first may be larger
)

type subscribeStream = grpc.ServerStreamingServer[brokerpb.SubscribeResponse]

// Subscribe sends deliveries until the client goes or the service stops. What is in hand is given back then: counted, after a pause,
// where it was sent to a client that acknowledges and went without a word; else as if it had never been delivered.
func (s *Service) Subscribe(r *brokerpb.SubscribeRequest, stream subscribeStream) error {
	if err := s.mayActAs(r.GetTopic(), r.GetConsumerGroup()); err != nil {
		return err
	}
	from := &reader{connection: s.connectionOf(stream.Context()), own: ownBytes, overhead: aloneOverhead}
	if r.GetTogether() > 1 {
		from.overhead = togetherOverhead
	}
	leave, err := from.enter()
	if err != nil {
		return err
	}
	defer leave()
	leaveAll, err := s.enterMember()
	if err != nil {
		return err
	}
	defer leaveAll()
	o, err := toSubscribeOptions(r)
	if err != nil {
		return err
	}
	ctx, cancel := s.untilStop(stream.Context())
	defer cancel()
	if ctx.Err() != nil {
		return errStopping
	}
	if err := s.ensureTopic(ctx, r.GetTopic()); err != nil {
		return err
	}
	var sub *broker.Subscription
	err = s.makeGroup(r.GetTopic(), r.GetConsumerGroup(), func() (err error) {
		sub, err = s.broker.Subscribe(r.GetTopic(), r.GetConsumerGroup(), o)
		return err
	})
	if err != nil {
		return statusOf(err)
	}
	if err := stream.SendHeader(nil); err != nil { // tells the client that it is a member now
		return errors.Join(err, sub.Close())
	}
	send := func(ds []broker.Delivery) error { return sendTogether(stream, from, ds, max(int(r.GetTogether()), 1)) }
	if isAutomatic(r) {
		a := newAutoAck(stream.Context(), send)
		defer a.close()
		send = a.send
	} else {
		from.alive = func() bool { return stream.Context().Err() == nil }
	}
	err = deliver(ctx, sub, from, send)
	if s.ctx.Err() != nil {
		err = errStopping
	}
	if s.ctx.Err() != nil || isAutomatic(r) || stream.Context().Err() == nil {
		return statusOf(errors.Join(err, sub.Close()))
	}
	sub.GiveBack(from.neverWritten())
	return statusOf(errors.Join(err, sub.Break()))
}

// deliver hands out what there is until ctx ends or send fails.
func deliver(ctx context.Context, sub *broker.Subscription, from *reader, send func([]broker.Delivery) error) error {
	for {
		ds, err := from.receive(ctx, sub, broker.ReceiveOptions{Max: together, MaxBytes: togetherBytes})
		if err != nil {
			return err
		}
		if err := send(ds); err != nil {
			return err
		}
	}
}

// sendTogether sends deliveries, up to most in a response. Their bytes are counted as unread, until they are written.
func sendTogether(stream subscribeStream, from *reader, ds []broker.Delivery, most int) error {
	for len(ds) > 0 {
		n, size := 1, ds[0].Size()
		for n < min(len(ds), most) && size+ds[n].Size() <= togetherBytes {
			size += ds[n].Size()
			n++
		}
		if err := from.send(stream, ds[:n], from.bytes(ds[:n])); err != nil {
			from.release(from.bytes(ds[n:]))
			from.noteSent(ds[n:])
			return err
		}
		ds = ds[n:]
	}
	return nil
}

func toSubscribeOptions(r *brokerpb.SubscribeRequest) (broker.SubscribeOptions, error) {
	o, err := toGroupOptions(r.GetMaxDeliveries(), r.GetFrom(), r.GetOrdered())
	if err != nil {
		return o, err
	}
	if r.GetWindow() > maxWindow {
		return o, invalid("window", "must be at most 65536")
	}
	o.Window = int(r.GetWindow())
	if isAutomatic(r) {
		if o.Window > 0 && o.Window < 2*autoBehind {
			return o, invalid("window", fmt.Sprintf("must be 0 or at least %d with ACK_MODE_AUTOMATIC", 2*autoBehind))
		}
		o.Window = max(o.Window, 2*autoBehind)
	}
	o.LockTimeout, err = toDuration("lock_timeout", r.GetLockTimeout(), minLockTimeout, maxLockTimeout)
	return o, err
}

func toGroupOptions(maxDeliveries uint32, from *brokerpb.Position, ordered bool) (o broker.SubscribeOptions, err error) {
	if maxDeliveries > math.MaxInt32 {
		return o, invalid("max_deliveries", "must be at most 2147483647")
	}
	o.MaxDeliveries, o.Ordered = int(maxDeliveries), ordered
	o.From, err = toPosition("from", from)
	return o, err
}

// isAutomatic says whether the subscriber leaves acknowledging to the broker. One that says no more than the
// article's clients can is one of them, and has no way to acknowledge.
func isAutomatic(r *brokerpb.SubscribeRequest) bool {
	switch r.GetAckMode() {
	case brokerpb.AckMode_ACK_MODE_AUTOMATIC:
		return true
	case brokerpb.AckMode_ACK_MODE_UNSPECIFIED:
		return r.GetWindow() == 0 && r.LockTimeout == nil && r.GetMaxDeliveries() == 0 && !r.GetOrdered()
	}
	return false
}

const (
	autoAfter  = time.Second // a message counts as taken when the stream has lived on so long after it,
	autoBehind = 1024        // or when so many more have gone out
)

// An autoAck acknowledges for a subscriber that does not. What the subscriber may not have got when it went is
// not acknowledged, as far as can be told.
type autoAck struct {
	handOut func([]broker.Delivery) error
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	mu    sync.Mutex // guards queue
	queue []handedOut
}

type handedOut struct {
	delivery broker.Delivery // without payload
	at       time.Time
}

func newAutoAck(ctx context.Context, handOut func([]broker.Delivery) error) *autoAck {
	ctx, cancel := context.WithCancel(ctx)
	a := &autoAck{handOut: handOut, cancel: cancel}
	a.tasks.Go(func() { a.run(ctx) })
	return a
}

func (a *autoAck) close() {
	a.cancel()
	a.tasks.Wait()
}

func (a *autoAck) send(ds []broker.Delivery) error {
	if err := a.handOut(ds); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, d := range ds {
		d.Message = broker.Message{Offset: d.Offset}
		a.queue = append(a.queue, handedOut{d, now})
	}
	a.acknowledge(len(a.queue) - autoBehind)
	return nil
}

// acknowledge acknowledges the first n. A lock that was lost meanwhile is no matter: it comes again to somebody.
func (a *autoAck) acknowledge(n int) {
	if n <= 0 {
		return
	}
	for _, h := range a.queue[:n] {
		_ = h.delivery.Ack()
	}
	a.queue = a.queue[n:]
}

func (a *autoAck) run(ctx context.Context) {
	tick := time.NewTicker(autoAfter / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			a.mu.Lock()
			n := 0
			for n < len(a.queue) && now.Sub(a.queue[n].at) >= autoAfter {
				n++
			}
			a.acknowledge(n)
			a.mu.Unlock()
		}
	}
}
