package client

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	pb "casepress/broker/brokerpb"
)

// leases are the messages that a consumer holds: their locks are renewed, and what became of them is sent. Settlements
// that come while others are on their way go together.
type leases struct {
	broker pb.BrokerClient
	opts   ConsumerOptions
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	work   wakeup        // there is something to send
	ending chan struct{} // closed by close

	renewing wakeup // the locks are to be renewed now

	// Guarded by inHand.mu.
	held    map[*job]struct{}
	settled []*pb.Settlement // that are not sent yet
}

func newLeases(b pb.BrokerClient, o ConsumerOptions) *leases {
	l := &leases{
		broker: b, opts: o, work: newWakeup(), renewing: newWakeup(), ending: make(chan struct{}),
		held: make(map[*job]struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.tasks.Go(l.send)
	l.tasks.Go(l.renewAll)
	return l
}

// close sends what is settled and ends. What no handler has begun stays in hand: see leave.
func (l *leases) close() {
	close(l.ending)
	timer := time.AfterFunc(l.opts.LockTimeout, l.cancel) // after that it came again anyway
	l.tasks.Wait()
	timer.Stop()
	l.cancel()
}

// send sends settlements until close was called and none is left.
func (l *leases) send() {
	for {
		batch := l.takeSettled()
		if len(batch) > 0 {
			l.ack(batch)
			continue
		}
		select {
		case <-l.work:
		case <-l.ending:
			if batch := l.takeSettled(); len(batch) > 0 {
				l.ack(batch)
				continue
			}
			return
		}
	}
}

// ack tries for as long as the locks may last. What is lost comes again.
func (l *leases) ack(batch []*pb.Settlement) {
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.LockTimeout)
	defer cancel()
	for n := 0; ; n++ {
		a, err := l.broker.Ack(ctx, &pb.AckRequest{Settlements: batch})
		if err == nil {
			l.report(batch, a)
			return
		}
		if !isTemporary(err) || sleep(ctx, backoffFor(n, firstBackoff, maxBackoff)) != nil {
			l.opts.Logger.Warn("messages could not be settled and come again", "group", l.opts.Group, "messages", len(batch), "error", err)
			return
		}
	}
}

func (l *leases) report(batch []*pb.Settlement, a *pb.AckResponse) {
	for _, r := range a.GetResults() {
		if f := r.GetFailure(); f != nil {
			l.opts.Logger.Warn("message was not settled and comes again", "topic", l.opts.Topic, "group", l.opts.Group, "error", f.GetMessage())
		}
	}
}

// renewAll renews all locks three times within a lock timeout.
func (l *leases) renewAll() {
	tick := time.NewTicker(l.opts.LockTimeout / 3)
	defer tick.Stop()
	for {
		select {
		case <-l.ending:
			return
		case <-tick.C:
		case <-l.renewing:
		}
		l.renew()
	}
}

func (l *leases) renew() {
	jobs, ackIDs := l.renewable()
	for from := 0; from < len(jobs); from += maxSettlements {
		to := min(from+maxSettlements, len(jobs))
		l.renewBatch(jobs[from:to], ackIDs[from:to])
	}
}

// maxSettlements go into one request; the broker takes ten times as many.
const maxSettlements = 1000

func (l *leases) renewBatch(jobs []*job, ackIDs []string) {
	r := &pb.AckRequest{}
	for _, ackID := range ackIDs {
		r.Settlements = append(r.Settlements, &pb.Settlement{AckId: ackID, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}})
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.LockTimeout/3)
	defer cancel()
	a, err := l.broker.Ack(ctx, r)
	if err != nil {
		l.opts.Logger.Warn("locks were not renewed", "group", l.opts.Group, "messages", len(jobs), "error", err)
		return
	}
	for i, one := range a.GetResults() {
		if codes.Code(one.GetFailure().GetCode()) == codes.FailedPrecondition && i < len(jobs) {
			l.lose(jobs[i], ackIDs[i])
		}
	}
}

// leaveTimeout is how long it may take to give back what no handler has begun.
const leaveTimeout = 5 * time.Second

// leave gives back what no handler has begun. The stream that brought it has ended, or it would come again over that.
func (l *leases) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	for batch := range slices.Chunk(l.takeWaiting(), maxSettlements) {
		if _, err := l.broker.Ack(ctx, &pb.AckRequest{Settlements: batch}); err != nil {
			l.opts.Logger.Warn("messages could not be given back and count as delivered", "group", l.opts.Group, "messages", len(batch), "error", err)
			return
		}
	}
}

// A wakeup wakes the one goroutine that receives from it, now or when it comes to receive.
type wakeup chan struct{}

func newWakeup() wakeup { return make(wakeup, 1) }

func (w wakeup) wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}
