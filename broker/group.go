package broker

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
)

// A group is a groupState with its members. While it has members two goroutines work for it: runPrefetch reads
// new messages before they are asked for, runDeadlines does what is due (lapsed locks, delayed messages, dead letters).
type group struct {
	topic *topic
	name  string

	anyone Subscription // no member: stands for whoever ends a delivery by its lease

	lifecycle sync.Mutex // one start or stop of the goroutines at a time
	cancel    context.CancelFunc
	running   sync.WaitGroup
	closed    bool // for good: the broker or the topic is closed
	deleted   bool // so that a Subscribe that found it looks again

	prefetcher wakeup // the queue has room
	deadlines  wakeup // something is due sooner, or there are dead letters

	mu           sync.Mutex // guards all below
	state        *groupState
	members      []*Subscription
	lastMember   uint32
	waiters      []*waiter // in the order they came
	prefetched   prefetchQueue
	nextDeadline int64  // when runDeadlines looks by itself, by the steady clock
	failed       error  // why nothing is handed out any more
	readErr      error  // why the prefetch cannot read at present
	stuck        bool   // Options.MaxUnacked keeps messages back: see full
	unacked      moment // the oldest message not acknowledged, for Group
	waiting      moment // the oldest message never delivered, for Group
}

// A waiter is a Receive that waits. It is in group.waiters until something is sent on ch or ch is closed.
type waiter struct {
	sub         *Subscription
	max         int
	maxBytes    int
	lockTimeout int64
	ch          chan []Delivery // holds one, so that the sender never waits
}

const never = math.MaxInt64

func newGroup(t *topic, name string, state *groupState) *group {
	g := &group{
		topic: t, name: name, state: state, nextDeadline: never,
		prefetcher: newWakeup(), deadlines: newWakeup(),
	}
	g.anyone.group = g
	g.prefetched.total = t.broker.readAhead
	return g
}

func (g *group) now() instant { return g.topic.broker.clock.now() }

// start lets the goroutines run for the first member. The caller holds lifecycle.
func (g *group) start() {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.running.Go(func() { g.runPrefetch(ctx) })
	g.running.Go(func() { g.runDeadlines(ctx) })
}

// stop ends them with the last member. The caller holds lifecycle.
func (g *group) stop() {
	g.cancel()
	g.running.Wait()
	g.cancel = nil
	g.mu.Lock()
	g.prefetched.clear()
	g.mu.Unlock()
}

// close closes every member, for good.
func (g *group) close() {
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	g.closed = true
	g.mu.Lock()
	g.cancelWaiters() // first, so that nothing is handed from one to the next
	members := slices.Clone(g.members)
	for _, s := range members {
		g.leave(s, g.state.giveBackAll)
	}
	g.mu.Unlock()
	if len(members) > 0 {
		g.stop()
	}
}

// leave takes a member out: end says what becomes of what it held, its waiters go. The caller holds mu.
func (g *group) leave(s *Subscription, end func(holder uint32)) {
	s.closed = true
	g.members = slices.DeleteFunc(g.members, func(m *Subscription) bool { return m == s })
	g.waiters = slices.DeleteFunc(g.waiters, func(w *waiter) bool {
		if w.sub == s {
			close(w.ch)
		}
		return w.sub == s
	})
	end(s.id)
	g.afterChange()
}

// fail ends all deliveries of the group.
func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed == nil {
		g.failed = err
	}
	g.cancelWaiters()
}

// cancelWaiters lets all waiters go. The caller holds mu.
func (g *group) cancelWaiters() {
	for _, w := range g.waiters {
		close(w.ch)
	}
	g.waiters = nil
}

// setReadError remembers a failure to read that may pass, or with nil that it has passed.
func (g *group) setReadError(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readErr = err
}

func (g *group) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return cmp.Or(g.failed, g.readErr)
}

// act changes one delivery's fate.
func (g *group) act(do func(s *groupState, now instant) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.topic.journal.stopReason(); err != nil {
		return err
	}
	now := g.now()
	g.state.expire(now)
	err := do(g.state, now)
	g.afterChange()
	return err
}

// afterChange follows up every change of state. The caller holds mu.
func (g *group) afterChange() {
	if g.state.changed() {
		g.topic.journal.scheduleFlush()
	}
	if len(g.waiters) > 0 {
		g.handOut(g.now())
	}
	g.schedule()
}

