package study

import (
	"slices"
	"strings"

	"casepress/jsonfile"
)

// CaseReport is the word in [Visit.Due] for a case report, also where an instrument has that id.
const CaseReport = "case-report"

// The limits of a schedule. They are part of the format.
const (
	maxVisits = 1000
	maxDue    = 100
	maxDay    = 9999 // of the study, some 27 years
	maxWidth  = 999  // days of a window before or after its day
)

// Visit is an appointment of each patient, as the study plans it.
//
// Days are those of CDISC's SDTM (Implementation Guide 3.4, section 4.4.4): there is no day 0. Day 1 is the day that the
// others are counted from, day 2 the next one, and day -1 the one before.
type Visit struct {
	// ID is the one by which submissions name the visit, in the form of [Study.ID].
	ID string
	// Title is one line for people, up to 200 characters.
	Title string
	// Day is the day of the study on which the visit is planned. The visit of day 1, of which each schedule has one, has no
	// planned date: it is where a patient begins.
	Day int64
	// Before and After are how many days earlier and later it may be.
	Before, After int64
	// Due are what each patient hands in: ids of instruments, and [CaseReport].
	Due []string
}

// Offset is the number of days from day 1 to the planned day, negative before it.
func (v Visit) Offset() int64 {
	if v.Day > 0 {
		return v.Day - 1
	}
	return v.Day
}

// FirstVisit is the visit of day 1. It is not found if the study has no schedule.
func (s Study) FirstVisit() (v Visit, found bool) {
	at := slices.IndexFunc(s.Visits, isFirst)
	if at < 0 {
		return Visit{}, false
	}
	return s.Visits[at], true
}

// Plans reports whether the schedule has a visit. A study without a schedule takes any, and the empty id, which stands for a
// submission that names no visit, is always taken.
func (s Study) Plans(id string) bool {
	return id == "" || len(s.Visits) == 0 || slices.ContainsFunc(s.Visits, func(v Visit) bool { return v.ID == id })
}

// VisitIDs names the visits of the schedule in a sentence, as [Study.SiteIDs] does.
func (s Study) VisitIDs() string { return listed(s.Visits, func(v Visit) string { return v.ID }) }

func isFirst(v Visit) bool { return v.Day == 1 }

var visitMembers = []jsonfile.Member[Visit]{
	jsonfile.Required("id", "the id of the visit", func(c *checker, n *node, v *Visit) { v.ID = c.ID(n) }),
	jsonfile.Required("title", "one line for people", func(c *checker, n *node, v *Visit) { v.Title = c.Line(n, maxTitle) }),
	jsonfile.Required("day", "the day of the study, counted from 1", func(c *checker, n *node, v *Visit) {
		if v.Day = c.Integer(n, -maxDay, maxDay); n.Text == "0" {
			c.Refuse(n, "must not be 0: as in SDTM, day 1 is the first day of the study and day -1 the one before; add 1 to all days that are counted from 0")
		}
	}),
	jsonfile.Optional("before", func(c *checker, n *node, v *Visit) { v.Before = c.Integer(n, 0, maxWidth) }),
	jsonfile.Optional("after", func(c *checker, n *node, v *Visit) { v.After = c.Integer(n, 0, maxWidth) }),
	jsonfile.Required("due", `what is handed in, such as ["phq-9", "case-report"]`, func(c *checker, n *node, v *Visit) {
		v.Due = jsonfile.List(c, n, maxDue, c.ID)
		c.Unique(n.Items, v.Due)
	}),
}

func visit(c *checker, n *node) Visit {
	v := jsonfile.Members(c, n, visitMembers)
	if isFirst(v) && v.Before > 0 {
		c.Refuse(n.Get("before"), "must be 0 or left out at the visit of day 1: a patient's day 1 is the day on which the first of this visit comes")
	}
	return v
}

// checkVisits checks what visits say of each other.
func (f *file) checkVisits(c *checker, n *node) {
	ids := make([]string, len(f.Visits))
	first := -1
	for i, v := range f.Visits {
		ids[i] = v.ID
		switch {
		case isFirst(v) && first >= 0:
			c.Refuse(n.Items[i].Get("day"), "is 1, as that of visits[%d]; one visit has it, the one that the others are counted from", first)
		case isFirst(v):
			first = i
		}
		if i > 0 && v.Day != 0 && v.Day < f.Visits[i-1].Day {
			c.Refuse(n.Items[i].Get("day"), "is before day %d of the visit above; list them in the order of their days", f.Visits[i-1].Day)
		}
	}
	c.Unique(n.Items, ids)
	if first < 0 && len(f.Visits) > 0 && c.Clean() {
		c.Refuse(n, `has no visit of day 1; give "day": 1 to the one that the others are counted from`)
	}
}

// checkDue checks that what is due can be handed in.
func (f *file) checkDue(c *checker) {
	for i, v := range f.Visits {
		for j, id := range v.Due {
			if id == "" || id == CaseReport {
				continue
			}
			if _, ok := f.Instruments().Get(id, ""); !ok {
				c.Refuse(f.atVisits.Items[i].Get("due").Items[j], "there is no instrument %q; there are %s, and %q", id, strings.Join(f.instrumentIDs(), ", "), CaseReport)
			}
		}
	}
}

func (f *file) instrumentIDs() (ids []string) {
	for _, d := range f.Instruments().All() {
		if !slices.Contains(ids, d.ID) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}
