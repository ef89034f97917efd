package broker

import "sort"

// window holds the slots of a group's messages that are passed and not acknowledged, by offset. Offsets come in ascending
// order and leave in any: those that were acknowledged out of order stay in the ring until they reach its front or a half
// of it is such, so it is never much longer than twice what is open. While nothing was taken out of the middle a slot is
// found at once, else by a search.
//
//	         front                                     behind the last: the next offset goes there
//	           v                                         v
//	ring: ... 17 open | 18 acknowledged | 19 open | 405 open | free ...
type window struct {
	ring  []slot // its length is a power of two
	head  int    // of the front in ring
	n     int    // slots
	acked int    // of them acknowledged
}

func newWindow() window { return window{ring: make([]slot, minSlots)} }

func (w *window) open() int { return w.n - w.acked }

func (w *window) slot(i int) *slot { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// from returns the index of the first slot at or behind offset.
func (w *window) from(offset uint64) int {
	if w.n == 0 || offset <= w.slot(0).offset {
		return 0
	}
	// No slot is further back than if all offsets before it were there.
	end := int(min(offset-w.slot(0).offset+1, uint64(w.n)))
	return sort.Search(end, func(i int) bool { return w.slot(i).offset >= offset })
}

// at returns the slot of an offset, nil if there is none: then it is acknowledged, or not passed yet. What it returns is
// good until the next push.
func (w *window) at(offset uint64) *slot {
	if w.n == 0 {
		return nil
	}
	// Where it is if all offsets before it are there; far beyond n if it is before the front.
	if i := offset - w.ring[w.head].offset; i < uint64(w.n) {
		if s := w.slot(int(i)); s.offset == offset {
			return s
		}
	}
	if i := w.from(offset); i < w.n && w.slot(i).offset == offset {
		return w.slot(i)
	}
	return nil
}

// push adds a slot behind all others.
func (w *window) push(s slot) {
	if w.n == len(w.ring) {
		w.makeRoom()
	}
	w.n++
	*w.slot(w.n - 1) = s
}

// makeRoom takes the acknowledged slots out if they are a half, and makes the ring as long as the others need.
func (w *window) makeRoom() {
	size := len(w.ring)
	switch open := w.open(); {
	case 2*w.acked < w.n:
		size *= 2
	case size > maxIdleSlots && open < size/8:
		size /= 4
	}
	ring := w.ring
	if size != len(ring) {
		ring = make([]slot, size)
	}
	head, kept := w.head, 0
	if size != len(w.ring) {
		head = 0
	}
	for i := range w.n {
		if s := w.slot(i); s.status != acknowledged {
			ring[(head+kept)&(size-1)] = *s
			kept++
		}
	}
	*w = window{ring: ring, head: head, n: kept}
}

// advance takes the acknowledged slots from the front.
func (w *window) advance() {
	for w.n > 0 && w.slot(0).status == acknowledged {
		w.head = (w.head + 1) & (len(w.ring) - 1)
		w.n--
		w.acked--
	}
	if w.n == 0 && len(w.ring) > maxIdleSlots {
		*w = newWindow()
	}
}
