package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func TestWatchSignalsEveryChange(t *testing.T) {
	s := openStore(t)
	r := report(1)
	changed, stop := s.Watch(refOf(r.ID)) // before the row is there
	defer stop()
	other, stopOther := s.Watch(refOf(report(2).ID))
	defer stopOther()

	step := func(name string, change func() error, want tasks.Status) {
		t.Helper()
		require.Empty(t, changed, name)
		require.NoError(t, change(), name)
		<-changed
		row, err := get(s, r.ID)
		require.NoError(t, err)
		require.Equal(t, want, row.Status, name)
	}
	begin := func() error { _, err := claim(t.Context(), s, r.ID); return err }
	step("record", func() error { return recordBatch(t.Context(), s, accepted(1, r)) }, tasks.Accepted)
	step("claim", begin, tasks.Processing)
	step("progress", func() error { return s.Progress(t.Context(), held(r.ID, 1), 1, 2) }, tasks.Processing)
	step("give back", func() error { return unclaim(t.Context(), s, r.ID, 1) }, tasks.Accepted)
	step("claim", begin, tasks.Processing)
	step("retrying", func() error { return s.Retry(t.Context(), held(r.ID, 1), "busy", received) }, tasks.Retrying)
	step("claim", begin, tasks.Processing)
	step("fail", func() error { return s.Fail(t.Context(), held(r.ID, 2), "broken", time.Time{}) }, tasks.Failed)
	step("retry", func() error { return recordBatch(t.Context(), s, retry(2, r.ID, 2)) }, tasks.Accepted)
	step("claim", begin, tasks.Processing)
	step("complete", func() error { return complete(t.Context(), s, r.ID, 3, result(r)) }, tasks.Completed)

	// What changes nothing wakes nobody.
	require.NoError(t, recordBatch(t.Context(), s, accepted(1, r), retry(2, r.ID, 2)))
	require.ErrorIs(t, s.Fail(t.Context(), held(r.ID, 3), "late", time.Time{}), store.ErrStale)
	_, err := claim(t.Context(), s, r.ID)
	require.ErrorIs(t, err, store.ErrFinal)
	require.Empty(t, changed)
	require.Empty(t, other)
}

func TestWatchStop(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	first, stopFirst := s.Watch(refOf(id))
	second, stopSecond := s.Watch(refOf(id))
	stopFirst()
	stopFirst()
	_, open := <-first
	require.False(t, open)
	moves["processing"](t, s, id)
	<-second
	stopSecond()
	require.Zero(t, store.Watched(s))
}

func TestCloseClosesWatchers(t *testing.T) {
	s := openStore(t)
	changed, stop := s.Watch(refOf("a"))
	require.NoError(t, s.Close())
	_, open := <-changed
	require.False(t, open)
	stop()
	changed, stop = s.Watch(refOf("b"))
	_, open = <-changed
	require.False(t, open)
	stop()

	require.ErrorIs(t, recordBatch(t.Context(), s, accepted(1, report(1))), store.ErrClosed)
	require.Error(t, s.Ping(t.Context()))
	require.NoError(t, s.Close())
}

// Whoever watches first and reads then sees the end, whatever happens between.
func TestWatchMissesNothing(t *testing.T) {
	s := openStore(t)
	const n = 20
	record(t, s, 0, n)
	var wg sync.WaitGroup
	for i := range n {
		id := report(i).ID
		for range 3 {
			wg.Go(func() {
				changed, stop := s.Watch(refOf(id))
				defer stop()
				for {
					row, err := get(s, id)
					if err != nil || row.Status.Final() {
						return
					}
					<-changed
				}
			})
		}
		wg.Go(func() {
			row, err := claim(t.Context(), s, id)
			if err != nil {
				t.Error(err)
				return
			}
			for done := range 5 {
				if err := s.Progress(t.Context(), held(id, row.Attempts), done, 5); err != nil {
					t.Error(err)
				}
			}
			if err := complete(t.Context(), s, id, row.Attempts, result(reportOf(row))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestProgress(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	row, err := claim(t.Context(), s, id)
	require.NoError(t, err)
	commits, version := store.Commits(s), row.Version
	for done := range 100 {
		require.NoError(t, s.Progress(t.Context(), held(id, 1), done, 100))
		row, err := get(s, id)
		require.NoError(t, err)
		require.Equal(t, done, row.Done)
		require.Equal(t, 100, row.Total)
		require.Greater(t, row.Version, version)
		version = row.Version
	}
	require.Equal(t, commits, store.Commits(s), "progress is not worth an fsync")
	rows, _, err := s.List(t.Context(), caseReports, store.Filter{})
	require.NoError(t, err)
	require.Equal(t, 99, rows[0].Done)

	require.NoError(t, s.Fail(t.Context(), held(id, 1), "broken", time.Time{}))
	row, err = get(s, id)
	require.NoError(t, err)
	require.Equal(t, 99, row.Done)
	require.Greater(t, row.Version, version)
	require.ErrorIs(t, s.Progress(t.Context(), held(id, 1), 100, 100), store.ErrStale)
}

// A reader may hold a row of just before a claim when it looks for progress.
func TestProgressBelongsToOneVersion(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	before, err := get(s, id)
	require.NoError(t, err)
	_, err = claim(t.Context(), s, id)
	require.NoError(t, err)
	require.NoError(t, s.Progress(t.Context(), held(id, 1), 3, 5))
	row := before
	store.ShowProgress(s, &row)
	require.Equal(t, before, row)
}
