package client

import (
	"context"
	"maps"
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

	mu      sync.Mutex
	held    map[*job]context.CancelCauseFunc
	settled []*pb.Settlement
}

func newLeases(b pb.BrokerClient, o ConsumerOptions) *leases {
	l := &leases{
		broker: b, opts: o, work: newWakeup(), ending: make(chan struct{}),
		held: make(map[*job]context.CancelCauseFunc),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.tasks.Go(l.send)
	l.tasks.Go(l.renewAll)
	return l
}

// close sends what is settled and ends.
func (l *leases) close() {
	close(l.ending)
	timer := time.AfterFunc(l.opts.LockTimeout, l.cancel) // after that it came again anyway
	l.tasks.Wait()
	timer.Stop()
	l.cancel()
}

func (l *leases) take(js []*job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range js {
		l.held[j] = nil
	}
}

func (l *leases) watch(j *job, cancel context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[j] = cancel
}

func (l *leases) drop(js []*job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range js {
		delete(l.held, j)
	}
}

func (l *leases) finish(j *job, s *pb.Settlement) {
	l.mu.Lock()
	delete(l.held, j)
	l.settled = append(l.settled, s)
	l.mu.Unlock()
	l.work.wake()
}

func (l *leases) takeSettled() []*pb.Settlement {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.settled), maxSettlements)
	batch := l.settled[:n:n]
	l.settled = l.settled[n:]
	return batch
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
			l.renew()
		}
	}
}

func (l *leases) renew() {
	l.mu.Lock()
	jobs := slices.Collect(maps.Keys(l.held))
	l.mu.Unlock()
	for batch := range slices.Chunk(jobs, maxSettlements) {
		l.renewBatch(batch)
	}
}

// maxSettlements go into one request; the broker takes ten times as many.
const maxSettlements = 1000

func (l *leases) renewBatch(jobs []*job) {
	r := &pb.AckRequest{}
	for _, j := range jobs {
		r.Settlements = append(r.Settlements, &pb.Settlement{AckId: j.ackID, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}})
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
			l.lost(jobs[i])
		}
	}
}

// lost tells the handler that its message went to somebody else.
func (l *leases) lost(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cancel := l.held[j]; cancel != nil {
		cancel(ErrLockLost)
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
