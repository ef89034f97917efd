package broker

import (
	"hash/maphash"
	"slices"
)

// An order keeps the messages of each key that are not acknowledged in line, so that a key's next message waits until the one
// before is acknowledged. Keys are kept as hashes: two keys of one hash wait for each other, which breaks no promise.
//
//	key A:  5 acquired  ->  7 blocked  ->  12 blocked
//	key B:  6 delayed   ->  9 blocked
//
// The first in line is delivered, released, delayed like any message; the others are blocked. Bounded by the
// messages that a group may leave unacknowledged. It is not saved: after a restart it is made again from the messages that are not acknowledged.
type order struct {
	lines map[uint64][]uint64 // offsets by key, ascending
	keys  map[uint64]uint64   // key by offset
}

var keySeed = maphash.MakeSeed()

func hashKey(key string) uint64 { return maphash.String(keySeed, key) }

func newOrder() *order {
	return &order{lines: make(map[uint64][]uint64), keys: make(map[uint64]uint64)}
}

// add puts offset in line behind smaller ones. first says whether it heads the line.
func (o *order) add(offset, key uint64) (first bool) {
	line := append(o.lines[key], offset)
	o.lines[key], o.keys[offset] = line, key
	return len(line) == 1
}

// blocks says whether another message must be acknowledged before offset.
func (o *order) blocks(offset uint64) bool {
	key, ok := o.keys[offset]
	return ok && o.lines[key][0] != offset
}

// remove takes offset out of its line and returns the one that heads it now, if that is a change.
func (o *order) remove(offset uint64) (next uint64, ok bool) {
	key, ok := o.keys[offset]
	if !ok {
		return 0, false
	}
	delete(o.keys, offset)
	line := o.lines[key]
	at := slices.Index(line, offset)
	if len(line) == 1 {
		delete(o.lines, key)
		return 0, false
	}
	if at > 0 { // only what was delivered before order was asked for
		o.lines[key] = slices.Delete(line, at, at+1)
		return 0, false
	}
	o.lines[key] = line[1:]
	return line[1], true
}

// keyed is a message and the hash of its key.
type keyed struct{ offset, key uint64 }

// unackedFrom returns the messages that are passed and not acknowledged from an offset on, in ascending order.
func (g *groupState) unackedFrom(from uint64) (offsets []uint64) {
	for i := g.window.from(from); i < g.window.n; i++ {
		if s := g.window.slot(i); s.status != acknowledged {
			offsets = append(offsets, s.offset)
		}
	}
	return offsets
}

// startOrder begins to keep order: messages are those not acknowledged that have a key, in ascending order. What has been
// delivered out of order stays in hand.
func (g *groupState) startOrder(messages []keyed) {
	g.order, g.ordered = newOrder(), true
	for _, m := range messages {
		g.order.add(m.offset, m.key)
	}
	g.recheckOrder(slices.Clone(g.ready.offsets))
}

// dropOrder stops keeping it.
func (g *groupState) dropOrder() {
	g.order, g.ordered = nil, false
	for i := range g.window.n {
		if s := g.window.slot(i); s.status == blocked {
			g.unblock(s.offset)
		}
	}
}

// recheckOrder judges available messages anew.
func (g *groupState) recheckOrder(offsets []uint64) {
	for _, offset := range offsets {
		s := g.at(offset)
		was := s.status
		g.ready.remove(int(s.pos))
		g.makeAvailable(offset, was)
	}
}

// blockNext puts the first message never handed out in line. If others of its key are before it, it is blocked,
// never due before that date, and blockNext returns true: the message is then no longer the next.
func (g *groupState) blockNext(key uint64, date int64) (isBlocked bool) {
	if g.order.add(g.next, key) {
		return false
	}
	offset := g.extend()
	s := g.at(offset)
	s.status, s.when, s.dated = blocked, date, true
	if date > 0 {
		g.mark(offset, s)
	}
	return true
}

// unblock makes the head of a line available, when it is due.
func (g *groupState) unblock(offset uint64) {
	s := g.at(offset)
	if s.status != blocked {
		return
	}
	if s.when > 0 {
		g.delayUntilDate(offset, s, s.when)
		return
	}
	g.makeAvailable(offset, available)
}
