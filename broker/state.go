package broker

// A groupState is where one group stands in one topic. It is pure: no locks, no goroutines, no clock (every
// call that needs the time is told it: see instant), no payloads. Kafka's share groups lend the words.
//
//	 acknowledged          some acknowledged, some not              never handed out
//	----------------+----------------------------------------+--------------------------
//	             start              slots                   next
//
//	                 acquireNext                      ack
//	   (never) ---------------------> acquired ----------------> acknowledged
//	      |                           |  ^   |                        ^
//	      | delayNext      lock lapses|  |   | release                | ack, while nobody else has it
//	      v                           v  |   v                        |
//	   delayed --- due ---> available/lapsed <--- due --- delayed ----+
//	                                  |
//	                                  | delivery count used up (or Reject)
//	                                  v
//	                               deadLettering ---- published to the dead-letter topic ---> acknowledged
//
// Its memory is bounded: at most maxUnacked messages between start and next are not acknowledged, however far apart, of 40
// bytes each or up to 80 while many of those between them were acknowledged not long ago. Beyond that no new message is
// handed out until some are acknowledged; redeliveries go on. What has no slot and lies before next is acknowledged.
type groupState struct {
	start, next   uint64
	window        window
	maxUnacked    int
	maxDeliveries uint32 // 0: no limit
	lastLock      uint64
	incarnation   uint64        // see groupSettings
	ordered       bool          // the order of keys is kept as soon as there are members
	saved         groupSettings // as the last event says

	timed offsetHeap // acquired by lock deadline, delayed by due time
	dated offsetHeap // delayed by date
	ready offsetHeap // available and lapsed, by offset
	dead  []uint64   // deadLettering, and not yet taken by nextDeadLetter
	held  map[uint32]int
	dirty []uint64 // offsets changed since the last call of changes
	moved bool     // start changed since then
	order *order   // nil: the order of keys is not kept, or not yet
}

type slotStatus uint8

const (
	available slotStatus = iota
	acquired
	lapsed        // available, but until somebody takes it the last holder may still act on it
	delayed       // available when due
	blocked       // waits until the message before it with the same key is acknowledged: see order
	deadLettering // on its way to the dead-letter topic
	acknowledged
)

type slot struct {
	offset uint64
	when   int64  // acquired: lock deadline; delayed and blocked: due, 0 at once; by the steady clock, or if dated the date
	lock   uint64 // of the last holder; 0 when it gave the message up
	count  uint32 // deliveries so far
	holder uint32
	pos    int32 // in the heap that status names
	status slotStatus
	dirty  bool
	dated  bool // of delayed: it is in dated; a blocked one with a time always is to be
}

// A grant is one delivery: who holds lock may act on offset. count includes this delivery.
type grant struct {
	offset, lock uint64
	count        uint32
}

const (
	minSlots     = 8
	maxIdleSlots = 4096 // a ring larger than this shrinks when it is empty, or nearly
)

// newGroupState starts a group at start. Locks count up from firstLock; a caller that wants the locks of two
// runs to differ passes a random one.
func newGroupState(start uint64, maxUnacked int, firstLock uint64) *groupState {
	g := &groupState{
		start: start, next: start, maxUnacked: maxUnacked, lastLock: firstLock,
		window: newWindow(), held: make(map[uint32]int),
	}
	moved := func(offset uint64, pos int) { g.at(offset).pos = int32(pos) }
	g.ready = offsetHeap{less: func(a, b uint64) bool { return a < b }, moved: moved}
	sooner := func(a, b uint64) bool { return g.at(a).when < g.at(b).when }
	g.timed, g.dated = offsetHeap{less: sooner, moved: moved}, offsetHeap{less: sooner, moved: moved}
	return g
}

// at returns the slot of a message that is passed, nil if it is acknowledged. A message that was acknowledged lately may
// still have one.
func (g *groupState) at(offset uint64) *slot { return g.window.at(offset) }

// unacked returns how many messages are passed and not acknowledged.
func (g *groupState) unacked() int { return g.window.open() }

// room says whether there may be one more message that is not acknowledged.
func (g *groupState) room() bool { return g.unacked() < g.maxUnacked }

// reaches says whether there is room for the message at offset and all before it.
func (g *groupState) reaches(offset uint64) bool {
	return offset < g.next || uint64(g.unacked())+offset-g.next < uint64(g.maxUnacked)
}

// setMaxDeliveries changes the limit; messages that wait for redelivery are judged by the new one.
func (g *groupState) setMaxDeliveries(n int) {
	g.maxDeliveries = uint32(n)
	waiting := append([]uint64(nil), g.ready.offsets...)
	for _, offset := range waiting {
		if g.exhausted(g.at(offset)) {
			g.ready.remove(int(g.at(offset).pos))
			g.makeAvailable(offset, available)
		}
	}
}

