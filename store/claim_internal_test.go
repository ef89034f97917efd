package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

// Calls that share a transaction answer as if one had come after the other.
func TestClaimTogether(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir()+"/store.db")
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	var batch []tasks.Recorded
	var refs []tasks.Ref
	for n := range 6 {
		r := tasks.CaseReport{ID: fmt.Sprint("r", n), PatientID: "P1", Images: []tasks.Image{{ImageID: fmt.Sprint("i", n), SHA256: "aa", Bytes: 1}}}
		batch = append(batch, tasks.Recorded{Offset: uint64(n), Submission: tasks.NewSubmission(tasks.KindCaseReport(), r)})
		refs = append(refs, batch[n].Ref())
	}
	require.NoError(t, s.Record(t.Context(), tasks.TopicCaseReports, batch, Watermark{Next: 6}))
	_, err = s.Claim(t.Context(), refs[5:])
	require.NoError(t, err)
	require.NoError(t, s.Fail(t.Context(), Held{refs[5], 1}, "bad", batch[0].ReceivedAt))

	missing, retry := tasks.Ref{Kind: "case-report", ID: "no"}, tasks.Ref{Kind: "retry", ID: "r0"}
	calls := [][]tasks.Ref{{refs[0], refs[1]}, {refs[2]}, {refs[1], missing, refs[3]}, {retry, refs[4]}, {refs[5], refs[4], refs[4]}, nil}
	ops := make([]*op, len(calls))
	for i, refs := range calls {
		w := &claimWrite{s: s, refs: refs}
		ops[i] = newOp(t.Context(), s.writer.stmts, w.run)
		ops[i].claim = w
	}
	commits := s.writer.commits.Load()
	for _, err := range s.writeOps(t.Context(), ops) {
		require.NoError(t, err)
	}
	require.Equal(t, commits+1, s.writer.commits.Load())
	type outcome struct {
		attempts int
		err      error
	}
	want := [][]outcome{
		{{1, nil}, {1, nil}}, {{1, nil}}, {{2, nil}, {0, ErrNotFound}, {1, nil}}, {{0, ErrNotFound}, {1, nil}},
		{{1, ErrFinal}, {0, ErrStale}, {2, nil}}, {},
	}
	for i, call := range want {
		require.Len(t, ops[i].claim.claimed, len(call))
		for j, one := range call {
			got := ops[i].claim.claimed[j]
			require.ErrorIs(t, got.Err, one.err, "%d %d", i, j)
			require.Equal(t, one.attempts, got.Row.Attempts, "%d %d", i, j)
			if one.err != nil {
				continue
			}
			row, err := s.Get(context.Background(), calls[i][j])
			require.NoError(t, err)
			require.Equal(t, row.Content, got.Row.Content)
		}
	}
	for i, held := range []Held{{refs[0], 1}, {refs[1], 2}, {refs[2], 1}, {refs[3], 1}, {refs[4], 2}} {
		require.NoError(t, s.Progress(t.Context(), held, i, 9))
	}
	require.ErrorIs(t, s.Progress(t.Context(), Held{refs[1], 1}, 1, 9), ErrStale)
}
