package broker

// isDone says whether offset is acknowledged.
func (g *groupState) isDone(offset uint64) bool {
	if offset < g.start || offset >= g.next {
		return offset < g.start
	}
	s := g.at(offset)
	return s == nil || s.status == acknowledged
}

// leased finds the slot that lock still speaks for: acquired with it, lapsed and taken by nobody since, or put off because the
// connection of its holder broke.
func (g *groupState) leased(offset, lock uint64) (*slot, error) {
	if g.isDone(offset) || offset >= g.next {
		return nil, ErrLockLost
	}
	s := g.at(offset)
	if lock == 0 || s.lock != lock || s.status != acquired && s.status != lapsed && s.status != delayed {
		return nil, ErrLockLost
	}
	return s, nil
}

// ack acknowledges. What is acknowledged already stays so without an error. A message given back by a closed
// subscription may still be acknowledged with its old lock until somebody takes it: the work was done.
func (g *groupState) ack(offset, lock uint64) error {
	if g.isDone(offset) {
		return nil
	}
	if offset >= g.next {
		return ErrLockLost
	}
	s := g.at(offset)
	if lock == 0 || s.lock != lock || s.status == deadLettering {
		return ErrLockLost
	}
	g.detach(s)
	g.acknowledge(offset, s)
	return nil
}

// acknowledge marks a detached slot acknowledged and moves start up.
func (g *groupState) acknowledge(offset uint64, s *slot) {
	s.status = acknowledged
	g.window.acked++
	g.mark(offset, s)
	if g.order != nil {
		if next, ok := g.order.remove(offset); ok {
			g.unblock(next)
		}
	}
	g.advance()
}

func (g *groupState) advance() {
	g.window.advance()
	start := g.next
	if g.window.n > 0 {
		start = g.window.slot(0).offset
	}
	g.moved = g.moved || start != g.start
	g.start = start
}

// release gives a message up: it is available from due on. The delivery stays counted.
func (g *groupState) release(offset, lock uint64, now, due int64) error {
	s, err := g.leased(offset, lock)
	if err != nil {
		return err
	}
	g.detach(s)
	s.lock = 0
	g.mark(offset, s)
	if due <= now || g.exhausted(s) {
		g.makeAvailable(offset, available)
		return nil
	}
	g.delay(offset, s, due)
	return nil
}

// renew moves the lock's deadline.
func (g *groupState) renew(offset, lock uint64, deadline int64) error {
	s, err := g.leased(offset, lock)
	if err != nil {
		return err
	}
	g.detach(s)
	g.hold(offset, s, s.holder, deadline)
	return nil
}

// giveBack undoes a delivery: available at once, not counted. The lock can still acknowledge.
func (g *groupState) giveBack(offset, lock uint64) error {
	s, err := g.leased(offset, lock)
	if err != nil {
		return err
	}
	if s.status == lapsed {
		return ErrLockLost
	}
	g.detach(s)
	s.count--
	g.mark(offset, s)
	g.makeAvailable(offset, available)
	return nil
}

// giveBackAll undoes every delivery that holder still has. Locks that had lapsed before stay counted.
func (g *groupState) giveBackAll(holder uint32) {
	var mine []grant
	for _, offset := range g.timed.offsets {
		if s := g.at(offset); s.status == acquired && s.holder == holder {
			mine = append(mine, grant{offset: offset, lock: s.lock})
		}
	}
	for _, m := range mine {
		_ = g.giveBack(m.offset, m.lock) // it is there
	}
	g.forgetLapsed(holder)
}

// forgetLapsed lets holder have again what lapsed with it. The caller is about to take holder out.
func (g *groupState) forgetLapsed(holder uint32) {
	for _, offset := range g.ready.offsets {
		if s := g.at(offset); s.status == lapsed && s.holder == holder {
			s.status = available
		}
	}
}

// breakOff puts off every delivery that a holder has whose connection broke: perhaps it died of one of them. They stay counted;
// while they are put off the locks still speak for them, for perhaps only the connection is gone.
func (g *groupState) breakOff(holder uint32, now int64) {
	var mine []uint64
	for _, offset := range g.timed.offsets {
		if s := g.at(offset); s.status == acquired && s.holder == holder {
			mine = append(mine, offset)
		}
	}
	for _, offset := range mine {
		s := g.at(offset)
		g.detach(s)
		g.mark(offset, s)
		g.delay(offset, s, now+breakPause(s.count))
	}
	g.forgetLapsed(holder)
}

// The pause of a message after the connection of its holder broke.
const (
	firstBreakPause = 100_000   // microseconds; doubles with each delivery
	maxBreakPause   = 5_000_000 // microseconds
)

func breakPause(count uint32) int64 {
	return min(int64(firstBreakPause)<<min(max(count, 1)-1, 16), maxBreakPause)
}

// reject takes a message out of delivery while its holder publishes it to the dead-letter topic.
func (g *groupState) reject(offset, lock uint64) (count uint32, err error) {
	s, err := g.leased(offset, lock)
	if err != nil {
		return 0, err
	}
	g.detach(s)
	s.status = deadLettering
	return s.count, nil
}

// undoReject undoes reject after a failure: the holder has its lock again, with the old deadline.
func (g *groupState) undoReject(offset uint64) {
	s, ok := g.deadLetteringSlot(offset)
	if !ok {
		return
	}
	g.hold(offset, s, s.holder, s.when)
}

// deadLettered acknowledges what reject or nextDeadLetter took out.
func (g *groupState) deadLettered(offset uint64) {
	if s, ok := g.deadLetteringSlot(offset); ok {
		g.acknowledge(offset, s)
	}
}

// deadLetteringSlot finds a slot whose message is being published to the dead-letter topic; there is none if the group was moved elsewhere meanwhile.
func (g *groupState) deadLetteringSlot(offset uint64) (*slot, bool) {
	s := g.at(offset)
	return s, s != nil && s.status == deadLettering
}

// nextDeadLetter takes the next message whose deliveries are used up.
func (g *groupState) nextDeadLetter() (offset uint64, count uint32, ok bool) {
	if len(g.dead) == 0 {
		return 0, 0, false
	}
	offset, g.dead = g.dead[0], g.dead[1:]
	if len(g.dead) == 0 {
		g.dead = nil
	}
	return offset, g.at(offset).count, true
}

// delayDeadLetter puts off what nextDeadLetter took out: it could not be published.
func (g *groupState) delayDeadLetter(offset uint64, due int64) {
	s := g.at(offset)
	g.delay(offset, s, due)
	g.mark(offset, s)
}

// lapsedWith says whether the message that is available first is one whose lock lapsed with holder.
func (g *groupState) lapsedWith(holder uint32) bool {
	if g.ready.len() == 0 {
		return false
	}
	s := g.at(g.ready.offsets[0])
	return s.status == lapsed && s.holder == holder
}
