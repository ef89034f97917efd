package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	counted := map[tasks.Status]int{
		tasks.Accepted: 0, tasks.Processing: 0, tasks.Retrying: 0, tasks.Completed: 0, tasks.Failed: 0,
	}
	for _, row := range listAll(t, s, store.Filter{Limit: store.MaxLimit}) {
		counted[row.Status]++
		require.NotEmpty(t, row.Images)
		require.GreaterOrEqual(t, row.Attempts, row.BaseAttempts)
		require.Equal(t, row.Status.Final(), !row.FinishedAt.IsZero())
		require.Equal(t, row.Status == tasks.Completed, row.Result.Images != nil)
	}
	counts, err := s.Counts(ctx)
	require.NoError(t, err)
	require.Equal(t, counted, counts)
}

// listAll follows the cursors to the end.
func listAll(t require.TestingT, s *store.Store, f store.Filter) []store.Row {
	var all []store.Row
	for {
		rows, next, err := s.CaseReports(context.Background(), f)
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

func accepted(offset int, r tasks.CaseReport) store.Recorded {
	return store.Recorded{Offset: uint64(offset), Submission: tasks.Submission{
		Kind: tasks.KindCaseReport, ReceivedAt: received, SHA256: r.Digest(), CaseReport: &r,
	}}
}

func retry(offset int, id string, attempt int) store.Recorded {
	return store.Recorded{Offset: uint64(offset), Submission: tasks.Submission{
		Kind: tasks.KindRetry, ReceivedAt: received, Retry: &tasks.Retry{ID: id, Attempt: attempt},
	}}
}

func put(offset int, patientID string, img tasks.Image) store.Recorded {
	return store.Recorded{Offset: uint64(offset), Submission: tasks.Submission{
		Kind: tasks.KindImage, ReceivedAt: received, Image: &tasks.PatientImage{PatientID: patientID, Image: img},
	}}
}

// record records the reports from first on, at offsets equal to their numbers.
func record(t testing.TB, s *store.Store, first, n int) {
	t.Helper()
	batch := make([]store.Recorded, n)
	for i := range batch {
		batch[i] = accepted(first+i, report(first+i))
	}
	require.NoError(t, s.Record(t.Context(), batch))
}

func result(r tasks.CaseReport) tasks.Result {
	res := tasks.Result{
		Report:   tasks.Document{Output: tasks.Output{SHA256: fmt.Sprintf("%064x", 7), Bytes: 70_000}, Pages: 3},
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
