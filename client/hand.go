package client

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	pb "casepress/broker/brokerpb"
)

// A hand holds the messages that are in hand: it renews their locks and sends what became of them. Settlements
// that come while others are on their way go together.
type hand struct {
	broker pb.BrokerClient
	opts   ConsumerOptions
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	kick   chan struct{} // there is something to send
	ending chan struct{} // closed by close

	mu      sync.Mutex
	held    map[*job]context.CancelCauseFunc
	settled []*pb.Settlement
}

func newHand(b pb.BrokerClient, o ConsumerOptions) *hand {
	h := &hand{
		broker: b, opts: o, kick: make(chan struct{}, 1), ending: make(chan struct{}),
		held: make(map[*job]context.CancelCauseFunc),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.tasks.Go(h.send)
	h.tasks.Go(h.renewAll)
	return h
}

// close sends what is settled and ends.
func (h *hand) close() {
	close(h.ending)
	timer := time.AfterFunc(h.opts.LockTimeout, h.cancel) // after that it came again anyway
	h.tasks.Wait()
	timer.Stop()
	h.cancel()
}

func (h *hand) take(js []*job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, j := range js {
		h.held[j] = nil
	}
}

func (h *hand) watch(j *job, cancel context.CancelCauseFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[j] = cancel
}

func (h *hand) drop(js []*job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, j := range js {
		delete(h.held, j)
	}
}

func (h *hand) settle(j *job, s *pb.Settlement) {
	h.mu.Lock()
	delete(h.held, j)
	h.settled = append(h.settled, s)
	h.mu.Unlock()
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

func (h *hand) takeSettled() []*pb.Settlement {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(h.settled), 1000)
	batch := h.settled[:n:n]
	h.settled = h.settled[n:]
	return batch
}

// send sends settlements until the hand is closed and empty.
func (h *hand) send() {
	for {
		batch := h.takeSettled()
		if len(batch) > 0 {
			h.ack(batch)
			continue
		}
		select {
		case <-h.kick:
		case <-h.ending:
			if batch := h.takeSettled(); len(batch) > 0 {
				h.ack(batch)
				continue
			}
			return
		}
	}
}

// ack tries for as long as the locks may last. What is lost comes again.
func (h *hand) ack(batch []*pb.Settlement) {
	ctx, cancel := context.WithTimeout(h.ctx, h.opts.LockTimeout)
	defer cancel()
	for n := 0; ; n++ {
		a, err := h.broker.Ack(ctx, &pb.AckRequest{Settlements: batch})
		if err == nil {
			h.report(batch, a)
			return
		}
		if !passing(err) || rest(ctx, pause(n, firstPause, longestPause)) != nil {
			h.opts.Logger.Warn("messages could not be settled and come again", "group", h.opts.Group, "messages", len(batch), "error", err)
			return
		}
	}
}

func (h *hand) report(batch []*pb.Settlement, a *pb.AckResponse) {
	for _, r := range a.GetResults() {
		if f := r.GetFailure(); f != nil {
			h.opts.Logger.Warn("message was not settled and comes again", "topic", h.opts.Topic, "group", h.opts.Group, "error", f.GetMessage())
		}
	}
}

// renewAll renews all locks three times within a lock timeout.
func (h *hand) renewAll() {
	tick := time.NewTicker(h.opts.LockTimeout / 3)
	defer tick.Stop()
	for {
		select {
		case <-h.ending:
			return
		case <-tick.C:
			h.renew()
		}
	}
}

func (h *hand) renew() {
	var jobs []*job
	r := &pb.AckRequest{}
	h.mu.Lock()
	for j := range h.held {
		jobs = append(jobs, j)
		r.Settlements = append(r.Settlements, &pb.Settlement{AckId: j.ackID, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}})
	}
	h.mu.Unlock()
	if len(jobs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.opts.LockTimeout/3)
	defer cancel()
	a, err := h.broker.Ack(ctx, r)
	if err != nil {
		h.opts.Logger.Warn("locks were not renewed", "group", h.opts.Group, "error", err)
		return
	}
	for i, one := range a.GetResults() {
		if codes.Code(one.GetFailure().GetCode()) == codes.FailedPrecondition && i < len(jobs) {
			h.lost(jobs[i])
		}
	}
}

// lost tells the handler that its message went to somebody else.
func (h *hand) lost(j *job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cancel := h.held[j]; cancel != nil {
		cancel(ErrLockLost)
	}
}
