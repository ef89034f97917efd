package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// die is what a death of the process leaves, and the next start.
func die(t *testing.T, s *store.Store) store.Recovered {
	t.Helper()
	r, err := s.Recover(t.Context(), 3)
	require.NoError(t, err)
	return r
}

// A death costs no attempt, and who was alone three times fails (I5).
func TestRecoverAlone(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 3)
	id := report(1).ID
	require.Zero(t, die(t, s))
	for death := 1; death < 3; death++ {
		row, err := claim(t.Context(), s, id)
		require.NoError(t, err)
		require.Equal(t, death, row.Attempts)
		require.Equal(t, store.Recovered{Interrupted: 1, Suspects: 1}, die(t, s))
		after, err := get(s, id)
		require.NoError(t, err)
		require.Equal(t, tasks.Accepted, after.Status)
		require.Equal(t, death, after.Crashes)
		require.True(t, after.Suspect)
		require.Equal(t, death, after.Attempts)
		require.Equal(t, death, after.BaseAttempts)
		require.Zero(t, after.StartedAt)
		require.Greater(t, after.Version, row.Version)
		require.Equal(t, store.Recovered{Suspects: 1}, die(t, s), "nothing was in work")
	}
	changed, stop := s.Watch(refOf(id))
	defer stop()
	_, err := claim(t.Context(), s, id)
	require.NoError(t, err)
	<-changed
	got := die(t, s)
	<-changed
	require.Len(t, got.Failed, 1)
	row, err := get(s, id)
	require.NoError(t, err)
	require.Equal(t, tasks.Failed, row.Status)
	require.Equal(t, "the process died 3 times while it worked on this alone", row.Error)
	require.False(t, row.FinishedAt.IsZero())
	row.Content = nil
	require.Equal(t, store.Recovered{Interrupted: 1, Failed: []store.Row{row}}, got)

	// A retry runs alone, and has as many deaths again.
	require.NoError(t, recordBatch(t.Context(), s, retry(3, id, 3)))
	row, err = claim(t.Context(), s, id)
	require.NoError(t, err)
	require.True(t, row.Suspect)
	require.Zero(t, row.Crashes)
	require.Empty(t, die(t, s).Failed)
}

// Among several nobody knows who it was: none is counted, however often.
func TestRecoverTogether(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 3)
	for range 10 {
		for n := range 2 {
			_, err := claim(t.Context(), s, report(n).ID)
			require.NoError(t, err)
		}
		require.Equal(t, store.Recovered{Interrupted: 2, Suspects: 2}, die(t, s))
	}
	for n, suspect := range []bool{true, true, false} {
		row, err := get(s, report(n).ID)
		require.NoError(t, err)
		require.Equal(t, suspect, row.Suspect)
		require.Zero(t, row.Crashes)
		require.Equal(t, row.Attempts, row.BaseAttempts)
		require.Equal(t, tasks.Accepted, row.Status)
	}
}

// What is in work beside one suspect does not keep it from being counted.
func TestRecoverOneSuspectAmongOthers(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 4)
	claimAll := func(ns ...int) {
		for _, n := range ns {
			_, err := claim(t.Context(), s, report(n).ID)
			require.NoError(t, err)
		}
	}
	claimAll(0, 1)
	require.Equal(t, store.Recovered{Interrupted: 2, Suspects: 2}, die(t, s))
	for n := 2; n < 4; n++ {
		claimAll(0, n)
		require.Empty(t, die(t, s).Failed)
	}
	claimAll(0)
	failed := die(t, s).Failed
	require.Len(t, failed, 1)
	require.Equal(t, report(0).ID, failed[0].ID)
	for n := 1; n < 4; n++ {
		row, err := get(s, report(n).ID)
		require.NoError(t, err)
		require.True(t, row.Suspect)
		require.Zero(t, row.Crashes)
	}
}

// Only what an attempt that ended by itself has shown clears a suspicion.
func TestSuspicionEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		end    func(t *testing.T, s *store.Store, id string, attempt int) error
		clears bool
	}{
		"complete": {func(t *testing.T, s *store.Store, id string, attempt int) error {
			return complete(t.Context(), s, id, attempt, result(report(1)))
		}, true},
		"retrying": {func(t *testing.T, s *store.Store, id string, attempt int) error {
			return s.Retry(t.Context(), held(id, attempt), "busy", received)
		}, true},
		"fail": {func(t *testing.T, s *store.Store, id string, attempt int) error {
			return s.Fail(t.Context(), held(id, attempt), "broken", time.Time{})
		}, true},
		"completion": {func(t *testing.T, s *store.Store, id string, attempt int) error {
			return recordBatch(t.Context(), s, completion(0, report(1), attempt-1))
		}, true},
		"give back": {func(t *testing.T, s *store.Store, id string, attempt int) error {
			return unclaim(t.Context(), s, id, attempt)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			record(t, s, 1, 1)
			id := report(1).ID
			_, err := claim(t.Context(), s, id)
			require.NoError(t, err)
			die(t, s)
			row, err := claim(t.Context(), s, id)
			require.NoError(t, err)
			require.Equal(t, [2]any{true, 1}, [2]any{row.Suspect, row.Crashes})
			require.NoError(t, tc.end(t, s, id, row.Attempts))
			row, err = get(s, id)
			require.NoError(t, err)
			if tc.clears {
				require.Equal(t, [2]any{false, 0}, [2]any{row.Suspect, row.Crashes})
			} else {
				require.Equal(t, [2]any{true, 1}, [2]any{row.Suspect, row.Crashes})
			}
		})
	}
}

func TestRecoverKeepsCountedAttempts(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	moves["retrying"](t, s, id)
	_, err := claim(t.Context(), s, id)
	require.NoError(t, err)
	die(t, s)
	row, err := get(s, id)
	require.NoError(t, err)
	require.Equal(t, tasks.Retrying, row.Status)
	require.Equal(t, 1, row.Attempts-row.BaseAttempts)
	require.Equal(t, "busy", row.Error)
	_, err = s.Recover(t.Context(), 0)
	require.ErrorContains(t, err, "at least 1")
}
