package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
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
		_, err := claim(t.Context(), s, id)
		require.NoError(t, err)
	},
	"retrying": func(t *testing.T, s *store.Store, id string) {
		_, err := claim(t.Context(), s, id)
		require.NoError(t, err)
		require.NoError(t, s.Retry(t.Context(), held(id, 1), "busy", received))
	},
	"completed": func(t *testing.T, s *store.Store, id string) {
		row, err := claim(t.Context(), s, id)
		require.NoError(t, err)
		require.NoError(t, complete(t.Context(), s, id, 1, result(reportOf(row))))
	},
	"failed": func(t *testing.T, s *store.Store, id string) {
		_, err := claim(t.Context(), s, id)
		require.NoError(t, err)
		require.NoError(t, s.Fail(t.Context(), held(id, 1), "broken", time.Time{}))
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
			before, err := get(s, id)
			require.NoError(t, err)

			row, err := claim(t.Context(), s, id)
			require.ErrorIs(t, err, tc.want)
			after, err := get(s, id)
			require.NoError(t, err)
			require.Equal(t, after, row)
			require.Equal(t, tc.attempt, row.Attempts)
			require.Equal(t, report(1), row.Content)
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
	_, err := claim(t.Context(), openStore(t), "unknown")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// Only the attempt that holds a processing report may change it (I3).
func TestStale(t *testing.T) {
	calls := map[string]func(ctx context.Context, s *store.Store, id string, attempt int) error{
		"give back": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return unclaim(ctx, s, id, attempt)
		},
		"complete": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return complete(ctx, s, id, attempt, result(report(1)))
		},
		"retrying": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Retry(ctx, held(id, attempt), "busy", received)
		},
		"fail": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Fail(ctx, held(id, attempt), "broken", time.Time{})
		},
		"progress": func(ctx context.Context, s *store.Store, id string, attempt int) error {
			return s.Progress(ctx, held(id, attempt), 1, 2)
		},
	}
	for from, move := range moves {
		s := openStore(t)
		record(t, s, 1, 1)
		id := report(1).ID
		move(t, s, id)
		before, err := get(s, id)
		require.NoError(t, err)
		for name, call := range calls {
			for attempt := range 4 {
				if from == "processing" && attempt == 1 {
					continue // the holder
				}
				t.Run(fmt.Sprintf("%s %s attempt %d", from, name, attempt), func(t *testing.T) {
					require.ErrorIs(t, call(t.Context(), s, id, attempt), store.ErrStale)
					require.ErrorIs(t, call(t.Context(), s, "unknown", attempt), store.ErrStale)
					after, err := get(s, id)
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
	_, err := claim(t.Context(), s, r.ID)
	require.NoError(t, err)
	row, err := claim(t.Context(), s, r.ID)
	require.NoError(t, err)
	require.Equal(t, 2, row.Attempts)

	require.ErrorIs(t, s.Progress(t.Context(), held(r.ID, 1), 9, 9), store.ErrStale)
	require.ErrorIs(t, complete(t.Context(), s, r.ID, 1, tasks.CaseReportResult{}), store.ErrStale)
	require.NoError(t, complete(t.Context(), s, r.ID, 2, result(r)))
	require.ErrorIs(t, s.Fail(t.Context(), held(r.ID, 1), "late", time.Time{}), store.ErrStale)
	row, err = get(s, r.ID)
	require.NoError(t, err)
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, result(r), row.Result)
}

func TestComplete(t *testing.T) {
	s := openStore(t)
	record(t, s, 2, 1)
	r := report(2)
	_, err := claim(t.Context(), s, r.ID)
	require.NoError(t, err)
	require.NoError(t, s.Progress(t.Context(), held(r.ID, 1), 4, 4))

	res := result(r)
	res.Images = append(res.Images, res.Images[0])
	require.ErrorContains(t, complete(t.Context(), s, r.ID, 1, res), "4 images")

	res = result(r)
	res.Images[1] = tasks.ImageResult{} // could not be decoded
	require.NoError(t, complete(t.Context(), s, r.ID, 1, res))
	row, err := get(s, r.ID)
	require.NoError(t, err)
	require.Equal(t, res, row.Result)
	require.Equal(t, 4, row.Done)
	require.Equal(t, 4, row.Total)
	require.Empty(t, row.Error)
	require.False(t, row.FinishedAt.Before(row.StartedAt))

	listed, _, err := s.List(t.Context(), caseReports, store.Filter{})
	require.NoError(t, err)
	require.Equal(t, []store.Row{row}, listed)
}

func TestFailAndRetrying(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id, next := report(1).ID, received.Add(time.Minute)
	_, err := claim(t.Context(), s, id)
	require.NoError(t, err)
	require.NoError(t, s.Retry(t.Context(), held(id, 1), "disk full", next))
	row, err := get(s, id)
	require.NoError(t, err)
	require.Equal(t, tasks.Retrying, row.Status)
	require.Equal(t, "disk full", row.Error)
	require.Equal(t, next, row.NextAttempt)
	require.Zero(t, row.FinishedAt)

	row, err = claim(t.Context(), s, id)
	require.NoError(t, err)
	require.Equal(t, "disk full", row.Error) // the latest attempt that failed
	require.Zero(t, row.NextAttempt)
	require.NoError(t, s.Fail(t.Context(), held(id, 2), "still full", time.Time{}))
	row, err = get(s, id)
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
		row, err := claim(t.Context(), s, id)
		require.NoError(t, err)
		require.Equal(t, 1, row.Attempts)
		require.Greater(t, row.Version, version)
		require.NoError(t, s.Progress(t.Context(), held(id, 1), 3, 5))
		require.NoError(t, unclaim(t.Context(), s, id, 1))
		require.ErrorIs(t, unclaim(t.Context(), s, id, 1), store.ErrStale)
		row, err = get(s, id)
		require.NoError(t, err)
		require.Equal(t, tasks.Accepted, row.Status)
		require.Zero(t, row.Attempts)
		require.Zero(t, row.Done)
		version = row.Version
	}
	_, err := claim(t.Context(), s, id)
	require.NoError(t, err)
	require.NoError(t, s.Retry(t.Context(), held(id, 1), "busy", received))
	_, err = claim(t.Context(), s, id)
	require.NoError(t, err)
	require.NoError(t, unclaim(t.Context(), s, id, 2))
	row, err := get(s, id)
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
			row, err := claim(t.Context(), s, id)
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
			if err := complete(t.Context(), s, id, a+1, result(report(1))); err == nil {
				won <- a + 1
			}
		})
	}
	wg.Wait()
	close(won)
	require.Equal(t, n, <-won)
	require.Empty(t, won)
}

