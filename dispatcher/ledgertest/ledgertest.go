// Package ledgertest implements the proof that a [dispatcher.Ledger] keeps its contract: cases for every method and
// error, random calls against a model, and a check of what many workers at once have done. It knows nothing of how
// a ledger works.
package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// Lease is the lease that the tests claim for.
const Lease = 30 * time.Second

// patience is how long a test waits for what must come.
const patience = time.Minute

// System is a ledger and what can be seen of its work from outside.
type System struct {
	dispatcher.Ledger
	// Get reads a submission as clients see it: see store.Store.Get.
	Get func(context.Context, tasks.Ref) (store.Row, error)
	// Events returns every event so far, repeats included, in the order of each key.
	Events func(testing.TB) []tasks.Event
	// Reopen closes the ledger, whatever is claimed, and opens it on the same storage, as a restart does.
	Reopen func() System
}

// Run runs the whole suite. openWith makes a system on storage of its own, whose leases are of that length at most, and
// sees to its end.
func Run(t *testing.T, openWith func(t testing.TB, lease time.Duration) System) {
	open := func(t testing.TB) System { return openWith(t, Lease) }
	t.Run("LostLease", func(t *testing.T) { runLostLease(t, openWith) })
	t.Run("Cases", func(t *testing.T) { runCases(t, open) })
	t.Run("Model", func(t *testing.T) { runModel(t, open) })
	t.Run("History", func(t *testing.T) { runHistory(t, open) })
}

// lane is where the tests' submissions are due.
var lane = tasks.KindCaseReport().Lane

func content(id, notes string) tasks.CaseReport {
	return tasks.CaseReport{ID: id, PatientID: "P-" + id, Notes: notes, Images: []tasks.Image{}}
}

func submission(id, notes string) tasks.Submission {
	return tasks.NewSubmission(tasks.KindCaseReport(), content(id, notes))
}

func refOf(id string) tasks.Ref { return tasks.Ref{Kind: tasks.KindCaseReport().Name, ID: id} }

func result(pages int) tasks.Result {
	return tasks.CaseReportResult{
		Images: []tasks.ImageResult{}, Problems: []tasks.Problem{}, PDF: tasks.PDF{Pages: pages},
	}
}

// fixture is a system with helpers that fail the test.
type fixture struct {
	System
	t require.TestingT
}

func (f fixture) accept(id, notes string) dispatcher.Receipt {
	r, err := f.Accept(context.Background(), submission(id, notes))
	require.NoError(f.t, err)
	return r
}

// row waits until reads show everything and reads one.
func (f fixture) row(id string) store.Row {
	require.NoError(f.t, f.CaughtUp(context.Background()))
	row, err := f.Get(context.Background(), refOf(id))
	require.NoError(f.t, err)
	return row
}

// claim takes up what comes next.
func (f fixture) claim(limit int) []dispatcher.Claim {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	claims, err := f.Claim(ctx, lane, limit, Lease)
	require.NoError(f.t, err)
	require.NotEmpty(f.t, claims)
	require.LessOrEqual(f.t, len(claims), limit)
	return claims
}

func (f fixture) one(id string) dispatcher.Claim {
	claims := f.claim(1)
	require.Equal(f.t, id, claims[0].Row.ID)
	require.Equal(f.t, claims[0].Row.Attempts, claims[0].Attempt)
	return claims[0]
}

func (f fixture) complete(c dispatcher.Claim, pages int) error {
	errs := f.Complete(context.Background(), []dispatcher.Completion{{Claim: c, Result: result(pages)}})
	require.Len(f.t, errs, 1)
	return errs[0]
}

// nothingDue proves that nothing comes within a moment.
func (f fixture) nothingDue() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	claims, err := f.Claim(ctx, lane, 10, Lease)
	require.ErrorIs(f.t, err, context.DeadlineExceeded)
	require.Empty(f.t, claims)
}

