package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/store"
	"casepress/tasks"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(child(path))
	}
	goleak.VerifyTestMain(m)
}

// openStore opens a store in a folder of its own. When the test ends, it checks
// that the database is sound and agrees with itself.
func openStore(t testing.TB) *store.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "store.db"))
}

func openAt(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), path)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			_ = s.Close()
			return
		}
		require.NoError(t, s.Close())
		s, err := store.Open(context.Background(), path)
		require.NoError(t, err)
		requireSound(t, s)
		require.NoError(t, s.Close())
	})
	return s
}

// requireSound checks what must hold in every database at any time.
func requireSound(t require.TestingT, s *store.Store) {
	ctx := context.Background()
	require.NoError(t, store.CheckIntegrity(s))
	require.NoError(t, s.Check(ctx))
	require.NoError(t, s.Ping(ctx))
	counted := map[tasks.Status]int{
		tasks.Accepted: 0, tasks.Processing: 0, tasks.Retrying: 0, tasks.Completed: 0, tasks.Failed: 0,
	}
	for _, row := range listAll(t, s, store.Filter{Limit: store.MaxLimit}) {
		counted[row.Status]++
		require.NotEmpty(t, reportOf(row).Images)
		require.Equal(t, reportOf(row).Header(), row.Header)
		require.GreaterOrEqual(t, row.Attempts, row.BaseAttempts)
		if row.Status != tasks.Completed {
			require.False(t, row.Crashes > 0 && !row.Suspect)
		}
		require.Equal(t, row.Status.Final(), !row.FinishedAt.IsZero())
		require.Equal(t, row.Status == tasks.Completed, row.Result != nil)
	}
	counts, err := s.Counts(ctx)
	require.NoError(t, err)
	require.Equal(t, counted, counts["case-report"])
	var open []tasks.Ref
	for _, row := range listAll(t, s, store.Filter{}) {
		if !row.Status.Final() {
			open = append(open, row.Ref())
		}
	}
	var due []tasks.Ref
	after := store.FromStart
	for {
		some, err := s.Unfinished(ctx, caseReports, after, 7)
		require.NoError(t, err)
		for _, d := range some {
			require.True(t, after == store.FromStart || d.Sequence > after)
			after = d.Sequence
			due = append(due, d.Ref)
		}
		if len(some) < 7 {
			break
		}
	}
	for _, refs := range [][]tasks.Ref{open, due} {
		slices.SortFunc(refs, func(a, b tasks.Ref) int { return strings.Compare(a.ID, b.ID) })
	}
	require.Equal(t, open, due)
}

var caseReports = tasks.KindCaseReport()

func refOf(id string) tasks.Ref { return tasks.Ref{Kind: "case-report", ID: id} }

func held(id string, attempt int) store.Held { return store.Held{Ref: refOf(id), Attempt: attempt} }

func reportOf(row store.Row) tasks.CaseReport { return row.Content.(tasks.CaseReport) }

// get, claim, complete and unclaim are the calls on one case report.
func get(s *store.Store, id string) (store.Row, error) { return s.Get(context.Background(), refOf(id)) }

func claim(ctx context.Context, s *store.Store, id string) (store.Row, error) {
	claimed, err := s.Claim(ctx, []tasks.Ref{refOf(id)})
	if err != nil {
		return store.Row{}, err
	}
	return claimed[0].Row, claimed[0].Err
}

func complete(ctx context.Context, s *store.Store, id string, attempt int, r tasks.Result) error {
	return s.Complete(ctx, []store.Completion{{Held: held(id, attempt), Result: r}})[0]
}

func unclaim(ctx context.Context, s *store.Store, id string, attempt int) error {
	return s.GiveBack(ctx, []store.Held{held(id, attempt)})[0]
}

// recordBatch records in the topic of case reports without moving its watermark.
func recordBatch(ctx context.Context, s *store.Store, batch ...tasks.Recorded) error {
	return s.Record(ctx, tasks.TopicCaseReports, batch, store.Watermark{})
}

// listAll follows the cursors to the end.
func listAll(t require.TestingT, s *store.Store, f store.Filter) []store.Row {
	var all []store.Row
	for {
		rows, next, err := s.List(context.Background(), caseReports, f)
		require.NoError(t, err)
		all = append(all, rows...)
		if next == "" {
			return all
		}
		f.Cursor = next
	}
}

var received = time.Date(2026, 11, 21, 20, 0, 0, 123456000, time.UTC)

// report makes the n-th case report, by one of three patients.
func report(n int) tasks.CaseReport {
	r := tasks.CaseReport{
		ID:         fmt.Sprintf("report-%06d", n),
		PatientID:  fmt.Sprintf("P%03d", n%3),
		VisitID:    "V1",
		Notes:      "头痛 and a rash",
		CapturedAt: "2026-11-21T21:00:00+01:00",
	}
	for i := range 1 + n%3 {
		r.Images = append(r.Images, image(10*n+i))
	}
	return r
}

func image(n int) tasks.Image {
	return tasks.Image{
		ImageID: fmt.Sprintf("IMG%d", n), SHA256: fmt.Sprintf("%064x", n), Bytes: int64(1000 + n),
		MediaType: "image/jpeg", Name: "photo.jpg",
	}
}

func accepted(offset int, r tasks.CaseReport) tasks.Recorded { return recorded(offset, caseReports, r) }

func recorded(offset int, k *tasks.Kind, c tasks.Content) tasks.Recorded {
	sub := tasks.NewSubmission(k, c)
	sub.ReceivedAt = received
	return tasks.Recorded{Offset: uint64(offset), Submission: sub}
}

func retry(offset int, id string, attempt int) tasks.Recorded {
	return recorded(offset, tasks.KindRetry(), tasks.NewRetry(refOf(id), attempt))
}

func put(offset int, patientID string, img tasks.Image) tasks.Recorded {
	return recorded(offset, tasks.KindImage(), tasks.PatientImage{PatientID: patientID, Image: img})
}

// record records the reports from first on, at offsets equal to their numbers.
func record(t testing.TB, s *store.Store, first, n int) {
	t.Helper()
	batch := make([]tasks.Recorded, n)
	for i := range batch {
		batch[i] = accepted(first+i, report(first+i))
	}
	require.NoError(t, recordBatch(t.Context(), s, batch...))
}

func result(r tasks.CaseReport) tasks.CaseReportResult {
	res := tasks.CaseReportResult{
		PDF:      tasks.PDF{Output: tasks.Output{SHA256: fmt.Sprintf("%064x", 7), Bytes: 70_000}, Pages: 3},
		Problems: []tasks.Problem{{Image: 1, Code: "image-undecodable", Detail: "The image cannot be decoded."}},
	}
	for i := range r.Images {
		res.Images = append(res.Images, tasks.ImageResult{
			Full:  tasks.Output{SHA256: fmt.Sprintf("%064x", 100+i), Bytes: 5000},
			Thumb: tasks.Output{SHA256: fmt.Sprintf("%064x", 200+i), Bytes: 500},
			Width: 1600, Height: 1200, MediaType: "image/png", SourceWidth: 4032, SourceHeight: 3024,
			CapturedAt: "2026-11-21T12:00:00+08:00", Removed: []string{"GPSLatitude", "Model"}, Damaged: i == 1,
		})
	}
	return res
}