// schedule makes sure that runDeadlines looks when something is due. The caller holds mu.
func (g *group) schedule() {
	due := g.nextLook()
	if due < g.nextDeadline || len(g.state.dead) > 0 {
		g.nextDeadline = min(g.nextDeadline, due)
		g.deadlines.wake()
	}
}

// handOut hands out what there is to those who wait, first come first served; but whoever let a lock lapse gets that
// message again only if nobody else is there to take it. The caller holds mu.
func (g *group) handOut(now instant) {
	g.state.expire(now)
	passed := false
	for i := 0; i < len(g.waiters) && g.hasMessages(); {
		w := g.waiters[i]
		if g.state.lapsedWith(w.sub.id) && g.otherWaits(i) {
			passed = true
			i++
			continue
		}
		ds := g.take(w.sub, w.max, w.maxBytes, w.lockTimeout, now)
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

// full says whether nothing new is handed out because Options.MaxUnacked messages are not acknowledged. The caller holds
// mu.
func (g *group) full() bool { return !g.state.room() && g.state.next < g.topic.log.End() }

// noteStuck logs when the group begins to keep messages back from somebody who waits. The caller holds mu.
func (g *group) noteStuck() {
	was := g.stuck
	g.stuck = g.full()
	if g.stuck && !was {
		g.topic.broker.opts.Logger.Warn("group hands out nothing new until some of its messages are acknowledged",
			"topic", g.topic.name, "group", g.name, "offset", g.state.start, "next", g.state.next, "unacked", g.state.unacked())
	}
}

// hasMessages says whether there may be something to hand out.
func (g *group) hasMessages() bool {
	return g.state.ready.len() > 0 || g.prefetched.len() > 0 && g.state.room()
}

// take hands out up to most deliveries within the subscription's window, and no more than maxBytes of those that are read
// ahead, the first aside: what is given back has to be read again. The caller holds mu and has let expire run.
func (g *group) take(s *Subscription, most, maxBytes int, lockTimeout int64, now instant) []Delivery {
	n := min(most, s.window-g.state.held[s.id])
	var ds []Delivery
	size := 0
	for len(ds) < n && g.hasMessages() {
		if len(ds) > 0 && size+g.nextSize() > maxBytes {
			break
		}
		if d, ok := g.takeOne(s, lockTimeout, now); ok {
			ds = append(ds, d)
			size += d.Size()
		}
	}
	if len(ds) > 0 {
		g.topic.journal.scheduleFlush()
		g.schedule()
	}
	return ds
}

// nextSize is the size of the next message; 0 if it is not in memory.
func (g *group) nextSize() int {
	if g.state.ready.len() > 0 {
		return 0
	}
	return g.prefetched.queue[g.prefetched.head].Size()
}

// takeOne hands out one message, redeliveries first. It may find that the next new one has to wait.
func (g *group) takeOne(s *Subscription, lockTimeout int64, now instant) (Delivery, bool) {
	deadline := now.steady + lockTimeout
	if redelivery, ok := g.state.acquireAvailable(s.id, deadline); ok {
		if redelivery.count > 1 {
			g.topic.redeliveries.Inc()
		}
		return Delivery{
			Message: Message{Offset: redelivery.offset}, Count: int(redelivery.count),
			sub: s, lock: redelivery.lock, lockTimeout: lockTimeout,
		}, true
	}
	m := g.prefetched.pop()
	if g.prefetched.low() {
		g.prefetcher.wake()
	}
	if g.postpone(&m.Message, now.date) {
		g.topic.journal.scheduleFlush()
		g.schedule()
		return Delivery{}, false
	}
	first := g.state.acquireNext(s.id, deadline)
	return Delivery{
		Message: m.Message, Count: int(first.count), sub: s, lock: first.lock, lockTimeout: lockTimeout, loaded: m.loaded,
	}, true
}

// postpone passes over the next new message if it is not due, or if another one of its key comes first.
func (g *group) postpone(m *Message, date int64) bool {
	var due int64
	if !m.DeliverAt.IsZero() {
		due = max(m.DeliverAt.UnixMicro(), 0)
	}
	if g.state.order != nil && m.Key != "" && g.state.blockNext(hashKey(m.Key), due) {
		return true
	}
	if due <= date {
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
	e := g.state.changes(g.now().skew())
	e.group = g.name
	return e, true
}

func (g *group) takeEverything() (groupEvent, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.state.everything(g.now().skew())
	e.group = g.name
	return e, true
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
