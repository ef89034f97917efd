package commitlog_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
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
