package dispatcher_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk/disktest"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// A log that can no longer be written accepts nothing, says so, and forgets
// nothing that it had accepted.
func TestPoisonedLog(t *testing.T) {
	crash := disktest.NewCrash(1)
	fsys := disktest.NewFault(crash)
	dir := t.TempDir()
	h, shut := open(t, options{dir: dir, fs: fsys})
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	require.NoError(t, h.CaughtUp(t.Context()))

	fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO, Sticky: true, Match: func(name string) bool {
		return strings.Contains(name, dispatcher.TopicCaseReports+"/log/")
	}})
	_, err = h.Submit(t.Context(), report("CR-2"))
	require.ErrorIs(t, err, dispatcher.ErrUnavailable)
	require.ErrorContains(t, h.Ready(), dispatcher.TopicCaseReports)
	fsys.Heal()
	_, err = h.Submit(t.Context(), report("CR-3"))
	require.ErrorIs(t, err, dispatcher.ErrUnavailable, "poison stays until a restart")
	_, err = h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err, "what was accepted is still known")
	shut(true)

	h, _ = open(t, options{dir: dir, fs: crash})
	require.NoError(t, h.Ready())
	require.Equal(t, tasks.Completed, h.final(t, "CR-1").Status)
	receipt, err := h.Submit(t.Context(), report("CR-3"))
	require.NoError(t, err)
	require.False(t, receipt.Replayed)
}

// A worker whose lock was lost finishes late: its result must not count, and the
// delivery must not be settled by it.
func TestLateWorker(t *testing.T) {
	var st *store.Store
	claimed := make(chan store.Row, 1)
	h, _ := open(t, options{dir: t.TempDir(), process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
		if row.Attempts > 1 {
			return done(ctx, row, p)
		}
		newer, err := st.Claim(ctx, row.ID) // as another process would after the lock lapsed
		if err == nil {
			err = st.Complete(ctx, newer.ID, newer.Attempts, tasks.Result{Report: tasks.Document{Pages: 7}})
		}
		claimed <- newer
		return tasks.Result{Report: tasks.Document{Pages: 99}}, err
	}})
	st = h.store
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	newer := <-claimed
	require.Equal(t, 2, newer.Attempts)
	row := h.final(t, "CR-1")
	require.Equal(t, 7, row.Result.Report.Pages)
	require.Equal(t, 2, row.Attempts)
}

func TestTooFarBehind(t *testing.T) {
	h, _ := open(t, options{dir: t.TempDir(), config: dispatcher.Config{MaxUnrecorded: 1}})
	require.NoError(t, h.store.Close()) // rows can no longer be written
	_, err := h.Submit(t.Context(), report(""))
	require.NoError(t, err, "the log alone is enough to accept")
	_, err = h.Submit(t.Context(), report(""))
	require.ErrorIs(t, err, dispatcher.ErrOverloaded)
}

// A worker that waits for a row which the stopped recorder will never write must
// not hold up the end.
func TestCloseWhileRowsAreOwed(t *testing.T) {
	h, _ := open(t, options{dir: t.TempDir()})
	require.NoError(t, h.store.Close())
	receipt, err := h.Submit(t.Context(), report("CR-1"))
	require.Error(t, err, "the rows cannot tell whether the id is taken")
	require.Equal(t, "CR-1", receipt.ID)
	_, err = h.Submit(t.Context(), report(""))
	require.NoError(t, err)
	for b := (dispatcher.Backlog{Waiting: 1}); b.Waiting > 0; { // until a worker has it
		b, err = h.Backlog(t.Context())
		require.NoError(t, err)
		runtime.Gosched()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, h.Close(ctx))
	require.NoError(t, ctx.Err(), "Close waited for its deadline")
}

func TestFullDiskFailsNoReport(t *testing.T) {
	var calls atomic.Int32
	h, _ := open(t, options{
		dir: t.TempDir(), config: dispatcher.Config{MaxAttempts: 2},
		process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
			if calls.Add(1) <= 5 {
				return tasks.Result{}, fmt.Errorf("stage: %w", &fs.PathError{Op: "write", Path: "/srv/data/blobs/tmp/1", Err: syscall.ENOSPC})
			}
			if row.Error != "stage: write 1: no space left on device" {
				return tasks.Result{}, fmt.Errorf("the error was told as %q", row.Error)
			}
			return done(ctx, row, p)
		},
	})
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	row := h.final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status, row.Error)
	require.Equal(t, 6, row.Attempts)
}

// Damage in an old segment, which opening does not read, is found and told.
func TestDamagedLogIsNotReady(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{dir: dir, noDedup: true})
	filler := broker.Message{Payload: make([]byte, 1<<20)}
	for h.segments(t) < 5 { // further back than opening looks
		_, err := h.broker.Publish(t.Context(), dispatcher.TopicUpdates, filler)
		require.NoError(t, err)
	}
	require.NoError(t, h.Ready())
	shut(false)

	first, err := os.OpenFile(filepath.Join(dir, "topics", dispatcher.TopicUpdates, "log", "00000000000000000000.log"), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = first.WriteAt([]byte("damage"), 500_000)
	require.NoError(t, err)
	require.NoError(t, first.Close())

	h, _ = open(t, options{dir: dir, noDedup: true})
	for err = h.Ready(); err == nil; err = h.Ready() {
		runtime.Gosched()
	}
	var corruption *commitlog.CorruptionError
	require.ErrorAs(t, err, &corruption)
	require.Equal(t, first.Name(), corruption.File)
}

func (h house) segments(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, "topics", dispatcher.TopicUpdates, "log", "*.log"))
	require.NoError(t, err)
	return len(files)
}