func TestClaimMany(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 6)
	moves["failed"](t, s, report(1).ID)
	require.NoError(t, store.ExecOnWriter(s, "UPDATE case_reports SET problems = '[', pdf_sha256 = 'aa' WHERE id = 'report-000002'"))
	require.NoError(t, store.ExecOnWriter(s, "UPDATE submissions SET status = 'completed' WHERE id = 'report-000002'"))
	require.NoError(t, store.ExecOnWriter(s, "UPDATE case_report_images SET media_type = 'x' || media_type WHERE report_id = 'report-000003'"))
	before := store.Commits(s)
	refs := []tasks.Ref{refOf("report-000000"), refOf("report-000001"), refOf("report-000003"), refOf("no"), refOf("report-000004"), refOf("report-000000"), refOf("report-000002")}
	claimed, err := s.Claim(t.Context(), refs)
	require.NoError(t, err)
	require.Equal(t, before+1, store.Commits(s))
	for i, want := range []error{store.ErrStale, store.ErrFinal, store.ErrDamaged, store.ErrDamaged, nil, nil, store.ErrDamaged} { // "no" may have been lost in the damage
		require.ErrorIs(t, claimed[i].Err, want, "%d", i)
	}
	require.Equal(t, tasks.Failed, claimed[1].Row.Status)
	for i, n := range map[int]int{4: 4, 5: 0} {
		require.Equal(t, report(n), claimed[i].Row.Content)
		require.Equal(t, 1, claimed[i].Row.Attempts)
	}
	counts, err := s.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, counts["case-report"][tasks.Processing], "what cannot be read is not held by nobody")
	require.ErrorIs(t, s.Ping(t.Context()), store.ErrDamaged)

	claimed, err = s.Claim(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, claimed)
	require.NoError(t, store.ExecOnWriter(s, "UPDATE case_reports SET problems = '[]'"))
	require.NoError(t, store.ExecOnWriter(s, "UPDATE case_report_images SET media_type = substr(media_type, 2) WHERE report_id = 'report-000003'"))
	require.NoError(t, store.ExecOnWriter(s, "UPDATE submissions SET finished_at = 1 WHERE id = 'report-000002'"))
}

