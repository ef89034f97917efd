package client

import (
	"context"
	"sync"

	pb "casepress/broker/brokerpb"
)

// A job is a delivery in hand. When its connection breaks the broker delivers the message again, perhaps while a handler still
// works on it: then the job goes on with the new delivery's ack ID, and no second handler begins.
type job struct {
	key   jobKey
	owner *leases

	// Guarded by inHand.mu.
	state   jobState
	ackID   string
	msg     *Message
	session context.Context         // ends with the stream that brought the newest delivery: then it goes to another consumer
	cancel  context.CancelCauseFunc // ends the handler's context
	lost    bool                    // the message went to another consumer
}

// jobKey names a message of a group: a topic that was made again has other messages at the same offsets.
type jobKey struct {
	topic, group, id string
	offset           uint64
	time             int64 // microseconds
}

type jobState int

const (
	waiting  jobState = iota // for a handler
	running                  // a handler works on it
	settling                 // the handler has ended; what became of it is on its way to the broker
)

// inHand are the jobs of all consumers of the process: of two of one group the one may get what a handler of the other works on.
var inHand = struct {
	mu   sync.Mutex
	jobs map[jobKey]*job
}{jobs: make(map[jobKey]*job)}

// newJob makes a job of a delivery.
func (l *leases) newJob(session context.Context, d *pb.SubscribeResponse) *job {
	m := fromWire(d.GetMsg())
	return &job{
		owner: l, ackID: d.GetAckId(), msg: m, session: session,
		key: jobKey{l.opts.Topic, l.opts.Group, m.ID, m.Offset, m.Time.UnixMicro()},
	}
}

// take takes deliveries into hand and returns those that are to be handled: not those that go on with what is in hand already.
func (l *leases) take(js []*job) (fresh []*job) {
	inHand.mu.Lock()
	defer inHand.mu.Unlock()
	for _, j := range js {
		if old := inHand.jobs[j.key]; old != nil && old.goesOnWith(j) {
			continue
		}
		inHand.jobs[j.key] = j
		l.held[j] = struct{}{}
		fresh = append(fresh, j)
	}
	return fresh
}

// goesOnWith lets a job go on with a newer delivery of its message. One that waits with another consumer does not, nor one whose
// handler has ended: perhaps it is what the handler asked for. mu is locked.
func (j *job) goesOnWith(newer *job) bool {
	switch {
	case j.state == settling:
		return false
	case j.state == waiting && j.owner != newer.owner:
		j.lost = true
		return false
	}
	j.ackID, j.session, j.lost = newer.ackID, newer.session, false
	if j.state == waiting {
		j.msg = newer.msg
	}
	return true
}

// forget takes a job out of hand. mu is locked.
func (j *job) forget() {
	delete(j.owner.held, j)
	if inHand.jobs[j.key] == j {
		delete(inHand.jobs, j.key)
	}
}

// begin says whether a handler may work on a job, whose context cancel ends. A job that is lost is forgotten, and one whose stream
// has ended is given back.
func (l *leases) begin(j *job, cancel context.CancelCauseFunc) (*Message, bool) {
	inHand.mu.Lock()
	defer inHand.mu.Unlock()
	switch {
	case j.lost:
		j.forget()
		return nil, false
	case j.session.Err() != nil:
		l.giveBack(j)
		return nil, false
	}
	j.state, j.cancel = running, cancel
	return j.msg, true
}

// abandon gives jobs back that no worker will see.
func (l *leases) abandon(js []*job) {
	inHand.mu.Lock()
	defer inHand.mu.Unlock()
	for _, j := range js {
		l.giveBack(j)
	}
}

// giveBack gives a job back whose stream has ended, as if it had never been delivered. If it has come again meanwhile, that is a
// job of its own. mu is locked.
func (l *leases) giveBack(j *job) {
	j.forget()
	l.settled = append(l.settled, j.uncounted())
	l.work.wake()
}

// uncounted gives a job back as if it had never been delivered.
func (j *job) uncounted() *pb.Settlement {
	return &pb.Settlement{AckId: j.ackID, How: &pb.Settlement_Release{Release: &pb.Release{Uncounted: true}}}
}

// finish sends what became of a job.
func (l *leases) finish(j *job, s *pb.Settlement) {
	inHand.mu.Lock()
	s.AckId = j.ackID
	j.state = settling
	j.forget()
	l.settled = append(l.settled, s)
	inHand.mu.Unlock()
	l.work.wake()
}

func (l *leases) takeSettled() []*pb.Settlement {
	inHand.mu.Lock()
	defer inHand.mu.Unlock()
	n := min(len(l.settled), maxSettlements)
	batch := l.settled[:n:n]
	l.settled = l.settled[n:]
	return batch
}

// renewable returns the jobs whose locks are to be renewed, and their ack IDs.
func (l *leases) renewable() (jobs []*job, ackIDs []string) {
	inHand.mu.Lock()
	defer inHand.mu.Unlock()
	for j := range l.held {
		if !j.lost {
			jobs, ackIDs = append(jobs, j), append(ackIDs, j.ackID)
		}
	}
	return jobs, ackIDs
}

// lose says that the lock of an ack ID is lost, and tells the handler, unless the message came again meanwhile.
func (l *leases) lose(j *job, ackID string) {
	inHand.mu.Lock()
	defer inHand.mu.Unlock()
	if j.ackID != ackID {
		return
	}
	j.lost = true
	if j.state == running {
		j.cancel(ErrLockLost)
	}
}

// takeWaiting takes what no handler has begun out of hand, and returns what gives it back.
func (l *leases) takeWaiting() (give []*pb.Settlement) {
	inHand.mu.Lock()
	defer inHand.mu.Unlock()
	for j := range l.held {
		if j.state != waiting {
			continue
		}
		if !j.lost {
			give = append(give, j.uncounted())
		}
		j.forget()
	}
	return give
}
