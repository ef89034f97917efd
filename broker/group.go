package broker

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
)

// A group is a groupState with its members. While it has members two goroutines work for it: the feeder reads
// new messages ahead, the keeper does what time brings (lapsed locks, due messages, dead letters).
type group struct {
	topic *topic
	name  string

	anyone Subscription // no member: stands for whoever settles a delivery by its ack ID

	life    sync.Mutex // one start or stop of the goroutines at a time
	cancel  context.CancelFunc
	running sync.WaitGroup
	closed  bool          // for good: the broker or the topic is closed
	deleted bool          // so that a Subscribe that found it looks again
	hungry  chan struct{} // tells the feeder that ahead has room
	kick    chan struct{} // tells the keeper that something is due sooner, or dead

	mu         sync.Mutex // guards all below
	state      *groupState
	members    []*Subscription
	lastMember uint32
	waiters    []*waiter // in the order they came
	ahead      ahead
	wakeAt     int64  // when the keeper looks by itself
	failed     error  // why nothing is handed out any more
	stalled    error  // why the feeder cannot read at present
	unacked    moment // the oldest message not acknowledged, for Group
	waiting    moment // the oldest message never delivered, for Group
}

// A waiter is a Receive that waits. It is in group.waiters until something is sent on ch or ch is closed.
type waiter struct {
	sub         *Subscription
	max         int
	lockTimeout int64
	ch          chan []Delivery // holds one, so that the sender never waits
}

const never = math.MaxInt64

func newGroup(t *topic, name string, state *groupState) *group {
	g := &group{
		topic: t, name: name, state: state, wakeAt: never,
		hungry: make(chan struct{}, 1), kick: make(chan struct{}, 1),
	}
	g.anyone.group = g
	return g
}

func (g *group) now() int64 { return g.topic.broker.clock.now() }

// start lets the goroutines run for the first member. The caller holds life.
func (g *group) start() {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.running.Go(func() { g.feed(ctx) })
	g.running.Go(func() { g.keep(ctx) })
}

// stop ends them with the last member. The caller holds life.
func (g *group) stop() {
	g.cancel()
	g.running.Wait()
	g.cancel = nil
	g.mu.Lock()
	g.ahead = ahead{}
	g.mu.Unlock()
}

// close closes every member, for good.
func (g *group) close() {
	g.life.Lock()
	defer g.life.Unlock()
	g.closed = true
	g.mu.Lock()
	g.dismiss() // first, so that nothing is handed from one to the next
	members := slices.Clone(g.members)
	for _, s := range members {
		g.leave(s)
	}
	g.mu.Unlock()
	if len(members) > 0 {
		g.stop()
	}
}

// leave takes a member out: what it held goes back, its waiters go. The caller holds mu.
func (g *group) leave(s *Subscription) {
	s.closed = true
	g.members = slices.DeleteFunc(g.members, func(m *Subscription) bool { return m == s })
	g.waiters = slices.DeleteFunc(g.waiters, func(w *waiter) bool {
		if w.sub == s {
			close(w.ch)
		}
		return w.sub == s
	})
	g.state.giveBackAll(s.id)
	g.changed()
}

// fail ends all deliveries of the group.
func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed == nil {
		g.failed = err
	}
	g.dismiss()
}

// dismiss lets all waiters go. The caller holds mu.
func (g *group) dismiss() {
	for _, w := range g.waiters {
		close(w.ch)
	}
	g.waiters = nil
}

// stall remembers a failure to read that may pass, or with nil that it has passed.
func (g *group) stall(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = err
}

func (g *group) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return cmp.Or(g.failed, g.stalled)
}

// act changes one delivery's fate.
func (g *group) act(do func(s *groupState, now int64) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.topic.journal.refusal(); err != nil {
		return err
	}
	now := g.now()
	g.state.expire(now)
	err := do(g.state, now)
	g.changed()
	return err
}

