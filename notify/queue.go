package notify

import (
	"container/heap"
	"strconv"
	"time"

	"casepress/dispatcher"
	"casepress/store"
)

// What one endpoint keeps in memory. Events beyond it stay in the log, unread, until there is room.
const (
	// maxFresh and maxFreshBytes bound those that were read and have failed nowhere yet.
	maxFresh      = 256
	maxFreshBytes = 256 << 10
	// maxMarks bounds how far reading runs ahead of an event whose first attempt has not ended.
	maxMarks = 4096
)

// maxWaiting bounds the events that wait for another attempt, or for an earlier event of their subject: some 300 bytes each.
// Tests make it less.
var maxWaiting = 10_000

// event is one on its way to the endpoint.
type event struct {
	store.Delivery
	due     time.Time // of the next attempt, if it is the first of its subject
	payload []byte    // nil: it is read from the log again when it is due
	mark    *mark     // nil: it has a row
}

// mark is how far reading has come: up to the position nothing is open once it and all before it are done.
type mark struct {
	position dispatcher.Position
	done     bool
}

// queue decides which event is tried next, and what is to be kept of it. It does nothing itself, and is for one goroutine.
//
//	read ──> fresh ──first attempt──> delivered
//	           └──failed, or behind one of its subject that has──> waiting ──> delivered or parked
//
// Events of one subject are tried one after the other: the next one when the one before is delivered or parked. Those of
// different subjects do not wait for each other.
type queue struct {
	subjects map[string][]*event // in their order
	ready    readyHeap           // the first of each subject, unless it is being tried
	marks    []*mark
	position dispatcher.Position // all marks before are done
	waiting  int                 // events that have a row
	fresh    int                 // events that have none
	bytes    int                 // of their payloads
	unsaved  map[uint64]store.Delivery
	moved    bool // position is not saved
	// known are events behind the position that an earlier process has given a row: they are read once more, and are
	// neither sent again, if they were delivered or parked, nor waited for twice.
	known map[uint64]bool
}

func newQueue(at dispatcher.Position) *queue {
	return &queue{subjects: map[string][]*event{}, position: at, unsaved: map[uint64]store.Delivery{}, known: map[uint64]bool{}}
}

// load takes up what an earlier process saved, in the order of the events: those that wait, and all behind the position.
func (q *queue) load(saved []store.Delivery, now time.Time) {
	for _, d := range saved {
		if d.Sequence > q.position.Sequence {
			q.known[d.Sequence] = true
		}
		if d.State == store.Waiting {
			q.waiting++
			q.push(&event{Delivery: d}, now)
		}
	}
}

// pass moves on behind an event that is not for the endpoint.
func (q *queue) pass(at dispatcher.Position) {
	if n := len(q.marks); n > 0 && q.marks[n-1].done {
		q.marks[n-1].position = at
	} else {
		q.marks = append(q.marks, &mark{position: at, done: true})
	}
	q.advance()
}

// add takes up an event that was read. d names it.
func (q *queue) add(at dispatcher.Position, d store.Delivery, payload []byte, now time.Time) {
	if q.known[d.Sequence] {
		delete(q.known, d.Sequence)
		q.pass(at)
		return
	}
	if d.Subject == "" { // nobody's order
		d.Subject = "#" + strconv.FormatUint(d.Sequence, 10)
	}
	d.State = store.Waiting
	e := &event{Delivery: d, payload: payload, mark: &mark{position: at}}
	q.marks = append(q.marks, e.mark)
	q.fresh++
	q.bytes += len(payload)
	if before := q.subjects[d.Subject]; len(before) > 0 && before[0].mark == nil {
		q.keep(e)
	}
	q.push(e, now)
}

func (q *queue) push(e *event, now time.Time) {
	q.subjects[e.Subject] = append(q.subjects[e.Subject], e)
	if len(q.subjects[e.Subject]) == 1 {
		q.makeReady(e, now)
	}
}

// makeReady lets an event wait for its time. A time beyond the longest pause there is was saved by a clock that was ahead: then the
// event is due.
func (q *queue) makeReady(e *event, now time.Time) {
	if e.due = e.NextAt; e.due.IsZero() || e.due.Sub(now) > longestPause {
		e.due = now
	}
	heap.Push(&q.ready, e)
}

