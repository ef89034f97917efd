package progress

import (
	"slices"
	"time"

	"casepress/study"
)

// ItemState is where one thing that is due at a visit stands.
type ItemState string

// The states of an item. Expected is all that has not come and may still come in time; Early, Completed and Late say on which
// side of the window it came, and Missing that the window is over. What is not in the schedule is Unscheduled.
const (
	Expected    ItemState = "expected"
	Early       ItemState = "early"
	Completed   ItemState = "completed"
	Late        ItemState = "late"
	Missing     ItemState = "missing"
	Unscheduled ItemState = "unscheduled"
)

// VisitState is how far a visit has come.
type VisitState string

// The states of a visit: nothing has come; something has come, or failed; all that is due is completed. A visit that is not
// in the schedule, or a submission that names none, is VisitUnscheduled.
const (
	VisitExpected    VisitState = "expected"
	VisitStarted     VisitState = "started"
	VisitCompleted   VisitState = "completed"
	VisitUnscheduled VisitState = "unscheduled"
)

// Item is one thing that is due at a visit or has come for it.
type Item struct {
	// Item is an instrument or "case-report".
	Item  string    `json:"item"`
	State ItemState `json:"state"`
	// Failed says that something has come and that its processing failed: it is stored, and can be retried.
	Failed bool `json:"failed"`
	// Day is that of the first that is completed, "" if none is.
	Day string `json:"day,omitempty"`
	// Submissions are those that have come, the latest first, and SubmissionCount their number; nil where they were not
	// asked for.
	Submissions     []Submission `json:"submissions,omitempty"`
	SubmissionCount int          `json:"submissionCount,omitempty"`
}

// Submission is something that has come.
type Submission struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Revision int64  `json:"revision"`
	Status   string `json:"status"`
	// OccurredAt and FinishedAt are RFC 3339, UTC with microseconds.
	OccurredAt string `json:"occurredAt"`
	FinishedAt string `json:"finishedAt"`
	EventID    string `json:"eventId"`
	URL        string `json:"url,omitempty"`
}

// Visit is one visit of one patient.
type Visit struct {
	VisitID string     `json:"visitId"`
	State   VisitState `json:"state"`
	// Late says that something came after the window, or is missing.
	Late bool `json:"late"`
	// Window says when the visit is planned; nil if that is not known, or the visit is not in the schedule.
	Window *Window `json:"window"`
	Items  []Item  `json:"items"`
}

