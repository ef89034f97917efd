package store_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func TestWatchSignalsEveryChange(t *testing.T) {
	s := openStore(t)
	r := report(1)
	changed, stop := s.Watch(r.ID) // before the row is there
	defer stop()
	other, stopOther := s.Watch(report(2).ID)
	defer stopOther()

	step := func(name string, change func() error, want tasks.Status) {
		t.Helper()
		require.Empty(t, changed, name)
		require.NoError(t, change(), name)
		<-changed
		row, err := s.CaseReport(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, want, row.Status, name)
	}
	claim := func() error { _, err := s.Claim(t.Context(), r.ID); return err }
	step("record", func() error { return s.Record(t.Context(), []store.Recorded{accepted(1, r)}) }, tasks.Accepted)
	step("claim", claim, tasks.Processing)
	step("progress", func() error { return s.Progress(t.Context(), r.ID, 1, 1, 2) }, tasks.Processing)
	step("unclaim", func() error { return s.Unclaim(t.Context(), r.ID, 1) }, tasks.Accepted)
	step("claim", claim, tasks.Processing)
	step("retrying", func() error { return s.Retrying(t.Context(), r.ID, 1, "busy", received) }, tasks.Retrying)
	step("claim", claim, tasks.Processing)
	step("fail", func() error { return s.Fail(t.Context(), r.ID, 2, "broken") }, tasks.Failed)
	step("retry", func() error { return s.Record(t.Context(), []store.Recorded{retry(2, r.ID, 2)}) }, tasks.Accepted)
	step("claim", claim, tasks.Processing)
	step("complete", func() error { return s.Complete(t.Context(), r.ID, 3, result(r)) }, tasks.Completed)

	// What changes nothing wakes nobody.
	require.NoError(t, s.Record(t.Context(), []store.Recorded{accepted(1, r), retry(2, r.ID, 2)}))
	require.ErrorIs(t, s.Fail(t.Context(), r.ID, 3, "late"), store.ErrStale)
	_, err := s.Claim(t.Context(), r.ID)
	require.ErrorIs(t, err, store.ErrFinal)
	require.Empty(t, changed)
	require.Empty(t, other)
}

func TestWatchStop(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	first, stopFirst := s.Watch(id)
	second, stopSecond := s.Watch(id)
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
	changed, stop := s.Watch("a")
	require.NoError(t, s.Close())
	_, open := <-changed
	require.False(t, open)
	stop()
	changed, stop = s.Watch("b")
	_, open = <-changed
	require.False(t, open)
	stop()

	require.ErrorIs(t, s.Record(t.Context(), []store.Recorded{accepted(1, report(1))}), store.ErrClosed)
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
				changed, stop := s.Watch(id)
				defer stop()
				for {
					row, err := s.CaseReport(t.Context(), id)
					if err != nil || row.Status.Final() {
						return
					}
					<-changed
				}
			})
		}
		wg.Go(func() {
			row, err := s.Claim(t.Context(), id)
			if err != nil {
				t.Error(err)
				return
			}
			for done := range 5 {
				if err := s.Progress(t.Context(), id, row.Attempts, done, 5); err != nil {
					t.Error(err)
				}
			}
			if err := s.Complete(t.Context(), id, row.Attempts, result(row.CaseReport)); err != nil {
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
	row, err := s.Claim(t.Context(), id)
	require.NoError(t, err)
	commits, version := store.Commits(s), row.Version
	for done := range 100 {
		require.NoError(t, s.Progress(t.Context(), id, 1, done, 100))
		row, err := s.CaseReport(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, done, row.Done)
		require.Equal(t, 100, row.Total)
		require.Greater(t, row.Version, version)
		version = row.Version
	}
	require.Equal(t, commits, store.Commits(s), "progress is not worth an fsync")
	rows, _, err := s.CaseReports(t.Context(), store.Filter{})
	require.NoError(t, err)
	require.Equal(t, 99, rows[0].Done)

	require.NoError(t, s.Fail(t.Context(), id, 1, "broken"))
	row, err = s.CaseReport(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 99, row.Done)
	require.Greater(t, row.Version, version)
	require.ErrorIs(t, s.Progress(t.Context(), id, 1, 100, 100), store.ErrStale)
}

// A reader may hold a row of just before a claim when it looks for progress.
func TestProgressBelongsToOneVersion(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	before, err := s.CaseReport(t.Context(), id)
	require.NoError(t, err)
	_, err = s.Claim(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Progress(t.Context(), id, 1, 3, 5))
	row := before
	store.ShowProgress(s, &row)
	require.Equal(t, before, row)
}