func (g *groupState) exhausted(s *slot) bool {
	return g.maxDeliveries > 0 && s.count >= g.maxDeliveries
}

// acquireNext hands out the first message never handed out. The caller has seen room() say yes.
func (g *groupState) acquireNext(holder uint32, deadline int64) grant {
	offset := g.extend()
	return g.acquire(offset, holder, deadline)
}

// acquireAvailable hands out the lowest available message, if there is one.
func (g *groupState) acquireAvailable(holder uint32, deadline int64) (grant, bool) {
	if g.ready.len() == 0 {
		return grant{}, false
	}
	return g.acquire(g.ready.pop(), holder, deadline), true
}

func (g *groupState) acquire(offset uint64, holder uint32, deadline int64) grant {
	s := g.at(offset)
	g.lastLock++
	if g.lastLock == 0 { // 0 means nobody
		g.lastLock++
	}
	s.lock, s.count = g.lastLock, s.count+1
	g.hold(offset, s, holder, deadline)
	g.mark(offset, s)
	return grant{offset: offset, lock: s.lock, count: s.count}
}

func (g *groupState) hold(offset uint64, s *slot, holder uint32, deadline int64) {
	s.status, s.holder, s.when = acquired, holder, deadline
	g.held[holder]++
	g.timed.push(offset)
}

// delayNext puts off the first message never handed out until a date.
func (g *groupState) delayNext(date int64) {
	offset := g.extend()
	s := g.at(offset)
	g.delayUntilDate(offset, s, date)
	g.mark(offset, s)
}

// delayUntilDate puts off a detached slot until a date.
func (g *groupState) delayUntilDate(offset uint64, s *slot, date int64) {
	s.status, s.when, s.dated = delayed, date, true
	g.dated.push(offset)
}

// delay puts off a detached slot until due by the steady clock.
func (g *groupState) delay(offset uint64, s *slot, due int64) {
	s.status, s.when, s.dated = delayed, due, false
	g.timed.push(offset)
}

// extend moves next up by one and returns the offset of the new, empty slot.
func (g *groupState) extend() uint64 {
	offset := g.next
	g.next++
	g.window.push(slot{offset: offset, pos: -1})
	return offset
}

// expire does what is due: locks lapse, delayed messages become available.
func (g *groupState) expire(now instant) {
	for g.dated.len() > 0 && g.at(g.dated.offsets[0]).when <= now.date {
		g.makeAvailable(g.dated.pop(), available)
	}
	for g.timed.len() > 0 && g.at(g.timed.offsets[0]).when <= now.steady {
		offset := g.timed.pop()
		s := g.at(offset)
		if s.status == delayed {
			as := available
			if s.lock != 0 { // its holder's connection broke, and its lock speaks for it until somebody takes it
				as = lapsed
			}
			g.makeAvailable(offset, as)
			continue
		}
		g.drop(s.holder)
		g.makeAvailable(offset, lapsed)
	}
}

// nextDue returns when expire has something to do next by the steady clock, and nextDate by the date.
func (g *groupState) nextDue() (when int64, ok bool)  { return g.firstOf(&g.timed) }
func (g *groupState) nextDate() (when int64, ok bool) { return g.firstOf(&g.dated) }

func (g *groupState) firstOf(h *offsetHeap) (when int64, ok bool) {
	if h.len() == 0 {
		return 0, false
	}
	return g.at(h.offsets[0]).when, true
}

// makeAvailable makes a message available for redelivery, or a dead letter when its deliveries are used up.
func (g *groupState) makeAvailable(offset uint64, as slotStatus) {
	s := g.at(offset)
	if g.exhausted(s) {
		s.status, s.lock = deadLettering, 0
		g.dead = append(g.dead, offset)
		return
	}
	if g.order != nil && g.order.blocks(offset) {
		s.status, s.when = blocked, 0
		return
	}
	s.status = as
	g.ready.push(offset)
}

func (g *groupState) drop(holder uint32) {
	if g.held[holder]--; g.held[holder] == 0 {
		delete(g.held, holder)
	}
}

// detach takes a slot out of whatever its status keeps it in.
func (g *groupState) detach(s *slot) {
	switch s.status {
	case acquired:
		g.drop(s.holder)
		g.timed.remove(int(s.pos))
	case delayed:
		if s.dated {
			g.dated.remove(int(s.pos))
			return
		}
		g.timed.remove(int(s.pos))
	case available, lapsed:
		g.ready.remove(int(s.pos))
	}
}

func (g *groupState) mark(offset uint64, s *slot) {
	if !s.dirty {
		s.dirty = true
		g.dirty = append(g.dirty, offset)
	}
}
