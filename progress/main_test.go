package progress_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/progress"
	"casepress/study"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// openRows opens the database in a folder, until the end of the test.
func openRows(t testing.TB, dir string) *progress.Rows {
	t.Helper()
	rows, err := progress.Open(t.Context(), filepath.Join(dir, "progress.db"), quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rows.Close()) })
	return rows
}

// apply applies events that are no poison.
func apply(t testing.TB, rows *progress.Rows, events ...progress.Event) {
	t.Helper()
	errs, err := rows.Apply(t.Context(), events, nowhere)
	require.NoError(t, err)
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func nowhere([]error) (progress.Position, func()) { return progress.Position{Topic: "t"}, func() {} }

// read returns the first page of patients.
func read(t testing.TB, rows *progress.Rows, s study.Study, q progress.Query, today string) progress.Page {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = progress.DefaultLimit
	}
	page, err := rows.Read(t.Context(), s, q, at(today))
	require.NoError(t, err)
	return page
}

// at is noon of a day.
func at(day string) time.Time {
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return d.Add(12 * time.Hour)
}

// response is a completed response.
func response(id, patient, visit, instrument, day string) progress.Event {
	return progress.Event{
		ID: "questionnaire-response/" + id + "/1", Kind: "questionnaire-response", SubmissionID: id, Revision: 1, Item: instrument,
		Study: "S1", Site: "101", PatientID: patient, VisitID: visit, Completed: true, Attempt: 1,
		OccurredAt: at(day), FinishedAt: at(day).Add(time.Second), URL: "/questionnaire-responses/" + id,
	}
}

var s1 = study.Study{ID: "S1", Version: 1, SHA256: "x", Visits: []study.Visit{
	{ID: "V00", Title: "Screening", Day: -14, Before: 14, After: 13, Due: []string{"phq-9"}},
	{ID: "V01", Title: "Baseline", Day: 1, After: 1, Due: []string{"phq-9", "gad-7", "case-report"}},
	{ID: "V02", Title: "Week 4", Day: 29, Before: 3, After: 3, Due: []string{"phq-9", "case-report"}},
}}
