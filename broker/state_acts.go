package broker

// isDone says whether offset is acknowledged.
func (g *groupState) isDone(offset uint64) bool {
	return offset < g.start || offset < g.next && g.at(offset).status == acknowledged
}

// own finds the slot that lock still speaks for: acquired with it, or lapsed and taken by nobody since.
func (g *groupState) own(offset, lock uint64) (*slot, error) {
	if g.isDone(offset) || offset >= g.next {
		return nil, ErrLockLost
	}
	s := g.at(offset)
	if s.lock != lock || s.status != acquired && s.status != lapsed {
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
	if lock == 0 || s.lock != lock || s.status == burying {
		return ErrLockLost
	}
	g.detach(s)
	g.finish(offset, s)
	return nil
}

// finish marks a detached slot acknowledged and moves start up.
func (g *groupState) finish(offset uint64, s *slot) {
	s.status = acknowledged
	g.acked++
	g.mark(offset, s)
	if g.order != nil {
		if next, ok := g.order.settled(offset); ok {
			g.unblock(next)
		}
	}
	g.advance()
}

func (g *groupState) advance() {
	for g.start < g.next && g.at(g.start).status == acknowledged {
		g.start++
		g.acked--
		g.moved = true
	}
	if g.start == g.next && len(g.slots) > calmSlots {
		g.slots = make([]slot, minSlots)
	}
}

// release gives a message up: it is available from due on. The delivery stays counted.
func (g *groupState) release(offset, lock uint64, now, due int64) error {
	s, err := g.own(offset, lock)
	if err != nil {
		return err
	}
	g.detach(s)
	s.lock = 0
	g.mark(offset, s)
	if due <= now || g.exhausted(s) {
		g.offer(offset, available)
		return nil
	}
	s.status, s.when = delayed, due
	g.timed.push(offset)
	return nil
}

// renew moves the lock's deadline.
func (g *groupState) renew(offset, lock uint64, deadline int64) error {
	s, err := g.own(offset, lock)
	if err != nil {
		return err
	}
	g.detach(s)
	g.hold(offset, s, s.holder, deadline)
	return nil
}

// giveBack undoes a delivery: available at once, not counted. The lock can still acknowledge.
func (g *groupState) giveBack(offset, lock uint64) {
	s, err := g.own(offset, lock)
	if err != nil || s.status != acquired {
		return
	}
	g.detach(s)
	s.count--
	g.mark(offset, s)
	g.offer(offset, available)
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
		g.giveBack(m.offset, m.lock)
	}
	for _, offset := range g.ready.offsets {
		if s := g.at(offset); s.status == lapsed && s.holder == holder {
			s.status = available
		}
	}
}

// bury takes a message out of delivery while its holder publishes it to the dead-letter topic.
func (g *groupState) bury(offset, lock uint64) (count uint32, err error) {
	s, err := g.own(offset, lock)
	if err != nil {
		return 0, err
	}
	g.detach(s)
	s.status = burying
	return s.count, nil
}

// unbury is bury undone after a failure: the holder has its lock again, with the old deadline.
func (g *groupState) unbury(offset uint64) {
	s, ok := g.underBurial(offset)
	if !ok {
		return
	}
	g.hold(offset, s, s.holder, s.when)
}

// buried acknowledges what bury or nextDead took out.
func (g *groupState) buried(offset uint64) {
	if s, ok := g.underBurial(offset); ok {
		g.finish(offset, s)
	}
}

// underBurial finds a slot that is being buried; it is not if the group was moved elsewhere meanwhile.
func (g *groupState) underBurial(offset uint64) (*slot, bool) {
	if offset < g.start || offset >= g.next || g.at(offset).status != burying {
		return nil, false
	}
	return g.at(offset), true
}

// nextDead takes the next message whose deliveries are used up.
func (g *groupState) nextDead() (offset uint64, count uint32, ok bool) {
	if len(g.dead) == 0 {
		return 0, 0, false
	}
	offset, g.dead = g.dead[0], g.dead[1:]
	if len(g.dead) == 0 {
		g.dead = nil
	}
	return offset, g.at(offset).count, true
}

// deadLater puts off what nextDead took out: it could not be published.
func (g *groupState) deadLater(offset uint64, due int64) {
	s := g.at(offset)
	s.status, s.when = delayed, due
	g.timed.push(offset)
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
