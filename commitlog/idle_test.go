package commitlog_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
)

// TestAQuietLogHangsOnASeal: damage to the newest record is told when the log was at rest before the process was
// killed; without rest it is cut off, and that is reported.
func TestAQuietLogHangsOnASeal(t *testing.T) {
	for name, rest := range map[string]time.Duration{"at rest": 1500 * time.Millisecond, "busy": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := disktest.NewCrash(1)
				l := mustOpen(t, logDir, small(fsys))
				for range 10 {
					_, err := l.Append(t.Context(), make([]byte, 10))
					require.NoError(t, err)
				}
				require.Nil(t, l.Cut())
				time.Sleep(rest)
				synctest.Wait()
				position := l.Segments()[0].Bytes - 1
				if rest > 0 {
					position -= 40 // of the seal
				}
				killed := fsys.CrashClone(1)
				require.NoError(t, l.Close())
				write(segmentFile(0), position, 1)(t, killed)
				l, err := commitlog.Open(logDir, small(killed))
				if rest > 0 {
					require.ErrorAs(t, err, new(*commitlog.CorruptionError))
					return
				}
				require.NoError(t, err)
				cut := l.Cut()
				require.NotNil(t, cut)
				require.Equal(t, []any{segmentFile(0), uint64(9), position - 53, int64(54)}, []any{cut.File, cut.Offset, cut.Position, cut.Bytes})
				require.Error(t, cut.Err)
				require.NoError(t, l.Close())
			})
		})
	}
}

// TestALogAtRest takes no goroutine and little memory, holds no file that another needs, and takes records as before.
func TestALogAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys, files := &countingDisk{FS: disktest.NewCrash(1)}, commitlog.NewFiles(2)
		var logs []*commitlog.Log
		for i := range 10 {
			o := small(fsys)
			o.Files = files
			logs = append(logs, mustOpen(t, fmt.Sprint(logDir, i), o))
		}
		for round := range 3 {
			before := runtime.NumGoroutine()
			var appends sync.WaitGroup
			for _, l := range logs {
				appends.Go(func() {
					for range 20 { // two segments
						_, err := l.Append(t.Context(), make([]byte, 300))
						require.NoError(t, err)
					}
				})
			}
			appends.Wait()
			for _, l := range logs {
				records, err := l.Read(uint64(20*round), 1<<20)
				require.NoError(t, err)
				require.NotEmpty(t, records)
			}
			synctest.Wait() // until full segments are closed
			require.LessOrEqual(t, fsys.open.Load(), int64(2))
			time.Sleep(3 * time.Second)
			synctest.Wait()
			for i := 0; runtime.NumGoroutine() > before && i < 1_000_000; i++ {
				runtime.Gosched() // one that has ended counts until its processor is done with it
			}
			require.LessOrEqual(t, runtime.NumGoroutine(), before, "at rest")
		}
		for _, l := range logs {
			require.Len(t, readAll(t, l), 60)
			require.NoError(t, l.Close())
		}
		require.Zero(t, fsys.open.Load())
	})
}

// countingDisk counts open files.
type countingDisk struct {
	disk.FS
	open atomic.Int64
}

func (d *countingDisk) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	d.open.Add(1)
	return &countedFile{File: f, open: &d.open}, nil
}

type countedFile struct {
	disk.File
	open *atomic.Int64
}

func (f *countedFile) Close() error {
	f.open.Add(-1)
	return f.File.Close()
}

// TestAFileThatWasCutOffWhileItWasClosedPoisons: what would be written to it would stand behind a hole.
func TestAFileThatWasCutOffWhileItWasClosedPoisons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys, files := disktest.NewCrash(1), commitlog.NewFiles(1)
		o := small(fsys)
		o.Files = files
		l := mustOpen(t, logDir, o)
		other := mustOpen(t, logDir+"2", o)
		_, err := l.Append(t.Context(), []byte("one"))
		require.NoError(t, err)
		_, err = other.Append(t.Context(), []byte("takes the file's place"))
		require.NoError(t, err)
		f, err := fsys.OpenFile(segmentFile(0), os.O_RDWR, 0)
		require.NoError(t, err)
		require.NoError(t, errors.Join(f.Truncate(100), f.Close()))
		_, err = l.Append(t.Context(), []byte("two"))
		require.ErrorIs(t, err, commitlog.ErrPoisoned)
		require.ErrorContains(t, err, "shorter")
		require.ErrorIs(t, l.Close(), commitlog.ErrPoisoned)
		require.NoError(t, other.Close())
	})
}

// TestOpenSaysWhatHindersIt: on a full or read-only disk, also for a log that was closed.
func TestOpenSaysWhatHindersIt(t *testing.T) {
	for _, c := range []struct {
		op   disktest.Op
		err  error
		text string
	}{
		{disktest.OpWrite, syscall.ENOSPC, "the disk is full"},
		{disktest.OpMkdir, syscall.ENOSPC, "the disk is full"},
		{disktest.OpMkdir, syscall.EACCES, "must be writable"},
		{disktest.OpOpen, syscall.EACCES, "must be writable"},
		{disktest.OpWrite, syscall.EROFS, "must be writable"},
	} {
		for _, exists := range []bool{false, true} {
			fsys := disktest.NewFault(disktest.NewCrash(1))
			if exists {
				if c.op == disktest.OpMkdir {
					continue // there is nothing to be made
				}
				l := mustOpen(t, logDir, small(fsys))
				_, err := l.Append(t.Context(), []byte("x"))
				require.NoError(t, err)
				require.NoError(t, l.Close())
			}
			fsys.Inject(disktest.Fault{Op: c.op, N: 1, Err: c.err, Sticky: true})
			_, err := commitlog.Open(logDir, small(fsys))
			require.ErrorIs(t, err, c.err)
			require.ErrorContains(t, err, logDir)
			require.ErrorContains(t, err, c.text)
		}
	}
}
