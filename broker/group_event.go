package broker

import (
	"fmt"
	"slices"
)

// A groupEvent is what the groups log keeps of a group: the changes since the event before it, or with reset
// everything. Applying an event twice changes nothing.
type groupEvent struct {
	group   string
	reset   bool          // forget what earlier events said
	deleted bool          // the group is no more
	start   uint64        // every offset below is acknowledged
	done    []offsetRange // acknowledged at or above start, ascending, apart
	counts  []savedCount  // not acknowledged, ascending; with reset those never delivered are left out

	settings *groupSettings // not nil: they follow as an event of their own; an event that is read has nothing else then
}

// groupSettings are what holds for a group as a whole until it is changed.
type groupSettings struct {
	// incarnation is random for each group and each move of a group, so that what is derived from it and an offset is
	// not taken for that of an earlier life. 0 in groups of data folders that had none.
	incarnation   uint64
	maxDeliveries uint32 // 0: no limit
	ordered       bool
}

// offsetRange is [from, to).
type offsetRange struct{ from, to uint64 }

// savedCount is a message's delivery count, and when it is due if it is delayed (else 0), in microseconds.
type savedCount struct {
	offset uint64
	count  uint32
	due    int64
}

// maxSavedSpan bounds how far an event may reach beyond its start. It bounds MaxSpan too.
const maxSavedSpan = 1 << 22

// changed says whether changes has something to tell.
func (g *groupState) changed() bool { return g.moved || len(g.dirty) > 0 || g.settings() != g.saved }

// changes returns what happened since the last call of changes or everything.
func (g *groupState) changes() groupEvent {
	slices.Sort(g.dirty)
	e := groupEvent{start: g.start}
	for _, offset := range g.dirty {
		if offset >= g.start {
			g.at(offset).dirty = false
			e.add(offset, g.at(offset))
		}
	}
	g.dirty, g.moved = g.dirty[:0], false
	if s := g.settings(); s != g.saved {
		e.settings, g.saved = &s, s
	}
	return e
}

func (g *groupState) settings() groupSettings {
	return groupSettings{g.incarnation, g.maxDeliveries, g.ordered}
}

// everything returns the whole state.
func (g *groupState) everything() groupEvent {
	e := groupEvent{start: g.start, reset: true}
	for offset := g.start; offset < g.next; offset++ {
		s := g.at(offset)
		s.dirty = false
		if s.status == acknowledged || s.status == delayed || s.count > 0 || s.status == blocked && s.when > 0 {
			e.add(offset, s)
		}
	}
	g.dirty, g.moved = g.dirty[:0], false
	s := g.settings()
	e.settings, g.saved = &s, s
	return e
}

func (e *groupEvent) add(offset uint64, s *slot) {
	if s.status != acknowledged {
		c := savedCount{offset: offset, count: s.count}
		if s.status == delayed || s.status == blocked {
			c.due = s.when
		}
		e.counts = append(e.counts, c)
		return
	}
	if n := len(e.done); n > 0 && e.done[n-1].to == offset {
		e.done[n-1].to++
		return
	}
	e.done = append(e.done, offsetRange{offset, offset + 1})
}

// end is the first offset that the event says nothing about.
func (e *groupEvent) end() uint64 {
	end := e.start
	if n := len(e.done); n > 0 {
		end = max(end, e.done[n-1].to)
	}
	if n := len(e.counts); n > 0 {
		end = max(end, e.counts[n-1].offset+1)
	}
	return end
}

// apply replays an event onto a state that hands nothing out yet. After the last event comes resume.
func (g *groupState) apply(e groupEvent) error {
	if e.reset {
		g.start, g.next, g.acked = e.start, e.start, 0
	}
	if e.start < g.start || e.end()-e.start > maxSavedSpan || g.next > e.start && g.next-e.start > maxSavedSpan {
		return fmt.Errorf("group event for [%d, %d) does not follow a state of [%d, %d)", e.start, e.end(), g.start, g.next)
	}
	g.reach(e.start, e.end())
	for _, d := range e.done {
		for offset := d.from; offset < d.to; offset++ {
			g.replay(offset, slot{status: acknowledged, pos: -1})
		}
	}
	for _, c := range e.counts {
		g.replay(c.offset, slot{count: c.count, when: c.due, pos: -1})
	}
	return nil
}

// reach makes the state cover [start, end) at least.
func (g *groupState) reach(start, end uint64) {
	for g.start < start && g.start < g.next {
		if g.at(g.start).status == acknowledged {
			g.acked--
		}
		g.start++
	}
	g.start, g.next = max(g.start, start), max(g.next, start)
	for g.next < end {
		g.extend()
	}
}

func (g *groupState) replay(offset uint64, to slot) {
	s := g.at(offset)
	if s.status == acknowledged {
		g.acked--
	}
	if to.status == acknowledged {
		g.acked++
	}
	*s = to
}

// resume ends a replay: whatever is not acknowledged is available, or delayed until it is due.
func (g *groupState) resume() {
	g.advance()
	for offset := g.start; offset < g.next; offset++ {
		switch s := g.at(offset); {
		case s.status == acknowledged:
		case s.when > 0:
			s.status = delayed
			g.timed.push(offset)
		default:
			g.makeAvailable(offset, available)
		}
	}
	g.moved = false
}