func TestCompleteMany(t *testing.T) {
	s := openStore(t)
	const n = 512
	record(t, s, 0, n+1)
	refs := make([]tasks.Ref, n)
	for i := range refs {
		refs[i] = refOf(report(i).ID)
	}
	before := store.Commits(s)
	claimed, err := s.Claim(t.Context(), refs)
	require.NoError(t, err)
	done := make([]store.Completion, n)
	for i, c := range claimed {
		require.NoError(t, c.Err)
		done[i] = store.Completion{Held: store.Held{Ref: refs[i], Attempt: 1}, Result: result(report(i)), FinishedAt: received}
	}
	// These fail after they have changed rows.
	for _, i := range []int{0, 100, n - 1} {
		spoilt := result(report(i))
		spoilt.Images = append(spoilt.Images, spoilt.Images[0])
		done[i].Result = spoilt
	}
	done[200].Attempt = 2
	done[300].Ref = refOf(report(n).ID)
	done[400].Ref = tasks.Ref{Kind: "no kind", ID: "1"}
	errs := s.Complete(t.Context(), done)
	require.Len(t, errs, n)
	require.Equal(t, before+2, store.Commits(s), "one for the claims, one for the completions")
	for i, err := range errs {
		row, getErr := get(s, report(i).ID)
		require.NoError(t, getErr)
		switch i {
		case 0, 100, n - 1:
			require.ErrorContains(t, err, "images, the report has")
		case 200, 300:
			require.ErrorIs(t, err, store.ErrStale)
		case 400:
			require.ErrorContains(t, err, "no kind")
		default:
			require.NoError(t, err)
			require.Equal(t, tasks.Completed, row.Status)
			require.Equal(t, received, row.FinishedAt)
			require.Equal(t, result(report(i)), row.Result)
			continue
		}
		require.Equal(t, claimed[i].Row, row, "undone as a whole")
	}
	require.Empty(t, s.Complete(t.Context(), nil))

	again := []store.Held{done[0].Held, done[1].Held, done[100].Held}
	errs = s.GiveBack(t.Context(), again)
	require.Equal(t, before+3, store.Commits(s))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], store.ErrStale)
	require.NoError(t, errs[2])
}

// A result that its kind can never keep is told apart from a database that cannot be written: the attempt goes on
// holding the submission, nothing of the result is kept, and the database is not called damaged.
func TestBadResult(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 2)
	for _, n := range []int{0, 1} {
		_, err := claim(t.Context(), s, report(n).ID)
		require.NoError(t, err)
	}
	id := report(1).ID
	tooMany, tooFew, none := result(report(1)), result(report(1)), result(report(1))
	tooMany.Images = append(tooMany.Images, tooMany.Images...)
	tooFew.Images, none.Images = tooFew.Images[:1], nil
	for name, bad := range map[string]struct {
		result tasks.Result
		says   string
	}{
		"nothing": {nil, "a case report is a <nil>, it must be a tasks.CaseReportResult"}, "wrong type": {7, "is a int, it must be a tasks.CaseReportResult"},
		"more images than the report": {tooMany, "has 4 images, the report has 2"},
		"fewer images":                {tooFew, "has 1 images, the report has 2"}, "no image": {none, "has 0 images, the report has 2"},
	} {
		errs := s.Complete(t.Context(), []store.Completion{{Held: held(id, 1), Result: bad.result}})
		require.ErrorIs(t, errs[0], store.ErrBadResult, name)
		require.ErrorContains(t, errs[0], bad.says)
		require.NoError(t, s.Ping(t.Context()))
		row, err := get(s, id)
		require.NoError(t, err)
		require.Equal(t, tasks.Processing, row.Status, name)
	}
	was := caseReports.Rows
	changeRows(t, func(r *tasks.Rows) {
		r.Complete = func(tx tasks.Tx, id string, result tasks.Result) error {
			if err := was.Complete(tx, id, result); err != nil {
				return err
			}
			return badEnds[id](tx)
		}
	})
	errs := s.Complete(t.Context(), []store.Completion{
		{Held: held(id, 1), Result: result(report(0))}, {Held: held(report(1).ID, 1), Result: result(report(1))},
	})
	for _, err := range errs {
		require.ErrorIs(t, err, store.ErrBadResult)
		require.NotErrorIs(t, err, store.ErrDamaged)
	}
	caseReports.Rows = was
	require.NoError(t, s.Ping(t.Context()))
	require.NoError(t, s.Fail(t.Context(), held(id, 1), "bad", time.Time{}))
	require.NoError(t, complete(t.Context(), s, report(0).ID, 1, result(report(0))), "the attempt still holds it")
}

var badEnds = map[string]func(tasks.Tx) error{
	report(0).ID: func(tasks.Tx) error { // JSON that is none: of the result, not of the database
		_, err := json.Marshal(json.RawMessage("{"))
		return err
	},
	report(1).ID: func(tx tasks.Tx) error { // a rule of the tables
		_, err := tx.Exec(`INSERT INTO case_reports (id, notes, captured_at) VALUES (NULL, '', '')`)
		return err
	},
}

// TestALostTableIsDamage and not the fault of a result: the report keeps its claim, and Ping tells.
func TestALostTableIsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	defer s.Close()
	record(t, s, 0, 1)
	claimed, err := s.Claim(t.Context(), []tasks.Ref{refOf(report(0).ID)})
	require.NoError(t, err)
	require.NoError(t, claimed[0].Err)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.Exec("DROP TABLE case_report_results")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	errs := s.Complete(t.Context(), []store.Completion{{Held: held(report(0).ID, 1), Result: result(report(0))}})
	require.ErrorIs(t, errs[0], store.ErrDamaged)
	require.NotErrorIs(t, errs[0], store.ErrBadResult)
	require.ErrorIs(t, s.Ping(t.Context()), store.ErrDamaged)
}
