package progress_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/progress"
	"casepress/study"
)

// A repeat of an event changes nothing, and an older attempt does not overwrite a newer one.
func TestRepeatsChangeNothing(t *testing.T) {
	rows := openRows(t, t.TempDir())
	failed := response("QR-1", "P001", "V01", "phq-9", "2026-11-01")
	failed.Completed = false
	completed := response("QR-1", "P001", "V01", "phq-9", "2026-11-01")
	completed.Attempt = 2
	apply(t, rows, failed)
	item := read(t, rows, s1, progress.Query{PatientID: "P001"}, "2026-11-01").Patients[0].Visits[1].Items[0]
	require.Equal(t, progress.Expected, item.State)
	require.True(t, item.Failed)
	require.Equal(t, "failed", item.Submissions[0].Status)

	apply(t, rows, completed)
	want := read(t, rows, s1, progress.Query{PatientID: "P001"}, "2026-11-01")
	require.Equal(t, progress.Completed, want.Patients[0].Visits[1].Items[0].State)
	require.False(t, want.Patients[0].Visits[1].Items[0].Failed)
	apply(t, rows, completed, failed, completed)
	require.Equal(t, want, read(t, rows, s1, progress.Query{PatientID: "P001"}, "2026-11-01"))
}

// An amendment says where the answers belong, and does not make late what was in time.
func TestAmendments(t *testing.T) {
	rows := openRows(t, t.TempDir())
	apply(t, rows,
		response("QR-0", "P001", "V01", "phq-9", "2026-11-01"),
		response("QR-1", "P001", "V01", "phq-9", "2026-11-29")) // at the wrong visit
	amended := response("QR-1", "P001", "V02", "phq-9", "2026-12-20")
	amended.Revision = 2
	apply(t, rows, amended)
	p := read(t, rows, s1, progress.Query{PatientID: "P001"}, "2026-12-21").Patients[0]
	require.Equal(t, progress.Completed, p.Visits[2].Items[0].State)
	require.Equal(t, "2026-11-29", p.Visits[2].Items[0].Day)
	require.EqualValues(t, 2, p.Visits[2].Items[0].Submissions[0].Revision)
	require.Equal(t, 1, p.Visits[1].Items[0].SubmissionCount, "it is at the first visit no more")

	failed := response("QR-1", "P001", "V00", "gad-7", "2026-12-21")
	failed.Revision, failed.Completed = 3, false
	apply(t, rows, failed)
	require.Equal(t, p, read(t, rows, s1, progress.Query{PatientID: "P001"}, "2026-12-21").Patients[0], "what failed moves nothing")
}

// The first of several submissions for an item counts; all are shown.
func TestSeveralSubmissionsForAnItem(t *testing.T) {
	rows := openRows(t, t.TempDir())
	apply(t, rows, response("QR-0", "P001", "V01", "phq-9", "2026-11-01"))
	for i := range 25 {
		apply(t, rows, response(fmt.Sprintf("QR-%d", 1+i), "P001", "V02", "phq-9", at("2026-11-28").AddDate(0, 0, i).Format("2006-01-02")))
	}
	item := read(t, rows, s1, progress.Query{PatientID: "P001"}, "2026-12-30").Patients[0].Visits[2].Items[0]
	require.Equal(t, progress.Completed, item.State)
	require.Equal(t, "2026-11-28", item.Day)
	require.Equal(t, 25, item.SubmissionCount)
	require.Len(t, item.Submissions, 20)
	require.Equal(t, "QR-25", item.Submissions[0].ID)
}

// An id is one patient's.
func TestAnotherPatientsSubmission(t *testing.T) {
	rows := openRows(t, t.TempDir())
	apply(t, rows, response("QR-1", "P001", "V01", "phq-9", "2026-11-01"))
	stray := response("QR-1", "P002", "V01", "phq-9", "2026-11-01")
	stray.Attempt = 2
	errs, err := rows.Apply(t.Context(), []progress.Event{stray, response("QR-2", "P003", "V01", "phq-9", "2026-11-01")}, nowhere)
	require.NoError(t, err)
	var p *progress.PoisonError
	require.ErrorAs(t, errs[0], &p)
	require.NoError(t, errs[1], "the other one is applied")
	page := read(t, rows, s1, progress.Query{}, "2026-11-01")
	require.Len(t, page.Patients, 2)
	require.Equal(t, "P003", page.Patients[1].PatientID)
}