// changed follows up every change of state. The caller holds mu.
func (g *group) changed() {
	if g.state.changed() {
		g.topic.journal.touch()
	}
	if len(g.waiters) > 0 {
		g.serve(g.now())
	}
	g.schedule()
}

// schedule makes sure that the keeper looks when something is due. The caller holds mu.
func (g *group) schedule() {
	due, ok := g.state.nextDue()
	if ok && due < g.wakeAt || len(g.state.dead) > 0 {
		g.wakeAt = min(g.wakeAt, due)
		signal(g.kick)
	}
}

// serve hands out what there is to those who wait, first come first served; but whoever let a lock lapse gets that
// message again only if nobody else is there to take it. The caller holds mu.
func (g *group) serve(now int64) {
	g.state.expire(now)
	passed := false
	for i := 0; i < len(g.waiters) && g.plenty(); {
		w := g.waiters[i]
		if g.state.lapsedWith(w.sub.id) && g.otherWaits(i) {
			passed = true
			i++
			continue
		}
		ds := g.take(w.sub, w.max, w.lockTimeout, now)
		if len(ds) == 0 {
			i++ // its window is full
			continue
		}
		g.waiters = slices.Delete(g.waiters, i, i+1)
		w.ch <- ds
		if passed {
			passed, i = false, 0
		}
	}
}

// otherWaits says whether a member other than the i-th waiter's comes after it and has room.
func (g *group) otherWaits(i int) bool {
	for _, w := range g.waiters[i+1:] {
		if w.sub.id != g.waiters[i].sub.id && g.state.held[w.sub.id] < w.sub.window {
			return true
		}
	}
	return false
}

// plenty says whether there may be something to hand out.
func (g *group) plenty() bool {
	return g.state.ready.len() > 0 || g.ahead.len() > 0 && g.state.room()
}

// take hands out up to max deliveries within the subscription's window. The caller holds mu and has let expire run.
func (g *group) take(s *Subscription, max int, lockTimeout, now int64) []Delivery {
	n := min(max, s.window-g.state.held[s.id])
	var ds []Delivery
	for len(ds) < n && g.plenty() {
		if d, ok := g.takeOne(s, lockTimeout, now); ok {
			ds = append(ds, d)
		}
	}
	if len(ds) > 0 {
		g.topic.journal.touch()
		g.schedule()
	}
	return ds
}

// takeOne hands out one message, redeliveries first. It may find that the next new one has to wait.
func (g *group) takeOne(s *Subscription, lockTimeout, now int64) (Delivery, bool) {
	deadline := now + lockTimeout
	if again, ok := g.state.acquireAgain(s.id, deadline); ok {
		return Delivery{
			Message: Message{Offset: again.offset}, Count: int(again.count),
			sub: s, lock: again.lock, lockTimeout: lockTimeout,
		}, true
	}
	m := g.ahead.pop()
	if g.ahead.low() {
		signal(g.hungry)
	}
	if g.putOff(&m, now) {
		g.topic.journal.touch()
		g.schedule()
		return Delivery{}, false
	}
	first := g.state.acquireNext(s.id, deadline)
	return Delivery{
		Message: m, Count: int(first.count), sub: s, lock: first.lock, lockTimeout: lockTimeout, loaded: true,
	}, true
}

// putOff passes over the next new message if it is not due, or if another one of its key comes first.
func (g *group) putOff(m *Message, now int64) bool {
	var due int64
	if !m.DeliverAt.IsZero() {
		due = max(m.DeliverAt.UnixMicro(), 0)
	}
	if g.state.order != nil && m.Key != "" && g.state.lineUp(hashKey(m.Key), due) {
		return true
	}
	if due <= now {
		return false
	}
	g.state.delayNext(due)
	return true
}

func (g *group) takeChanges() (groupEvent, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.state.changed() {
		return groupEvent{}, false
	}
	e := g.state.changes()
	e.group = g.name
	return e, true
}

func (g *group) takeEverything() (groupEvent, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.state.everything()
	e.group = g.name
	return e, true
}

// signal wakes the one goroutine that listens, now or when it comes to listen.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