func runCases(t *testing.T, open func(t testing.TB) System) {
	ctx := context.Background()
	for name, test := range map[string]func(t *testing.T, f fixture){
		"accept": func(t *testing.T, f fixture) {
			before := time.Now().Add(-time.Millisecond)
			r := f.accept("a", "x")
			require.Equal(t, "a", r.ID)
			require.Equal(t, content("a", "x").Digest(), r.SHA256)
			require.Equal(t, content("a", "x"), r.Content)
			require.False(t, r.Replayed)
			require.WithinRange(t, r.ReceivedAt, before, time.Now())
			row := f.row("a")
			require.Equal(t, tasks.Accepted, row.Status)
			require.Equal(t, content("a", "x"), row.Content)
			require.Equal(t, r.SHA256, row.SHA256)
			require.Equal(t, r.Sequence, row.Sequence)
			require.True(t, r.ReceivedAt.Equal(row.ReceivedAt))
			require.Zero(t, row.Attempts)
		},
		"accept the same again": func(t *testing.T, f fixture) {
			first := f.accept("a", "x")
			for range 2 {
				again := f.accept("a", "x")
				require.True(t, again.Replayed)
				require.True(t, first.ReceivedAt.Equal(again.ReceivedAt))
				again.Replayed, again.ReceivedAt = false, first.ReceivedAt
				require.Equal(t, first, again)
				f.row("a") // and once more when the rows have it
			}
			require.NoError(t, f.complete(f.one("a"), 1))
			require.True(t, f.accept("a", "x").Replayed, "finished")
			f.nothingDue()
		},
		"accept other content": func(t *testing.T, f fixture) {
			first := f.accept("a", "x")
			for range 2 {
				_, err := f.Accept(ctx, submission("a", "y"))
				var conflict *dispatcher.ConflictError
				require.ErrorAs(t, err, &conflict)
				require.Equal(t, dispatcher.ConflictError{ID: "a", Stored: first.SHA256, Offered: content("a", "y").Digest()}, *conflict)
				require.Equal(t, content("a", "x"), f.row("a").Content)
			}
		},
		"accept what has no topic": func(t *testing.T, f fixture) {
			_, err := f.Accept(ctx, tasks.NewSubmission(tasks.KindRetry(), tasks.NewRetry(refOf("a"), 1)))
			require.Error(t, err)
		},
		"accept an image put ahead again": func(t *testing.T, f fixture) {
			img := tasks.PatientImage{PatientID: "P", Image: tasks.Image{ImageID: "I", SHA256: "aa", Bytes: 1, MediaType: "image/png"}}
			for i := range 3 {
				r, err := f.Accept(ctx, tasks.NewSubmission(tasks.KindImage(), img))
				require.NoError(t, err)
				require.Equal(t, i > 0, r.Replayed)
			}
			img.SHA256 = "bb"
			_, err := f.Accept(ctx, tasks.NewSubmission(tasks.KindImage(), img))
			var conflict *dispatcher.ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, "aa", conflict.Stored)
		},
		"claim in the order of receipt": func(t *testing.T, f fixture) {
			for _, id := range []string{"a", "b", "c"} {
				f.accept(id, "")
			}
			a := f.one("a")
			require.Equal(t, 1, a.Attempt)
			row := f.row("a")
			require.Equal(t, tasks.Processing, row.Status)
			require.Equal(t, 1, row.Attempts)
			require.Equal(t, tasks.Accepted, f.row("b").Status)
			require.Equal(t, content("a", ""), a.Row.Content)
			f.one("b")
			f.one("c")
			f.nothingDue()
		},
		"claim waits": func(t *testing.T, f fixture) {
			claimed := make(chan []dispatcher.Claim)
			go func() {
				claims, _ := f.Claim(ctx, lane, 1, Lease)
				claimed <- claims
			}()
			f.accept("a", "")
			require.Equal(t, "a", (<-claimed)[0].Row.ID)
		},
		"claim that is given up keeps nothing": func(t *testing.T, f fixture) {
			for i := range 20 {
				ctx, cancel := context.WithTimeout(ctx, time.Duration(i)*time.Millisecond/4)
				if claims, err := f.Claim(ctx, lane, 1, Lease); err != nil {
					require.ErrorIs(t, err, ctx.Err())
				} else {
					require.NoError(t, f.GiveBack(context.Background(), claims))
				}
				cancel()
				if i == 5 {
					f.accept("a", "")
				}
			}
			require.Equal(t, 1, f.one("a").Attempt)
		},
		"claim on a lane of no kind": func(t *testing.T, f fixture) {
			f.accept("a", "")
			ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			_, err := f.Claim(ctx, "nobody's", 1, Lease)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		},
		"claims at once are different": func(t *testing.T, f fixture) {
			const n = 8
			claimed := make(chan dispatcher.Claim, n)
			for range n {
				go func() {
					if claims, err := f.Claim(ctx, lane, 1, Lease); err == nil {
						claimed <- claims[0]
					}
				}()
			}
			for i := range n {
				f.accept(fmt.Sprint(i), "")
			}
			seen := map[string]bool{}
			for range n {
				c := <-claimed
				require.False(t, seen[c.Row.ID])
				seen[c.Row.ID] = true
				require.NoError(t, f.complete(c, 1))
			}
		},
		"complete": func(t *testing.T, f fixture) {
			f.accept("a", "")
			c := f.one("a")
			require.NoError(t, f.complete(c, 7))
			row := f.row("a")
			require.Equal(t, tasks.Completed, row.Status)
			require.Equal(t, result(7), row.Result)
			require.ErrorIs(t, f.complete(c, 8), dispatcher.ErrStale)
			require.ErrorIs(t, f.Fail(ctx, c, "x"), dispatcher.ErrStale)
			require.ErrorIs(t, f.Retry(ctx, c, "x", 0), dispatcher.ErrStale)
			require.NoError(t, f.GiveBack(ctx, []dispatcher.Claim{c}), "what has ended cannot be given back")
			require.Equal(t, result(7), f.row("a").Result)
			f.nothingDue()
			requireEvents(t, f, map[string]int{"a": 1})
		},
		"read events": func(t *testing.T, f fixture) { readEvents(t, f) },
		"complete several, one of them stale": func(t *testing.T, f fixture) {
			var done []dispatcher.Completion
			for i := range 5 {
				f.accept(fmt.Sprint(i), "")
				done = append(done, dispatcher.Completion{Claim: f.one(fmt.Sprint(i)), Result: result(i + 1)})
			}
			require.NoError(t, f.complete(done[2].Claim, 9))
			for i, err := range f.Complete(ctx, done) {
				if i == 2 {
					require.ErrorIs(t, err, dispatcher.ErrStale)
					require.Equal(t, result(9), f.row("2").Result)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, result(i+1), f.row(fmt.Sprint(i)).Result)
			}
			require.Empty(t, f.Complete(ctx, nil))
		},
		"complete with a result that cannot be kept": func(t *testing.T, f fixture) {
			f.accept("a", "")
			f.accept("b", "")
			a, b := f.one("a"), f.one("b")
			errs := f.Complete(ctx, []dispatcher.Completion{{Claim: a, Result: "not of its kind"}, {Claim: b, Result: result(2)}})
			require.ErrorIs(t, errs[0], dispatcher.ErrBadResult)
			require.NoError(t, errs[1])
			require.Equal(t, tasks.Processing, f.row("a").Status, "it is still held")
			f.nothingDue()
			require.NoError(t, f.Retry(ctx, a, "bad", 0))
			require.NoError(t, f.complete(f.one("a"), 1))
		},
		"retry": func(t *testing.T, f fixture) {
			f.accept("a", "")
			c := f.one("a")
			require.NoError(t, f.Retry(ctx, c, "no font", 0))
			row := f.row("a")
			require.Equal(t, tasks.Retrying, row.Status)
			require.Equal(t, "no font", row.Error)
			require.ErrorIs(t, f.complete(c, 1), dispatcher.ErrStale)
			c = f.one("a")
			require.Equal(t, 2, c.Attempt)
			require.NoError(t, f.Retry(ctx, c, "no font", time.Hour))
			require.WithinDuration(t, time.Now().Add(time.Hour), f.row("a").NextAttempt, time.Minute)
			f.nothingDue()
			require.Empty(t, f.Events(t))
		},
		"fail and restart": func(t *testing.T, f fixture) {
			f.accept("a", "")
			status, err := f.Restart(ctx, refOf("a"))
			require.ErrorIs(t, err, dispatcher.ErrNotFailed)
			require.Equal(t, tasks.Accepted, status)
			c := f.one("a")
			require.NoError(t, f.Fail(ctx, c, "broken"))
			row := f.row("a")
			require.Equal(t, tasks.Failed, row.Status)
			require.Equal(t, "broken", row.Error)
			require.ErrorIs(t, f.complete(c, 1), dispatcher.ErrStale)
			f.nothingDue()

			status, err = f.Restart(ctx, refOf("a"))
			require.NoError(t, err)
			require.Equal(t, tasks.Failed, status)
			c = f.one("a")
			require.Equal(t, 2, c.Attempt)
			require.Equal(t, 1, c.Row.BaseAttempts, "the budget is new")
			require.NoError(t, f.complete(c, 3))
			_, err = f.Restart(ctx, refOf("a"))
			require.ErrorIs(t, err, dispatcher.ErrNotFailed)
			_, err = f.Restart(ctx, refOf("nobody"))
			require.ErrorIs(t, err, store.ErrNotFound)
			requireEvents(t, f, map[string]int{"a": 2})
		},
		"give back": func(t *testing.T, f fixture) {
			f.accept("a", "")
			f.accept("b", "")
			for range 20 { // more often than any budget
				claims := []dispatcher.Claim{f.claim(1)[0], f.claim(1)[0]}
				require.NoError(t, f.GiveBack(ctx, claims))
				for _, c := range claims {
					require.Equal(t, 1, c.Attempt)
					row := f.row(c.Row.ID)
					require.Equal(t, tasks.Accepted, row.Status)
					require.Zero(t, row.Attempts)
				}
			}
			require.NoError(t, f.GiveBack(ctx, nil))
		},
		"renew and progress": func(t *testing.T, f fixture) {
			f.accept("a", "")
			c := f.one("a")
			require.Empty(t, f.Renew(ctx, Lease, []dispatcher.Claim{c}))
			f.Progress(c, 1, 3)
			row := f.row("a")
			require.Equal(t, tasks.Processing, row.Status)
			require.NoError(t, f.complete(c, 1))
			f.Progress(c, 2, 3) // too late, and without effect
			require.Equal(t, result(1), f.row("a").Result)
		},
		"backlog": func(t *testing.T, f fixture) {
			b, err := f.Backlog(ctx, lane)
			require.NoError(t, err)
			require.Zero(t, b)
			f.accept("a", "")
			f.accept("b", "")
			b, err = f.Backlog(ctx, lane)
			require.NoError(t, err)
			require.Equal(t, 2, b.Waiting)
			require.Equal(t, 2, b.Unfinished)
			require.Positive(t, b.OldestAge)
			a := f.one("a")
			b, err = f.Backlog(ctx, lane)
			require.NoError(t, err)
			require.Equal(t, 1, b.Waiting)
			require.Equal(t, 2, b.Unfinished)
			require.NoError(t, f.complete(a, 1))
			b, err = f.Backlog(ctx, lane)
			require.NoError(t, err)
			require.Equal(t, 1, b.Unfinished)
			b, err = f.Backlog(ctx, "nobody's")
			require.NoError(t, err)
			require.Zero(t, b)
		},
		"reopen": func(t *testing.T, f fixture) {
			first := f.accept("a", "x")
			f.accept("b", "")
			require.NoError(t, f.complete(f.one("a"), 2))
			f.System = f.Reopen()
			require.NoError(t, f.Ready())
			require.Equal(t, result(2), f.row("a").Result)
			again := f.accept("a", "x")
			require.True(t, again.Replayed)
			require.Equal(t, first.Sequence, again.Sequence)
			var conflict *dispatcher.ConflictError
			_, err := f.Accept(ctx, submission("b", "other"))
			require.ErrorAs(t, err, &conflict)
			require.NoError(t, f.complete(f.one("b"), 1))
			f.nothingDue()
			requireEvents(t, f, map[string]int{"a": 1, "b": 1})
		},
		"closed": func(t *testing.T, f fixture) {
			f.accept("a", "")
			require.NoError(t, f.CaughtUp(ctx))
			require.NoError(t, f.Ready())
			waiting := make(chan error)
			c := f.one("a")
			go func() {
				_, err := f.Claim(ctx, lane, 1, Lease)
				waiting <- err
			}()
			require.NoError(t, f.complete(c, 1))
			require.NoError(t, f.Close(ctx))
			require.ErrorIs(t, <-waiting, dispatcher.ErrClosed)
			_, err := f.Accept(ctx, submission("b", ""))
			require.ErrorIs(t, err, dispatcher.ErrClosed)
			_, err = f.Claim(ctx, lane, 1, Lease)
			require.ErrorIs(t, err, dispatcher.ErrClosed)
			require.Error(t, f.Ready())
			require.NoError(t, f.Close(ctx), "a second time")
		},
		"context has ended": func(t *testing.T, f fixture) {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, err := f.Claim(ended, lane, 1, Lease)
			require.ErrorIs(t, err, context.Canceled)
			if _, err := f.Accept(ended, submission("a", "")); err == nil {
				require.True(t, f.accept("a", "").Replayed)
			} else {
				f.accept("a", "") // whatever became of the first
			}
			require.NoError(t, f.complete(f.one("a"), 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fixture{open(t), t})
		})
	}
}