// Window are days of UTC, such as "2026-11-27".
type Window struct {
	Day  string `json:"day"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Figures count items. Each that was expected so far is exactly one of the other four.
type Figures struct {
	// ExpectedSoFar are those whose window is over, and those that are completed already.
	ExpectedSoFar int `json:"expectedSoFar"`
	Completed     int `json:"completed"`
	Early         int `json:"early"`
	Late          int `json:"late"`
	Missing       int `json:"missing"`
	// Compliance is Completed of ExpectedSoFar, 0 to 1; nil while nothing was expected.
	Compliance *float64 `json:"compliance"`
}

func (f *Figures) count(s ItemState) {
	switch s {
	case Completed:
		f.Completed++
	case Early:
		f.Early++
	case Late:
		f.Late++
	case Missing:
		f.Missing++
	default:
		return
	}
	f.ExpectedSoFar++
}

func (f *Figures) add(o Figures) {
	f.ExpectedSoFar += o.ExpectedSoFar
	f.Completed += o.Completed
	f.Early += o.Early
	f.Late += o.Late
	f.Missing += o.Missing
}

// rate is f with the compliance.
func (f Figures) rate() Figures {
	if f.ExpectedSoFar > 0 {
		c := float64(f.Completed) / float64(f.ExpectedSoFar)
		f.Compliance = &c
	}
	return f
}

// day is a day of UTC, counted from 1970-01-01.
type day int64

const microsADay = 24 * 60 * 60 * 1_000_000

func dayOf(micros int64) day {
	d := micros / microsADay
	if micros%microsADay < 0 {
		d--
	}
	return day(d)
}

func (d day) String() string {
	return time.Unix(int64(d)*24*60*60, 0).UTC().Format(time.DateOnly)
}

// cell is what has come of one item at one visit of one patient.
type cell struct {
	visitID, item string
	since         int64 // microseconds
	completedAt   int64 // with completed
	completed     bool
	failed        bool
}

// timetable is a study's schedule for one patient.
type timetable struct {
	visits []study.Visit
	today  day
	start  day // of day 1
	begun  bool
}

// timetableOf finds the patient's day 1: the day of the first that has come for the visit of day 1.
func timetableOf(s study.Study, today day, cells []cell) timetable {
	t := timetable{visits: s.Visits, today: today}
	first, ok := s.FirstVisit()
	if !ok {
		return t
	}
	for _, c := range cells {
		if c.visitID == first.ID && (!t.begun || dayOf(c.since) < t.start) {
			t.start, t.begun = dayOf(c.since), true
		}
	}
	return t
}

// window returns the planned day of a visit, and the first and the last one of its window.
func (t timetable) window(v study.Visit) (planned, from, to day) {
	planned = t.start + day(v.Offset())
	return planned, planned - day(v.Before), planned + day(v.After)
}

// state judges one item of a visit. c is nil if nothing has come.
func (t timetable) state(v study.Visit, c *cell) ItemState {
	done := c != nil && c.completed
	if !t.begun {
		if done {
			return Completed // there is nothing to hold it against
		}
		return Expected
	}
	_, from, to := t.window(v)
	switch {
	case done && dayOf(c.completedAt) < from:
		return Early
	case done && dayOf(c.completedAt) > to:
		return Late
	case done:
		return Completed
	case t.today > to:
		return Missing
	}
	return Expected
}

// figures counts what is due; only is a visit, or "" for all.
func (t timetable) figures(cells []cell, only string) (f Figures) {
	for _, v := range t.visits {
		if only != "" && v.ID != only {
			continue
		}
		for _, item := range v.Due {
			f.count(t.state(v, find(cells, v.ID, item)))
		}
	}
	return f
}

func find(cells []cell, visitID, item string) *cell {
	at := slices.IndexFunc(cells, func(c cell) bool { return c.visitID == visitID && c.item == item })
	if at < 0 {
		return nil
	}
	return &cells[at]
}

// show returns the visits of a patient: those of the schedule, and then the others that something has come for.
func (t timetable) show(cells []cell, only string) []Visit {
	visits := []Visit{}
	for _, v := range t.visits {
		if only == "" || v.ID == only {
			visits = append(visits, t.showVisit(v, cells))
		}
	}
	for i, c := range cells {
		isScheduled := slices.ContainsFunc(t.visits, func(v study.Visit) bool { return v.ID == c.visitID })
		if isScheduled || only != "" && c.visitID != only {
			continue
		}
		if i == 0 || cells[i-1].visitID != c.visitID { // cells are in the order of visits
			visits = append(visits, Visit{VisitID: c.visitID, State: VisitUnscheduled, Items: []Item{}})
		}
		last := &visits[len(visits)-1]
		last.Items = append(last.Items, showItem(c.item, Unscheduled, &c))
	}
	return visits
}

func (t timetable) showVisit(v study.Visit, cells []cell) Visit {
	out := Visit{VisitID: v.ID, State: VisitExpected, Items: []Item{}}
	if t.begun {
		planned, from, to := t.window(v)
		out.Window = &Window{planned.String(), from.String(), to.String()}
	}
	completed := 0
	for _, item := range v.Due {
		c := find(cells, v.ID, item)
		state := t.state(v, c)
		out.Items = append(out.Items, showItem(item, state, c))
		out.Late = out.Late || state == Late || state == Missing
		if c != nil {
			out.State = VisitStarted
		}
		if c != nil && c.completed {
			completed++
		}
	}
	for _, c := range cells {
		if c.visitID == v.ID && !slices.Contains(v.Due, c.item) {
			out.Items = append(out.Items, showItem(c.item, Unscheduled, &c))
			if out.State == VisitExpected {
				out.State = VisitStarted
			}
		}
	}
	if completed == len(v.Due) {
		out.State = VisitCompleted
	}
	return out
}

func showItem(item string, state ItemState, c *cell) Item {
	out := Item{Item: item, State: state}
	if c != nil {
		out.Failed = c.failed
		if c.completed {
			out.Day = dayOf(c.completedAt).String()
		}
	}
	return out
}
