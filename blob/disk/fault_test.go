package disk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	"casepress/disk/disktest"
)

// requireDurable checks that the content survives a power cut that loses all that
// is not synced.
func requireDurable(t *testing.T, crash *disktest.CrashFS, content []byte) {
	t.Helper()
	requireStored(t, open(t, root, crash.CrashClone(0)), content)
}

// Who stores is told whether the machine is to blame.
func TestWhoIsToBlame(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ENOENT} {
		for _, op := range []disktest.Op{
			disktest.OpOpen, disktest.OpWrite, disktest.OpSync, disktest.OpMkdir, disktest.OpRename, disktest.OpSyncDir,
		} {
			t.Run(fmt.Sprintf("%v %s", errno, op), func(t *testing.T) {
				fsys := disktest.NewFault(disktest.NewCrash(1))
				s := open(t, root, fsys)
				fsys.Inject(disktest.Fault{Op: op, N: 1, Err: errno})
				err := put(s, contents[0])
				require.Equal(t, 1, fsys.Fired())
				require.ErrorIs(t, err, blob.ErrUnavailable)
				require.ErrorIs(t, err, errno)
			})
		}
	}
	s := open(t, root, disktest.NewCrash(1))
	broken := errors.New("the client left")
	_, err := s.Stage(t.Context(), iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, blob.ErrUnavailable)
	staged, err := s.Stage(t.Context(), strings.NewReader("x"))
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err = staged.Commit(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, blob.ErrUnavailable)
}

// Ready tells whether the folder is there in which uploads are received.
func TestReady(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	s := open(t, root, fsys)
	require.NoError(t, s.Ready())
	fsys.Inject(disktest.Fault{Op: disktest.OpStat, N: 1, Err: syscall.ENOENT, Sticky: true})
	require.ErrorIs(t, s.Ready(), syscall.ENOENT)
	require.NoError(t, s.Err(), "which is for ever")
	fsys.Heal()
	require.NoError(t, s.Ready())
}

// Whichever operation fails, and whether it fails once or from then on: nil is
// only said of what is stored, and what failed can be stored later.
func TestFaultAtEveryOperation(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 3
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for _, op := range []disktest.Op{
			disktest.OpOpen, disktest.OpWrite, disktest.OpSync, disktest.OpMkdir,
			disktest.OpRename, disktest.OpRemove, disktest.OpStat, disktest.OpSyncDir, disktest.OpRead,
		} {
			for _, sticky := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v %s sticky=%t", errno, op, sticky), func(t *testing.T) {
					n := 1
					for faultAt(t, disktest.Fault{Op: op, N: n, Err: errno, Sticky: sticky, Short: n%2 == 0}) {
						n += step
					}
					require.Greater(t, n, 1, "never struck")
				})
			}
		}
	}
}

// faultAt reports whether the fault struck.
func faultAt(t *testing.T, fault disktest.Fault) bool {
	crash := disktest.NewCrash(uint64(fault.N))
	fsys := disktest.NewFault(crash)
	s := open(t, root, fsys)
	fsys.Inject(fault)
	failed := false
	for _, content := range append(contents, contents[0], contents[0]) {
		err := put(s, content)
		if err == nil {
			requireDurable(t, crash, content)
			continue
		}
		failed = true
		require.ErrorIs(t, err, fault.Err)
		crash.ForgetDirty()
	}
	struck := fsys.Fired() > 0
	// What is there already and cannot be read is replaced by the bytes that have just come.
	replaces := fault.Op == disktest.OpOpen || fault.Op == disktest.OpRead
	require.True(t, failed || !struck || fault.Op == disktest.OpRemove || replaces)
	fsys.Heal()

	if fault.Op != disktest.OpRemove {
		requireNoTemps(t, crash, root)
	}
	require.NoError(t, s.Err())
	for _, content := range contents {
		require.NoError(t, put(s, content))
		requireDurable(t, crash, content)
	}
	return struck
}

