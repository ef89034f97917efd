package notify

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/dispatcher"
	"casepress/store"
)

// world is what a queue has to do with: the log, the rows and a receiver.
type world struct {
	t        *rapid.T
	q        *queue
	now      time.Time
	subjects []string // of the events of the log, in their order; "-": not for the endpoint
	read     int      // how many of them this life has read
	inFlight map[uint64]*event
	ended    map[uint64]bool // delivered or parked, ever

	position dispatcher.Position // in the rows
	rows     map[uint64]store.Delivery
}

func at(sequence int) dispatcher.Position { return dispatcher.Position{Sequence: uint64(sequence)} }

// begin is a new life: what was not saved is forgotten.
func (w *world) begin() {
	w.q = newQueue(w.position)
	var saved []store.Delivery
	for _, sequence := range slices.Sorted(maps.Keys(w.rows)) {
		if w.rows[sequence].State == store.Waiting || sequence > w.position.Sequence {
			saved = append(saved, w.rows[sequence])
		}
	}
	w.q.load(saved, w.now)
	w.read, w.inFlight = int(w.position.Sequence), map[uint64]*event{}
}

func (w *world) readOne() {
	if w.read == len(w.subjects) || !w.q.hasRoom() {
		return
	}
	subject := w.subjects[w.read]
	w.read++
	if subject == "-" {
		w.q.pass(at(w.read))
		return
	}
	w.q.add(at(w.read), store.Delivery{Sequence: uint64(w.read), EventID: strconv.Itoa(w.read), Subject: subject}, []byte("payload"), w.now)
}

// try begins an attempt, which must be of an event whose turn has come.
func (w *world) try() {
	e, due := w.q.next(w.now)
	if !due {
		return
	}
	require.False(w.t, w.ended[e.Sequence] && w.rows[e.Sequence].State != store.Waiting && w.rows[e.Sequence].State != "", "what is saved as delivered is not sent again")
	require.False(w.t, e.NextAt.After(w.now), "%d is tried too early", e.Sequence)
	for sequence, other := range w.inFlight {
		require.NotEqual(w.t, other.Subject, e.Subject, "%d and %d of one subject are tried at once", sequence, e.Sequence)
	}
	for i := range int(e.Sequence) - 1 {
		if w.subjects[i] == w.subjects[e.Sequence-1] && w.subjects[i] != "" {
			require.True(w.t, w.ended[uint64(i+1)], "%d is tried before %d of the same subject has ended", e.Sequence, i+1)
		}
	}
	w.inFlight[e.Sequence] = e
}

// finish ends an attempt.
func (w *world) finish(outcome int) {
	if len(w.inFlight) == 0 {
		return
	}
	sequence := slices.Min(slices.Collect(maps.Keys(w.inFlight)))
	e := w.inFlight[sequence]
	delete(w.inFlight, sequence)
	before := e.Attempts
	switch outcome {
	case 0:
		w.q.deliver(e, w.now, 200)
		w.ended[sequence] = true
	case 1:
		w.q.giveBack(e, w.now)
		require.Equal(w.t, before, e.Attempts)
	default:
		if w.q.fail(e, w.now, 500, "x", 0) {
			require.Equal(w.t, len(schedule), e.Attempts)
			w.ended[sequence] = true
		} else {
			require.Equal(w.t, w.now.Add(schedule[e.Attempts]), e.NextAt)
		}
	}
}

// save writes to the rows, if the disk lets it.
func (w *world) save(works bool) {
	position, unsaved := w.q.take()
	if !works {
		w.q.putBack(unsaved)
		require.True(w.t, w.q.changed())
		return
	}
	require.GreaterOrEqual(w.t, position.Sequence, w.position.Sequence)
	w.position = position
	maps.Copy(w.rows, unsaved)
	for i := range int(position.Sequence) {
		_, row := w.rows[uint64(i+1)]
		require.True(w.t, w.subjects[i] == "-" || row, "%d is behind the position and is nowhere", i+1)
	}
	for sequence, d := range w.rows {
		require.Equal(w.t, w.ended[sequence] && d.State != store.Waiting, d.State != store.Waiting, "%d is %s and has not ended", sequence, d.State)
	}
}

// The queue against what it promises: nothing is lost, nothing overtakes, whatever fails and whenever the process dies.
func TestQueueAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), ended: map[uint64]bool{}, rows: map[uint64]store.Delivery{}}
		w.begin()
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				w.subjects = append(w.subjects, rapid.SampledFrom([]string{"A", "B", "C", "-", ""}).Draw(t, "subject"))
			},
			"read":   func(*rapid.T) { w.readOne() },
			"try":    func(*rapid.T) { w.try() },
			"finish": func(t *rapid.T) { w.finish(rapid.IntRange(0, 3).Draw(t, "outcome")) },
			"save":   func(t *rapid.T) { w.save(rapid.IntRange(0, 3).Draw(t, "works") > 0) },
			"time": func(t *rapid.T) {
				w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 6 * time.Second, time.Hour, 25 * time.Hour}).Draw(t, "pass"))
			},
			"die": func(*rapid.T) { w.begin() },
			"": func(t *rapid.T) {
				require.LessOrEqual(t, len(w.q.marks), maxMarks+1)
				require.GreaterOrEqual(t, w.q.waiting, 0)
				require.GreaterOrEqual(t, w.q.bytes, 0)
			},
		})
		// A receiver that takes everything: all that was published ends.
		for range 4 * (len(w.subjects) + 1) {
			w.now = w.now.Add(25 * time.Hour)
			w.readOne()
			w.try()
			w.finish(0)
		}
		w.save(true)
		for i, subject := range w.subjects {
			require.Equal(t, subject != "-", w.ended[uint64(i+1)], "event %d", i+1)
		}
		require.Equal(t, uint64(len(w.subjects)), w.position.Sequence)
		require.Zero(t, w.q.waiting)
		require.Zero(t, w.q.fresh)
		require.Zero(t, w.q.bytes)
	})
}

// An event that failed while the clock was years ahead does not wait for years.
func TestAnEventFromTheFutureIsDue(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	q := newQueue(dispatcher.Position{})
	q.load([]store.Delivery{
		{Sequence: 1, Subject: "A", State: store.Waiting, Attempts: 1, NextAt: now.AddDate(10, 0, 0)},
		{Sequence: 2, Subject: "B", State: store.Waiting, Attempts: 9, NextAt: now.Add(24 * time.Hour)},
	}, now)
	e, due := q.next(now)
	require.True(t, due)
	require.EqualValues(t, 1, e.Sequence)
	_, due = q.next(now)
	require.False(t, due)
}