// keep gives a fresh event a row.
func (q *queue) keep(e *event) {
	q.unsaved[e.Sequence] = e.Delivery
	if e.mark == nil {
		return
	}
	q.leaveFresh(e)
	q.waiting++
}

func (q *queue) leaveFresh(e *event) {
	e.mark.done = true
	q.fresh--
	q.bytes -= len(e.payload)
	e.mark, e.payload = nil, nil
	q.advance()
}

func (q *queue) advance() {
	for len(q.marks) > 0 && q.marks[0].done {
		q.position, q.moved = q.marks[0].position, true
		q.marks = q.marks[1:]
	}
}

// hasRoom reports whether more events may be read. What cannot be saved, as on a full disk, takes room, too.
func (q *queue) hasRoom() bool {
	return q.waiting < maxWaiting && q.fresh < maxFresh && q.bytes < maxFreshBytes && len(q.marks) < maxMarks && len(q.unsaved) < maxMarks
}

// next returns an event that is due, to be tried. It is to be ended by deliver, fail or giveBack.
func (q *queue) next(now time.Time) (*event, bool) {
	if len(q.ready) == 0 || q.ready[0].due.After(now) {
		return nil, false
	}
	return heap.Pop(&q.ready).(*event), true
}

// nextDue is when the next event is due; false if none waits for its time.
func (q *queue) nextDue() (time.Time, bool) {
	if len(q.ready) == 0 {
		return time.Time{}, false
	}
	return q.ready[0].due, true
}

// tried notes an attempt.
func (e *event) tried(now time.Time, status int, reason string) {
	e.Attempts++
	if e.FirstAt.IsZero() {
		e.FirstAt = now
	}
	e.LastAt, e.NextAt, e.LastStatus, e.LastError = now, time.Time{}, status, reason
}

// deliver ends an event that the receiver has.
func (q *queue) deliver(e *event, now time.Time, status int) {
	e.tried(now, status, "")
	q.end(e, store.Delivered, now)
}

// fail ends an attempt that failed, and reports whether the event is parked.
func (q *queue) fail(e *event, now time.Time, status int, reason string, retryAfter time.Duration) (parked bool) {
	e.tried(now, status, reason)
	pause, parked := pauseAfter(e.Attempts, retryAfter)
	if parked {
		q.end(e, store.Parked, now)
		return true
	}
	e.NextAt = now.Add(pause)
	for _, behind := range q.subjects[e.Subject] { // they have to wait, too
		if behind == e || behind.mark != nil {
			q.keep(behind)
		}
	}
	q.makeReady(e, now)
	return false
}

// giveBack ends an attempt that was interrupted, as if it had never begun.
func (q *queue) giveBack(e *event, now time.Time) { q.makeReady(e, now) }

// end ends an event; the next of its subject is due.
func (q *queue) end(e *event, as store.DeliveryState, now time.Time) {
	e.State = as
	q.unsaved[e.Sequence] = e.Delivery
	if e.mark != nil {
		q.leaveFresh(e)
	} else {
		q.waiting--
	}
	behind := q.subjects[e.Subject][1:]
	if len(behind) == 0 {
		delete(q.subjects, e.Subject)
		return
	}
	q.subjects[e.Subject] = behind
	q.makeReady(behind[0], now)
}

// changed reports whether there is something to save.
func (q *queue) changed() bool { return q.moved || len(q.unsaved) > 0 }

// take returns what is to be saved, in one transaction: the position is right only with the deliveries.
func (q *queue) take() (dispatcher.Position, map[uint64]store.Delivery) {
	unsaved := q.unsaved
	q.unsaved, q.moved = map[uint64]store.Delivery{}, false
	return q.position, unsaved
}

// putBack takes back what could not be saved.
func (q *queue) putBack(unsaved map[uint64]store.Delivery) {
	q.moved = true
	for sequence, d := range unsaved {
		if _, newer := q.unsaved[sequence]; !newer {
			q.unsaved[sequence] = d
		}
	}
}

// readyHeap has the event first that has been due for the longest.
type readyHeap []*event

func (h readyHeap) Len() int { return len(h) }
func (h readyHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].Sequence < h[j].Sequence
}
func (h readyHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *readyHeap) Push(e any)   { *h = append(*h, e.(*event)) }
func (h *readyHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