// runLostLease lets a lease run out. Whoever held it is told so; whether the same ledger hands the submission out once more
// or waits for the first holder, one attempt wins, and it is the last.
func runLostLease(t *testing.T, open func(t testing.TB, lease time.Duration) System) {
	const lease = 50 * time.Millisecond
	ctx := context.Background()
	f := fixture{open(t, lease), t}
	f.accept("a", "")
	first, err := f.Claim(ctx, lane, 1, lease)
	require.NoError(t, err)
	require.Empty(t, f.Renew(ctx, lease, first), "it is held")
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	taken := make(chan []dispatcher.Claim, 1)
	go func() {
		claims, _ := f.Claim(waiting, lane, 1, lease)
		taken <- claims
	}()
	require.Eventually(t, func() bool { // seldom, because every call that does not come too late renews
		lost := f.Renew(ctx, lease, first)
		return len(lost) == 1 && lost[0].Held() == first[0].Held()
	}, patience, 4*lease)
	stop()
	winner := first[0]
	if newer := <-taken; len(newer) == 1 {
		require.Equal(t, winner.Attempt+1, newer[0].Attempt)
		require.ErrorIs(t, f.complete(winner, 8), dispatcher.ErrStale)
		winner = newer[0]
	}
	require.NoError(t, f.complete(winner, 9))
	row := f.row("a")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, winner.Attempt, row.Attempts)
	require.Equal(t, result(9), row.Result)
	requireEvents(t, f, map[string]int{"a": 1})
}

// requireEvents proves that exactly so many different events tell of each submission.
func requireEvents(t *testing.T, f fixture, want map[string]int) {
	t.Helper()
	got := map[string]map[string]bool{}
	for _, e := range f.Events(t) {
		u, err := decode(e)
		require.NoError(t, err)
		require.Equal(t, e.ID, u.ID)
		if got[u.SubmissionID] == nil {
			got[u.SubmissionID] = map[string]bool{}
		}
		got[u.SubmissionID][u.ID] = true
	}
	counts := map[string]int{}
	for id, events := range got {
		counts[id] = len(events)
	}
	require.Equal(t, want, counts)
}

var errNoID = errors.New("an event without an id")