// TestOrderMakesNoDifference holds that rows depend on which events were applied, not on how often or in which order.
func TestOrderMakesNoDifference(t *testing.T) {
	days := []string{"2026-10-20", "2026-11-01", "2026-11-02", "2026-11-29", "2026-12-24"}
	one := rapid.Custom(func(t *rapid.T) progress.Event {
		patient := rapid.SampledFrom([]string{"P1", "P2"}).Draw(t, "patient")
		e := response(patient+rapid.SampledFrom([]string{"-a", "-b", "-c"}).Draw(t, "id"), patient, "", "", rapid.SampledFrom(days).Draw(t, "day"))
		e.Revision, e.Attempt = rapid.Int64Range(1, 3).Draw(t, "revision"), rapid.Int64Range(1, 3).Draw(t, "attempt")
		e.VisitID = rapid.SampledFrom([]string{"", "V00", "V01", "V02", "V9"}).Draw(t, "visit")
		e.Item = rapid.SampledFrom([]string{"phq-9", "gad-7", "who-5"}).Draw(t, "item")
		e.Completed = rapid.Bool().Draw(t, "completed")
		e.Site = "101" // of one submission all events name one site
		return e
	})
	ordered, shuffled := openRows(t, t.TempDir()), openRows(t, t.TempDir())
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(one, 0, 20).Draw(rt, "events")
		slices.SortStableFunc(events, func(a, b progress.Event) int {
			return cmp.Or(cmp.Compare(a.SubmissionID, b.SubmissionID), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Attempt, b.Attempt))
		})
		events = slices.CompactFunc(events, func(a, b progress.Event) bool { // an attempt ends once
			return a.SubmissionID == b.SubmissionID && a.Revision == b.Revision && a.Attempt == b.Attempt
		})
		require.NoError(t, ordered.Reset(t.Context()))
		require.NoError(t, shuffled.Reset(t.Context()))
		apply(t, ordered, events...)
		twice := append(slices.Clone(events), events...)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		random.Shuffle(len(twice), func(i, j int) { twice[i], twice[j] = twice[j], twice[i] })
		for len(twice) > 0 {
			n := min(1+random.IntN(5), len(twice))
			apply(t, shuffled, twice[:n]...)
			twice = twice[n:]
		}
		for _, patient := range []string{"", "P1", "P2"} {
			want := read(t, ordered, s1, progress.Query{PatientID: patient}, "2026-12-01")
			require.Equal(t, want, read(t, shuffled, s1, progress.Query{PatientID: patient}, "2026-12-01"))
		}
	})
}

func TestPagesAndFilters(t *testing.T) {
	rows := openRows(t, t.TempDir())
	for i := range 7 {
		e := response(fmt.Sprintf("QR-%d", i), fmt.Sprintf("P%d", i), "V01", "phq-9", "2026-11-01")
		e.Site = []string{"101", "102", ""}[i%3]
		apply(t, rows, e)
	}
	other := response("QR-9", "P0", "V01", "phq-9", "2026-11-01")
	other.Study = "S2"
	apply(t, rows, other)
	q := progress.Query{Limit: 3}
	var seen []string
	for n := 0; ; n++ {
		page := read(t, rows, s1, q, "2026-11-30")
		require.Equal(t, n == 0, page.Totals != nil)
		for _, p := range page.Patients {
			seen = append(seen, p.PatientID)
		}
		if page.Next == nil {
			break
		}
		q.Cursor = *page.Next
	}
	require.Equal(t, []string{"P0", "P1", "P2", "P3", "P4", "P5", "P6"}, seen)

	page := read(t, rows, s1, progress.Query{Site: "101"}, "2026-11-30")
	require.Len(t, page.Patients, 3)
	require.Equal(t, []string{"101"}, sitesOf(page))
	page = read(t, rows, s1, progress.Query{}, "2026-11-30")
	require.Equal(t, []string{"", "101", "102"}, sitesOf(page))
	require.Equal(t, 7, page.Totals.Patients)
	require.Equal(t, 3, page.Sites[1].Patients)
	require.Empty(t, read(t, rows, s1, progress.Query{PatientID: "P9"}, "2026-11-30").Patients)
	only := read(t, rows, s1, progress.Query{PatientID: "P0", VisitID: "V02"}, "2026-11-30").Patients[0]
	require.Len(t, only.Visits, 1)
	require.Equal(t, "V02", only.Visits[0].VisitID)
	require.Len(t, read(t, rows, study.Study{ID: "S2"}, progress.Query{}, "2026-11-30").Patients, 1)

	for _, bad := range []string{"!", "UA==", "UDA\n", "Li8"} {
		_, err := rows.Read(t.Context(), s1, progress.Query{Limit: 1, Cursor: bad}, at("2026-11-30"))
		require.ErrorIs(t, err, progress.ErrBadCursor, bad)
	}
}

