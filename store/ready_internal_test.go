package store

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

// Readiness and questions about adverse events do not wait for lists, even where these have all connections that they can get.
func TestListsDoNotHoldUpWhatIsUrgent(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "casepress.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for range s.reads.Stats().MaxOpenConnections {
		conn, err := s.reads.Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
	}
	require.NoError(t, s.Ping(t.Context()))
	_, err = s.Get(t.Context(), tasks.Ref{Kind: tasks.KindAdverseEvent().Name, ID: "AE-1"})
	require.ErrorIs(t, err, ErrNotFound)
	step := tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepFollowUp, FollowUpID: "F-1"}
	_, err = s.Find(t.Context(), tasks.NewSubmission(tasks.KindAdverseEventStep(), step))
	require.ErrorIs(t, err, ErrNotFound)
	_, err = s.Step(t.Context(), step)
	require.ErrorIs(t, err, ErrNotFound)
	steps, err := s.LatestSteps(t.Context(), "AE-1", 1)
	require.NoError(t, err)
	require.Empty(t, steps)
}
