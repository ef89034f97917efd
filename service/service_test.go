package service_test

import (
	"context"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/dispatcher"
	"casepress/handlers"
	"casepress/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What promtool check metrics would say of /metrics.
func TestMetricsAreClean(t *testing.T) {
	s, err := service.Open(t.Context(), service.Config{DataDir: t.TempDir(), HTTP: handlers.Config{MinFreeDisk: -1}})
	require.NoError(t, err)
	problems, err := testutil.GatherAndLint(s.Registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, s.Close(context.Background()))
}

// After an error nothing stays open, and the folder can be opened once its cause is gone.
func TestOpenAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/casepress.db", []byte("this is no database, and longer than a header of one would be"), 0o600))
	c := service.Config{DataDir: dir, HTTP: handlers.Config{MinFreeDisk: -1}}
	_, err := service.Open(t.Context(), c)
	require.ErrorContains(t, err, "casepress.db")
	require.NoError(t, os.Remove(dir+"/casepress.db"))
	s, err := service.Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, s.Close(context.Background()))
}

func TestSetWorkers(t *testing.T) {
	lanes, err := service.SetWorkers(service.Lanes(), map[string]int{"case-reports": 7})
	require.NoError(t, err)
	require.Equal(t, 7, lanes[0].Workers)
	_, err = service.SetWorkers(service.Lanes(), map[string]int{"none": 1})
	require.ErrorContains(t, err, "the lanes are case-reports")
	_, err = service.SetWorkers(service.Lanes(), map[string]int{"case-reports": 0})
	var refused *dispatcher.WorkersError
	require.ErrorAs(t, err, &refused)
}