func sitesOf(p progress.Page) (ids []string) {
	for _, s := range p.Sites {
		ids = append(ids, s.Site)
	}
	return ids
}

// A patient is at the site that the latest event names, whenever it comes.
func TestSiteOfAPatient(t *testing.T) {
	rows := openRows(t, t.TempDir())
	moved := response("QR-2", "P1", "V02", "phq-9", "2026-11-29")
	moved.Site = "102"
	none := response("QR-3", "P1", "V02", "gad-7", "2026-11-30")
	none.Site = ""
	apply(t, rows, none, moved, response("QR-1", "P1", "V01", "phq-9", "2026-11-01"))
	require.Equal(t, "102", read(t, rows, s1, progress.Query{}, "2026-11-30").Patients[0].Site)
}

// Figures that were made are made again when a row, the day or the study's file has changed.
func TestFiguresFollow(t *testing.T) {
	rows := openRows(t, t.TempDir())
	apply(t, rows, response("QR-1", "P1", "V01", "phq-9", "2026-11-01"))
	missing := func(s study.Study, day string) int { return read(t, rows, s, progress.Query{}, day).Totals.Missing }
	require.Equal(t, 1, missing(s1, "2026-11-02"), "the screening")
	require.Equal(t, 3, missing(s1, "2026-11-03"))
	apply(t, rows, response("QR-2", "P1", "V01", "gad-7", "2026-11-01"))
	require.Equal(t, 2, missing(s1, "2026-11-03"))
	other := s1
	other.Visits, other.SHA256 = s1.Visits[1:], "y"
	require.Equal(t, 1, missing(other, "2026-11-03"))
	require.Equal(t, 2, missing(s1, "2026-11-03"))
}

// A damaged database is moved aside; a later version's is refused.
func TestDamagedDatabase(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "progress.db")
	for range 2 { // a second time, too
		require.NoError(t, os.WriteFile(path, []byte("this is no database, and it is long enough to be looked at as one"), 0o600))
		rows, err := progress.Open(t.Context(), path, quiet)
		require.NoError(t, err)
		require.Empty(t, read(t, rows, s1, progress.Query{}, "2026-11-30").Patients)
		require.NoError(t, rows.Close())
		require.FileExists(t, path+".damaged")
	}
	rows, err := progress.Open(t.Context(), path, quiet)
	require.NoError(t, err)
	for i := range 500 {
		apply(t, rows, response(fmt.Sprintf("QR-%d", i), "P1", "V01", "phq-9", "2026-11-01"))
	}
	require.NoError(t, rows.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := len(content) / 2; i < len(content)/2+4096; i++ {
		content[i] ^= 0x55
	}
	require.NoError(t, os.WriteFile(path, content, 0o600))
	require.Empty(t, read(t, openRows(t, dir), s1, progress.Query{}, "2026-11-30").Patients)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

// Whoever is listed is in the figures, also while rows are being made.
func TestFiguresHaveAllWhoAreListed(t *testing.T) {
	const patients = progress.MaxLimit
	rows := openRows(t, t.TempDir())
	applied := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < patients && err == nil; i++ {
			id := strconv.Itoa(i)
			_, err = rows.Apply(context.Background(), []progress.Event{response("Q"+id, "P"+id, "V01", "phq-9", "2026-11-01")}, nowhere)
		}
		applied <- err
	}()
	for applying := true; applying; {
		select {
		case err := <-applied:
			require.NoError(t, err)
			applying = false
		default:
		}
		page := read(t, rows, s1, progress.Query{Limit: patients}, "2026-11-27")
		require.GreaterOrEqual(t, page.Totals.Patients, len(page.Patients))
	}
}
