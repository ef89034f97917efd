package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// moves brings the report from accepted to a status, in attempt 1 where there is one.
var moves = map[string]func(t *testing.T, s *store.Store, id string){
	"accepted": func(*testing.T, *store.Store, string) {},
	"processing": func(t *testing.T, s *store.Store, id string) {
		_, err := s.Claim(t.Context(), id)
		require.NoError(t, err)
	},
	"retrying": func(t *testing.T, s *store.Store, id string) {
		_, err := s.Claim(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, s.Retrying(t.Context(), id, 1, "busy", received))
	},
	"completed": func(t *testing.T, s *store.Store, id string) {
		row, err := s.Claim(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, s.Complete(t.Context(), id, 1, result(row.CaseReport)))
	},
	"failed": func(t *testing.T, s *store.Store, id string) {
		_, err := s.Claim(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, s.Fail(t.Context(), id, 1, "broken"))
	},
}

func TestClaim(t *testing.T) {
	for _, tc := range []struct {
		from    string
		want    error
		attempt int
	}{
		{"accepted", nil, 1},
		{"processing", nil, 2}, // its holder died
		{"retrying", nil, 2},
		{"completed", store.ErrFinal, 1},
		{"failed", store.ErrFinal, 1},
	} {
		t.Run(tc.from, func(t *testing.T) {
			s := openStore(t)
			record(t, s, 1, 1)
			id := report(1).ID
			moves[tc.from](t, s, id)
			before, err := s.CaseReport(t.Context(), id)
			require.NoError(t, err)

			row, err := s.Claim(t.Context(), id)
			require.ErrorIs(t, err, tc.want)
			after, err := s.CaseReport(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, after, row)
			require.Equal(t, tc.attempt, row.Attempts)
			require.Equal(t, report(1), row.CaseReport)
			if tc.want != nil {
				require.Equal(t, before, after)
				return
			}
			require.Equal(t, tasks.Processing, row.Status)
			require.Greater(t, row.Version, before.Version)
			require.False(t, row.StartedAt.IsZero())
			require.Zero(t, row.NextAttempt)
		})
	}
	_, err := openStore(t).Claim(t.Context(), "unknown")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// Only the attempt that holds a processing report may change it (I3).
func TestStale(t *testing.T) {
	calls := map[string]func(ctx context.Context, s *store.Store, id string, attempt int) error{
		"unclaim": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Unclaim(ctx, id, attempt)
		},
		"complete": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Complete(ctx, id, attempt, result(report(1)))
		},
		"retrying": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Retrying(ctx, id, attempt, "busy", received)
		},
		"fail": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Fail(ctx, id, attempt, "broken")
		},
		"progress": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Progress(ctx, id, attempt, 1, 2)
		},
	}
	for from, move := range moves {
		s := openStore(t)
		record(t, s, 1, 1)
		id := report(1).ID
		move(t, s, id)
		before, err := s.CaseReport(t.Context(), id)
		require.NoError(t, err)
		for name, call := range calls {
			for attempt := range 4 {
				if from == "processing" && attempt == 1 {
					continue // the holder
				}
				t.Run(fmt.Sprintf("%s %s attempt %d", from, name, attempt), func(t *testing.T) {
					require.ErrorIs(t, call(t.Context(), s, id, attempt), store.ErrStale)
					require.ErrorIs(t, call(t.Context(), s, "unknown", attempt), store.ErrStale)
					after, err := s.CaseReport(t.Context(), id)
					require.NoError(t, err)
					require.Equal(t, before, after)
				})
			}
		}
	}
}

func TestTakenOver(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	r := report(1)
	_, err := s.Claim(t.Context(), r.ID)
	require.NoError(t, err)
	row, err := s.Claim(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, 2, row.Attempts)

	require.ErrorIs(t, s.Progress(t.Context(), r.ID, 1, 9, 9), store.ErrStale)
	require.ErrorIs(t, s.Complete(t.Context(), r.ID, 1, tasks.Result{}), store.ErrStale)
	require.NoError(t, s.Complete(t.Context(), r.ID, 2, result(r)))
	require.ErrorIs(t, s.Fail(t.Context(), r.ID, 1, "late"), store.ErrStale)
	row, err = s.CaseReport(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, result(r), row.Result)
}

