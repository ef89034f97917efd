package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func completion(offset int, r tasks.CaseReport, attempt int, released ...int) store.Recorded {
	return store.Recorded{Offset: uint64(offset), Submission: tasks.Submission{
		Kind: tasks.KindCompletion, ReceivedAt: received, Completion: &tasks.Completion{
			ID: r.ID, Attempt: attempt, StartedAt: received.Add(time.Second), FinishedAt: received.Add(2 * time.Second),
			Result: result(r), Released: released,
		},
	}}
}

// A completion of the log completes whatever the row says, but for one that is
// completed already, and comes twice without harm.
func TestCompletionFromTheLog(t *testing.T) {
	for from, move := range moves {
		t.Run(from, func(t *testing.T) {
			s := openStore(t)
			r := report(1)
			record(t, s, 1, 1)
			move(t, s, r.ID)
			before, err := s.CaseReport(t.Context(), r.ID)
			require.NoError(t, err)
			for range 2 {
				require.NoError(t, s.Record(t.Context(), []store.Recorded{completion(0, r, 3, 1, 2), completion(1, report(99), 1, 1)}))
				row, err := s.CaseReport(t.Context(), r.ID)
				require.NoError(t, err)
				require.Equal(t, tasks.Completed, row.Status)
				require.Equal(t, result(r), row.Result)
				if from == "completed" {
					require.Equal(t, before, row)
					continue
				}
				require.Greater(t, row.Version, before.Version)
				require.Equal(t, 3, row.Attempts)
				require.Empty(t, row.Error)
				require.Equal(t, received.Add(2*time.Second), row.FinishedAt)
				require.Equal(t, [2]int{3, 3}, [2]int{row.Done, row.Total})
			}
			require.ErrorIs(t, s.Complete(t.Context(), r.ID, 3, result(r)), store.ErrStale, "a late worker")
			_, err = s.CaseReport(t.Context(), report(99).ID)
			require.ErrorIs(t, err, store.ErrNotFound)
		})
	}
}

func TestUnneeded(t *testing.T) {
	s := openStore(t)
	ahead := func(offset int, img tasks.Image) {
		t.Helper()
		require.NoError(t, s.Record(t.Context(), []store.Recorded{put(offset, "P001", img)}))
	}
	with := func(offset int, id string, imagesEnd uint64, images ...tasks.Image) tasks.CaseReport {
		t.Helper()
		r := tasks.CaseReport{ID: id, PatientID: "P001", Images: images}
		rec := accepted(offset, r)
		rec.Submission.ImagesEnd = imagesEnd
		require.NoError(t, s.Record(t.Context(), []store.Recorded{rec}))
		return r
	}
	complete := func(r tasks.CaseReport, released ...int) {
		t.Helper()
		require.NoError(t, s.Record(t.Context(), []store.Recorded{completion(0, r, 1, released...)}))
	}
	unneeded := func(images ...tasks.Image) []string {
		t.Helper()
		var all []string
		for _, img := range images {
			all = append(all, img.SHA256)
		}
		got, err := s.Unneeded(t.Context(), all)
		require.NoError(t, err)
		return got
	}
	one, two, other := image(1), image(2), image(3)
	require.Empty(t, unneeded(one, two, other), "nobody knows them")

	first := with(1, "first", 0, one, two)
	second := with(2, "second", 0, one)
	require.Empty(t, unneeded(one, two, other))
	complete(first, 1)
	require.Empty(t, unneeded(one, two, other), "another report has it; the other was not released")
	complete(second, 1)
	require.Equal(t, []string{one.SHA256}, unneeded(one, two, other))
	complete(first, 1, 2)
	require.Equal(t, []string{one.SHA256, two.SHA256}, unneeded(one, two, other))

	waits := func(img tasks.Image) bool {
		t.Helper()
		w, err := s.Waits(t.Context(), "P001", img.ImageID)
		require.NoError(t, err)
		return w
	}
	require.False(t, waits(one), "it came with a report")
	ahead(4, one)
	require.True(t, waits(one))
	require.Equal(t, []string{two.SHA256}, unneeded(one, two))
	complete(first, 1)
	require.Equal(t, []string{two.SHA256}, unneeded(one, two), "put after that report")
	third := with(3, "third", 5, one)
	ahead(4, one) // the same record again
	complete(third, 1)
	require.False(t, waits(one))
	require.Equal(t, []string{one.SHA256, two.SHA256}, unneeded(one, two))
	changed := one
	changed.SHA256 = other.SHA256
	ahead(9, changed)
	require.False(t, waits(one), "the id stands for other bytes")

	found, err := s.Original(t.Context(), two.SHA256)
	require.NoError(t, err)
	require.Equal(t, two, found)
	_, err = s.Original(t.Context(), other.SHA256)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// With 100,000 rows nothing may walk a table.
func TestUnneededUsesIndexes(t *testing.T) {
	plan := explain(t, openStore(t), store.UnneededQuery, []any{"aa"})
	require.Contains(t, plan, "case_report_images_sha256")
	require.Contains(t, plan, "patient_images_sha256")
	require.NotContains(t, plan, "SCAN case_report_images")
	require.NotContains(t, plan, "SCAN patient_images")
}
