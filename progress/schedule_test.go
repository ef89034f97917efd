package progress_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/progress"
	"casepress/study"
)

// The states of one item on the days around its window: V02 is planned for day 29, which is 2026-11-29, from 26 to
// 2 December.
func TestStatesOfAnItem(t *testing.T) {
	for _, tc := range []struct {
		came, today string
		want        progress.ItemState
		late        bool
	}{
		{"", "2026-11-01", progress.Expected, false},
		{"", "2026-12-02", progress.Expected, false},
		{"", "2026-12-03", progress.Missing, true},
		{"2026-11-25", "2026-11-25", progress.Early, false},
		{"2026-11-26", "2026-12-24", progress.Completed, false},
		{"2026-12-02", "2026-12-24", progress.Completed, false},
		{"2026-12-03", "2026-12-24", progress.Late, true},
	} {
		rows := openRows(t, t.TempDir())
		apply(t, rows, response("QR-1", "P1", "V01", "phq-9", "2026-11-01"))
		if tc.came != "" {
			apply(t, rows, response("QR-2", "P1", "V02", "phq-9", tc.came))
		}
		p := read(t, rows, s1, progress.Query{PatientID: "P1"}, tc.today).Patients[0]
		require.Equal(t, "2026-11-01", p.Day1)
		v := p.Visits[2]
		require.Equal(t, &progress.Window{Day: "2026-11-29", From: "2026-11-26", To: "2026-12-02"}, v.Window)
		require.Equal(t, tc.want, v.Items[0].State, "%v", tc)
		require.Equal(t, tc.came, v.Items[0].Day)
		require.Equal(t, tc.late || v.Items[1].State == progress.Missing, v.Late)
	}
}

// A day is one of UTC, from midnight to midnight.
func TestDaysAreThoseOfUTC(t *testing.T) {
	rows := openRows(t, t.TempDir())
	first := response("QR-1", "P1", "V01", "phq-9", "2026-11-01")
	first.OccurredAt = at("2026-10-31").Add(12*3600e9 - 1000) // the last microsecond of the day
	apply(t, rows, first)
	p := read(t, rows, s1, progress.Query{}, "2026-11-01").Patients[0]
	require.Equal(t, "2026-10-31", p.Day1)
	require.Equal(t, "2026-10-17", p.Visits[0].Window.Day, "day -14 is 14 days before day 1")
	require.Equal(t, "2026-11-28", p.Visits[2].Window.Day, "day 29 is 28 days after it")

	before1970 := response("QR-0", "P2", "V01", "phq-9", "1969-12-31")
	before1970.OccurredAt = at("1970-01-01").Add(-12*3600e9 - 1000)
	apply(t, rows, before1970)
	require.Equal(t, "1969-12-31", read(t, rows, s1, progress.Query{PatientID: "P2"}, "2026-11-01").Patients[0].Day1)
}

func TestStatesOfAVisit(t *testing.T) {
	rows := openRows(t, t.TempDir())
	state := func() progress.VisitState {
		return read(t, rows, s1, progress.Query{}, "2026-11-01").Patients[0].Visits[1].State
	}
	apply(t, rows, response("QR-0", "P1", "V00", "phq-9", "2026-10-18"))
	require.Equal(t, progress.VisitExpected, state())
	failed := response("QR-1", "P1", "V01", "phq-9", "2026-11-01")
	failed.Completed = false
	apply(t, rows, failed)
	require.Equal(t, progress.VisitStarted, state())
	failed.Completed, failed.Attempt = true, 2
	apply(t, rows, failed, response("QR-2", "P1", "V01", "gad-7", "2026-11-01"))
	require.Equal(t, progress.VisitStarted, state())
	apply(t, rows, response("QR-3", "P1", "V01", "case-report", "2026-11-01"))
	require.Equal(t, progress.VisitCompleted, state())
}

// Until the visit of day 1 has begun no date is known, and nothing is late.
func TestBeforeDay1(t *testing.T) {
	rows := openRows(t, t.TempDir())
	apply(t, rows, response("QR-0", "P1", "V00", "phq-9", "2020-01-01"))
	page := read(t, rows, s1, progress.Query{}, "2026-11-01")
	p := page.Patients[0]
	require.Empty(t, p.Day1)
	require.Nil(t, p.Visits[0].Window)
	require.Equal(t, progress.VisitCompleted, p.Visits[0].State)
	require.Equal(t, progress.Expected, p.Visits[1].Items[0].State)
	require.Equal(t, 1, page.Totals.ExpectedSoFar)
	require.Equal(t, 1, page.Totals.Completed)
	require.Zero(t, page.Totals.Missing)
}

// What nobody has planned is shown after the schedule, and counts for nothing.
func TestUnscheduled(t *testing.T) {
	rows := openRows(t, t.TempDir())
	apply(t, rows, response("QR-1", "P1", "V01", "who-5", "2026-11-01"), response("QR-2", "P1", "V77", "phq-9", "2026-11-05"),
		response("QR-3", "P1", "", "phq-9", "2026-11-06"), response("QR-4", "P1", "V77", "gad-7", "2026-11-05"))
	p := read(t, rows, s1, progress.Query{}, "2026-11-01").Patients[0]
	require.Equal(t, "2026-11-01", p.Day1, "whatever came first for the visit of day 1")
	require.Equal(t, progress.VisitStarted, p.Visits[1].State)
	require.Equal(t, progress.Item{Item: "who-5", State: progress.Unscheduled, Day: "2026-11-01"}, p.Visits[1].Items[3])
	require.Equal(t, []progress.Visit{
		{VisitID: "", State: progress.VisitUnscheduled, Items: []progress.Item{{Item: "phq-9", State: progress.Unscheduled, Day: "2026-11-06"}}},
		{VisitID: "V77", State: progress.VisitUnscheduled, Items: []progress.Item{
			{Item: "gad-7", State: progress.Unscheduled, Day: "2026-11-05"}, {Item: "phq-9", State: progress.Unscheduled, Day: "2026-11-05"},
		}},
	}, p.Visits[3:])
	require.Equal(t, 1, p.Missing, "the screening")
	require.Equal(t, 1, p.ExpectedSoFar)
	require.NotNil(t, p.Compliance)
	require.Zero(t, *p.Compliance)

	none := read(t, rows, study.Study{ID: "S1"}, progress.Query{}, "2026-11-01")
	require.Len(t, none.Patients[0].Visits, 3, "without a schedule all is unscheduled")
	require.Nil(t, none.Totals.Compliance)
}

// Every item that was expected so far is counted once.
func TestFigures(t *testing.T) {
	rows := openRows(t, t.TempDir())
	apply(t, rows,
		response("1", "P1", "V00", "phq-9", "2026-10-20"),
		response("2", "P1", "V01", "phq-9", "2026-11-01"), response("3", "P1", "V01", "gad-7", "2026-11-02"), response("4", "P1", "V01", "case-report", "2026-11-03"),
		response("5", "P1", "V02", "phq-9", "2026-11-20"))
	p := read(t, rows, s1, progress.Query{}, "2026-12-24").Patients[0]
	compliance := 0.5
	require.Equal(t, progress.Figures{ExpectedSoFar: 6, Completed: 3, Early: 1, Late: 1, Missing: 1, Compliance: &compliance}, p.Figures)
	require.Equal(t, p.Figures, read(t, rows, s1, progress.Query{}, "2026-12-24").Totals.Figures)
	require.Equal(t, 2, read(t, rows, s1, progress.Query{VisitID: "V02"}, "2026-12-24").Totals.ExpectedSoFar)
}
