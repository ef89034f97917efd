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

// savedCount is a message's delivery count, and the date at which it is due if it is delayed (else 0), in microseconds.
type savedCount struct {
	offset uint64
	count  uint32
	due    int64
}

// maxSaved is how many messages of a group that is read may be unacknowledged. maxUnacked is the most of
// Options.MaxUnacked: an event of so many fits into a record of the groups log, however far apart they are.
const (
	maxSaved   = 1 << 22
	maxUnacked = 1 << 21
)

// changed says whether changes has something to tell.
func (g *groupState) changed() bool { return g.moved || len(g.dirty) > 0 || g.settings() != g.saved }

// changes returns what happened since the last call of changes or everything. skew is that of the present instant.
func (g *groupState) changes(skew int64) groupEvent {
	slices.Sort(g.dirty)
	e := groupEvent{start: g.start}
	for _, offset := range g.dirty {
		if offset < g.start {
			continue
		}
		s := g.at(offset)
		if s == nil {
			e.addDone(offset, offset+1)
			continue
		}
		s.dirty = false
		e.add(offset, s, skew)
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

// everything returns the whole state. skew is that of the present instant.
func (g *groupState) everything(skew int64) groupEvent {
	e := groupEvent{start: g.start, reset: true}
	covered := g.start
	for i := range g.window.n {
		s := g.window.slot(i)
		s.dirty = false
		if s.status == acknowledged {
			continue
		}
		e.addDone(covered, s.offset)
		covered = s.offset + 1
		if s.status == delayed || s.count > 0 || s.status == blocked && s.when > 0 {
			e.add(s.offset, s, skew)
		}
	}
	e.addDone(covered, g.next)
	g.dirty, g.moved = g.dirty[:0], false
	s := g.settings()
	e.settings, g.saved = &s, s
	return e
}

func (e *groupEvent) add(offset uint64, s *slot, skew int64) {
	if s.status != acknowledged {
		c := savedCount{offset: offset, count: s.count}
		if s.status == delayed || s.status == blocked {
			c.due = s.when
			if s.status == delayed && !s.dated {
				c.due = max(c.due+skew, 1) // 0 would be that it is not delayed
			}
		}
		e.counts = append(e.counts, c)
		return
	}
	e.addDone(offset, offset+1)
}

// addDone adds that [from, to), which may be empty, is acknowledged.
func (e *groupEvent) addDone(from, to uint64) {
	if from >= to {
		return
	}
	if n := len(e.done); n > 0 && e.done[n-1].to == from {
		e.done[n-1].to = to
		return
	}
	e.done = append(e.done, offsetRange{from, to})
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
		g.start, g.next, g.window = e.start, e.start, newWindow()
	}
	if e.start < g.start {
		return fmt.Errorf("group event for [%d, %d) does not follow a state of [%d, %d)", e.start, e.end(), g.start, g.next)
	}
	for i := 0; i < g.window.n && g.window.slot(i).offset < e.start; i++ {
		g.replayDone(g.window.slot(i))
	}
	g.window.advance()
	g.start, g.next = e.start, max(g.next, e.start)
	for _, d := range e.done {
		for i := g.window.from(d.from); i < g.window.n && g.window.slot(i).offset < d.to; i++ {
			g.replayDone(g.window.slot(i))
		}
	}
	if err := g.reach(e.end(), e.done); err != nil {
		return err
	}
	for _, c := range e.counts {
		s := g.at(c.offset)
		if s == nil || s.status == acknowledged {
			return fmt.Errorf("group event counts deliveries of %d, which is acknowledged", c.offset)
		}
		s.count, s.when = c.count, c.due
	}
	return nil
}

func (g *groupState) replayDone(s *slot) {
	if s.status != acknowledged {
		s.status = acknowledged
		g.window.acked++
	}
}

// reach passes on to end; what is done on the way needs no slots.
func (g *groupState) reach(end uint64, done []offsetRange) error {
	for _, d := range done {
		if err := g.passTo(d.from); err != nil {
			return err
		}
		g.next = max(g.next, d.to)
	}
	return g.passTo(end)
}

// passTo passes on to offset, leaving everything on the way unacknowledged.
func (g *groupState) passTo(offset uint64) error {
	if g.next < offset && offset-g.next > uint64(maxSaved-min(g.unacked(), maxSaved)) {
		return fmt.Errorf("group event leaves more than %d messages unacknowledged", maxSaved)
	}
	for g.next < offset {
		g.extend()
	}
	return nil
}

// resume ends a replay: whatever is not acknowledged is available, or delayed until it is due.
func (g *groupState) resume() {
	g.advance()
	for i := range g.window.n {
		switch s := g.window.slot(i); {
		case s.status == acknowledged:
		case s.when > 0:
			g.delayUntilDate(s.offset, s, s.when)
		default:
			g.makeAvailable(s.offset, available)
		}
	}
	g.moved = false
}
