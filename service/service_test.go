package service_test

import (
	"context"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/disk"
	"casepress/dispatcher"
	"casepress/handlers"
	"casepress/service"
	"casepress/tasks"
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

// hanging is a disk on which writes to some files do not end until it is healed.
type hanging struct {
	disk.FS
	hangs  *atomic.Bool
	begun  chan struct{}
	healed chan struct{}
}

func (h hanging) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.Contains(name, tasks.TopicCaseReports+"/log/") {
		return f, err
	}
	return hangingFile{f, h}, nil
}

type hangingFile struct {
	disk.File
	on hanging
}

func (f hangingFile) WriteAt(p []byte, at int64) (int, error) {
	if f.on.hangs.Load() {
		f.on.begun <- struct{}{}
		<-f.on.healed
	}
	return f.File.WriteAt(p, at)
}

// A disk that hangs does not hold up the end beyond its limit, and the error says what could not be closed.
func TestAHungDiskDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := hanging{disk.OS, new(atomic.Bool), make(chan struct{}, 8), make(chan struct{})}
		c := service.Config{DataDir: t.TempDir(), LogDisk: on, HTTP: handlers.Config{MinFreeDisk: -1}}
		s, err := service.Open(t.Context(), c)
		require.NoError(t, err)
		on.hangs.Store(true)
		report := tasks.NewSubmission(tasks.KindCaseReport(), tasks.CaseReport{ID: "CR-1", PatientID: "P001"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = s.Work.Accept(ctx, report)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		<-on.begun
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		start := time.Now()
		err = s.Close(ctx)
		cancel()
		require.LessOrEqual(t, time.Since(start), time.Minute)
		require.ErrorContains(t, err, "close ledger")
		require.ErrorContains(t, err, "log could not be closed")
		on.hangs.Store(false)
		close(on.healed)
		synctest.Wait() // what hung has ended

		s, err = service.Open(t.Context(), c)
		require.NoError(t, err)
		receipt, err := s.Work.Accept(t.Context(), report)
		require.NoError(t, err)
		require.True(t, receipt.Replayed, "the write went on")
		require.NoError(t, s.Close(t.Context()))
	})
}