func TestComplete(t *testing.T) {
	s := openStore(t)
	record(t, s, 2, 1)
	r := report(2)
	_, err := s.Claim(t.Context(), r.ID)
	require.NoError(t, err)
	require.NoError(t, s.Progress(t.Context(), r.ID, 1, 4, 4))

	res := result(r)
	res.Images = append(res.Images, res.Images[0])
	require.ErrorContains(t, s.Complete(t.Context(), r.ID, 1, res), "4 images")

	res = result(r)
	res.Images[1] = tasks.ImageResult{} // could not be decoded
	require.NoError(t, s.Complete(t.Context(), r.ID, 1, res))
	row, err := s.CaseReport(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, res, row.Result)
	require.Equal(t, 4, row.Done)
	require.Equal(t, 4, row.Total)
	require.Empty(t, row.Error)
	require.False(t, row.FinishedAt.Before(row.StartedAt))

	listed, _, err := s.CaseReports(t.Context(), store.Filter{})
	require.NoError(t, err)
	require.Equal(t, []store.Row{row}, listed)
}

func TestFailAndRetrying(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id, next := report(1).ID, received.Add(time.Minute)
	_, err := s.Claim(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Retrying(t.Context(), id, 1, "disk full", next))
	row, err := s.CaseReport(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, tasks.Retrying, row.Status)
	require.Equal(t, "disk full", row.Error)
	require.Equal(t, next, row.NextAttempt)
	require.Zero(t, row.FinishedAt)

	row, err = s.Claim(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "disk full", row.Error) // the latest attempt that failed
	require.Zero(t, row.NextAttempt)
	require.NoError(t, s.Fail(t.Context(), id, 2, "still full"))
	row, err = s.CaseReport(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, tasks.Failed, row.Status)
	require.Equal(t, "still full", row.Error)
	require.Zero(t, row.Result)
	require.False(t, row.FinishedAt.IsZero())
}

// A shutdown costs no attempt (I5), however often it comes.
func TestUnclaim(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	version := int64(0)
	for range 3 {
		row, err := s.Claim(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, 1, row.Attempts)
		require.Greater(t, row.Version, version)
		require.NoError(t, s.Progress(t.Context(), id, 1, 3, 5))
		require.NoError(t, s.Unclaim(t.Context(), id, 1))
		require.ErrorIs(t, s.Unclaim(t.Context(), id, 1), store.ErrStale)
		row, err = s.CaseReport(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, tasks.Accepted, row.Status)
		require.Zero(t, row.Attempts)
		require.Zero(t, row.Done)
		version = row.Version
	}
	_, err := s.Claim(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Retrying(t.Context(), id, 1, "busy", received))
	_, err = s.Claim(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Unclaim(t.Context(), id, 2))
	row, err := s.CaseReport(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, tasks.Retrying, row.Status)
	require.Equal(t, 1, row.Attempts)
}

func TestConcurrentClaims(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	const n = 32
	attempts := make(chan int, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			row, err := s.Claim(t.Context(), id)
			if err == nil {
				attempts <- row.Attempts
			}
		})
	}
	wg.Wait()
	close(attempts)
	seen := make(map[int]bool)
	for a := range attempts {
		require.False(t, seen[a], "two claims hold attempt %d", a)
		seen[a] = true
	}
	require.Len(t, seen, n)

	// All try to finish, each in the name of its attempt: only the last may.
	won := make(chan int, n)
	for a := range n {
		wg.Go(func() {
			if err := s.Complete(t.Context(), id, a+1, result(report(1))); err == nil {
				won <- a + 1
			}
		})
	}
	wg.Wait()
	close(won)
	require.Equal(t, n, <-won)
	require.Empty(t, won)
}