// A file whose fsync failed must not be taken for the blob, even though it can be
// read: the kernel may have given its pages up.
func TestFailedSyncIsForgotten(t *testing.T) {
	crash := disktest.NewCrash(1)
	fsys := disktest.NewFault(crash)
	s := open(t, root, fsys)
	content := blobtest.Random(1, 9000)
	for range 3 {
		fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO})
		require.ErrorIs(t, put(s, content), syscall.EIO)
		crash.ForgetDirty()
		_, err := s.Open(t.Context(), blobtest.KeyOf(content))
		require.ErrorIs(t, err, blob.ErrNotFound)
		requireNoTemps(t, crash, root)
	}
	require.NoError(t, put(s, content))
	requireDurable(t, crash, content)
}

func TestFailedFolderSyncTakesTheEntryBack(t *testing.T) {
	crash := disktest.NewCrash(1)
	fsys := disktest.NewFault(crash)
	s := open(t, root, fsys)
	all := sameShard(2)
	require.NoError(t, put(s, all[0]))

	fsys.Inject(disktest.Fault{Op: disktest.OpSyncDir, N: 1, Err: syscall.EIO})
	require.ErrorIs(t, put(s, all[1]), syscall.EIO)
	_, err := s.Open(t.Context(), blobtest.KeyOf(all[1]))
	require.ErrorIs(t, err, blob.ErrNotFound)
	requireStored(t, s, all[0]) // was durable before
	require.NoError(t, s.Err())

	renames := fsys.Count(disktest.OpRename)
	require.NoError(t, put(s, all[1]))
	require.Equal(t, renames+1, fsys.Count(disktest.OpRename))
	requireDurable(t, crash, all[1])
}

func TestPoisoned(t *testing.T) {
	crash := disktest.NewCrash(1)
	fsys := disktest.NewFault(crash)
	s := open(t, root, keepsEntries{fsys})
	require.NoError(t, put(s, []byte("before")))
	bad := sameShard(1)[0]
	fsys.Inject(disktest.Fault{Op: disktest.OpSyncDir, N: 1, Err: syscall.EIO})
	require.ErrorIs(t, put(s, bad), blob.ErrPoisoned)

	require.ErrorIs(t, s.Err(), blob.ErrPoisoned)
	require.ErrorIs(t, s.Err(), syscall.EIO)
	require.ErrorIs(t, put(s, bad), blob.ErrPoisoned)
	require.ErrorIs(t, put(s, []byte("before")), blob.ErrPoisoned)
	requireStored(t, s, []byte("before"))
	requireNoTemps(t, crash, root)

	s = open(t, root, crash)
	require.NoError(t, put(s, bad))
	requireDurable(t, crash, bad)
}

// keepsEntries cannot remove a blob.
type keepsEntries struct{ *disktest.FaultFS }

func (k keepsEntries) Remove(name string) error {
	if !strings.Contains(name, "/tmp/") {
		return syscall.EROFS
	}
	return k.FaultFS.Remove(name)
}

func TestFaultsUnderConcurrentWriters(t *testing.T) {
	ops := []disktest.Op{disktest.OpSync, disktest.OpSyncDir, disktest.OpRename, disktest.OpWrite}
	for seed := range 200 {
		crash := disktest.NewCrash(uint64(seed))
		fsys := disktest.NewFault(crash)
		s := open(t, root, fsys)
		fsys.Inject(disktest.Fault{Op: ops[seed%4], N: 1 + seed/4%8, Err: syscall.EIO})
		var wg sync.WaitGroup
		stored := make(chan []byte, 64)
		for i := range 64 {
			wg.Go(func() {
				content := contents[i%4] // all in one shard
				err := put(s, content)
				switch {
				case err == nil:
					stored <- content
				case !errors.Is(err, syscall.EIO):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(stored)
		checked := make(map[string]bool)
		for content := range stored {
			if !checked[string(content)] {
				requireDurable(t, crash, content)
				checked[string(content)] = true
			}
		}
		fsys.Heal()
		for _, content := range contents[:4] {
			require.NoError(t, put(s, content))
			requireDurable(t, crash, content)
		}
		requireNoTemps(t, crash, root)
	}
}
