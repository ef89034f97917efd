package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// changeRows lets a test change how case reports are kept, until its end.
func changeRows(t *testing.T, change func(*tasks.Rows)) {
	t.Helper()
	was := caseReports.Rows
	change(&caseReports.Rows)
	t.Cleanup(func() { caseReports.Rows = was })
}

func requirePanic(t *testing.T, err error) {
	t.Helper()
	var p *tasks.PanicError
	require.ErrorAs(t, err, &p)
	require.Contains(t, string(p.Stack), "kind_panic_test.go")
}

// A kind whose functions panic ends neither the process nor the writes beside it.
func TestAKindThatPanics(t *testing.T) {
	const bad = "report-000001"
	s := openStore(t)
	was := caseReports.Rows
	changeRows(t, func(r *tasks.Rows) {
		r.Insert = func(tx tasks.Tx, rec tasks.Recorded) error {
			err := was.Insert(tx, rec)
			if rec.Content.Header().ID == bad {
				panic("insert went wild")
			}
			return err
		}
	})
	requirePanic(t, recordBatch(t.Context(), s, accepted(0, report(0)), accepted(1, report(1))))
	require.Empty(t, listAll(t, s, store.Filter{}), "all of a batch or nothing")
	caseReports.Rows = was
	record(t, s, 0, 3)

	caseReports.Rows.Load = func(tx tasks.Tx, of []tasks.Stored) (map[string]tasks.Loaded, error) {
		for _, one := range of {
			if one.ID == bad {
				panic("load went wild")
			}
		}
		return was.Load(tx, of)
	}
	_, err := get(s, bad)
	requirePanic(t, err)
	claimed, err := s.Claim(t.Context(), []tasks.Ref{refOf("report-000000"), refOf(bad), refOf("report-000002")})
	require.NoError(t, err)
	require.NoError(t, claimed[0].Err)
	requirePanic(t, claimed[1].Err)
	require.NoError(t, claimed[2].Err)
	caseReports.Rows = was
	_, err = claim(t.Context(), s, bad)
	require.NoError(t, err)

	caseReports.Rows.Complete = func(tx tasks.Tx, id string, r tasks.Result) error {
		err := was.Complete(tx, id, r)
		if id == bad {
			panic("complete went wild")
		}
		return err
	}
	var done []store.Completion
	for n := range 3 {
		done = append(done, store.Completion{Held: held(report(n).ID, 1), Result: result(report(n))})
	}
	errs := s.Complete(t.Context(), done)
	require.NoError(t, errs[0])
	requirePanic(t, errs[1])
	require.ErrorIs(t, errs[1], store.ErrBadResult)
	require.NoError(t, errs[2])
	requirePanic(t, s.Complete(t.Context(), done[1:2])[0])
	row, err := get(s, bad)
	require.NoError(t, err)
	require.Equal(t, tasks.Processing, row.Status, "nothing of it was kept")
	caseReports.Rows = was
	require.NoError(t, s.Complete(t.Context(), done[1:2])[0])
}
