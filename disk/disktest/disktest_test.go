package disktest_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/disk"
	"casepress/disk/disktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const create = os.O_RDWR | os.O_CREATE

func mustWrite(t *testing.T, fsys disk.FS, name string, flag int, content []byte) disk.File {
	t.Helper()
	f, err := fsys.OpenFile(name, flag, 0o644)
	require.NoError(t, err)
	_, err = f.WriteAt(content, 0)
	require.NoError(t, err)
	return f
}

func read(t *testing.T, fsys disk.FS, name string) []byte {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return b
}

func exists(t *testing.T, fsys disk.FS, name string) bool {
	t.Helper()
	_, err := fsys.Stat(name)
	if err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	return err == nil
}

func TestPowerCutKeepsWhatIsSynced(t *testing.T) {
	cases := []struct {
		name         string
		flag         int
		sync, folder bool
		content      []byte // nil: the file is gone
	}{
		{"file and folder synced", create, true, true, bytes.Repeat([]byte{7}, 5000)},
		{"durable writes and folder synced", create | disk.Durable, false, true, bytes.Repeat([]byte{7}, 5000)},
		{"folder not synced", create, true, false, nil},
		{"file not synced", create, false, true, []byte{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := disktest.NewCrash(1)
			require.NoError(t, fsys.MkdirAll("/d", 0o755))
			f := mustWrite(t, fsys, "/d/f", c.flag, bytes.Repeat([]byte{7}, 5000))
			if c.sync {
				require.NoError(t, f.Sync())
			}
			if c.folder {
				require.NoError(t, fsys.SyncDir("/d"))
			}
			after := fsys.CrashClone(0)
			if c.content == nil {
				require.False(t, exists(t, after, "/d/f"))
				return
			}
			f, err := after.OpenFile("/d/f", os.O_RDONLY, 0)
			require.NoError(t, err)
			size, err := f.Size()
			require.NoError(t, err)
			require.Equal(t, int64(len(c.content)), size)
			if size > 0 {
				require.Equal(t, c.content, read(t, after, "/d/f"))
			}
		})
	}
}

func TestUnsyncedBlocksSurviveAtRandomAndWhole(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		fsys := disktest.NewCrash(seed)
		require.NoError(t, fsys.MkdirAll("/d", 0o755))
		f := mustWrite(t, fsys, "/d/f", create, make([]byte, 1024))
		require.NoError(t, f.Sync())
		require.NoError(t, fsys.SyncDir("/d"))
		_, err := f.WriteAt(bytes.Repeat([]byte{1}, 1024), 0)
		require.NoError(t, err)
		got := read(t, fsys.CrashClone(0.5), "/d/f")
		for s := 0; s < 1024; s += 512 {
			require.Empty(t, bytes.Trim(got[s:s+512], string(got[s:s+1])), "a sector is old or new as a whole")
		}
		seen[fmt.Sprint(got[0], got[512])] = true
	}
	require.Len(t, seen, 4, "all four outcomes happen")
}

func TestRenameIsUndoneOrNotUntilTheFolderIsSynced(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(100) {
		fsys := disktest.NewCrash(seed)
		require.NoError(t, fsys.MkdirAll("/d", 0o755))
		require.NoError(t, mustWrite(t, fsys, "/d/a", create, []byte("x")).Sync())
		require.NoError(t, fsys.SyncDir("/d"))
		require.NoError(t, fsys.Rename("/d/a", "/d/b"))
		after := fsys.CrashClone(0.5)
		require.NotEqual(t, exists(t, after, "/d/a"), exists(t, after, "/d/b"))
		outcomes[fmt.Sprint(exists(t, after, "/d/b"))]++
		require.NoError(t, fsys.SyncDir("/d"))
		require.True(t, exists(t, fsys.CrashClone(0), "/d/b"))
	}
	require.Len(t, outcomes, 2)
}

func TestAMoveBetweenFoldersNeverLosesTheFile(t *testing.T) {
	for seed := range uint64(200) {
		fsys := disktest.NewCrash(seed)
		require.NoError(t, fsys.MkdirAll("/d", 0o755))
		require.NoError(t, fsys.MkdirAll("/e", 0o755))
		require.NoError(t, mustWrite(t, fsys, "/d/a", create, []byte("x")).Sync())
		require.NoError(t, fsys.SyncDir("/d"))
		require.NoError(t, fsys.Rename("/d/a", "/e/a"))
		if seed%2 == 0 {
			require.NoError(t, fsys.SyncDir("/d"))
		}
		after := fsys.CrashClone(0.5)
		require.True(t, exists(t, after, "/d/a") || exists(t, after, "/e/a"))
	}
}

func TestCutAtStopsEverything(t *testing.T) {
	fsys := disktest.NewCrash(1)
	require.NoError(t, fsys.MkdirAll("/d", 0o755))
	f := mustWrite(t, fsys, "/d/f", create, []byte("one"))
	require.NoError(t, f.Sync())
	require.NoError(t, fsys.SyncDir("/d"))
	fsys.CutAt(1, 0)
	_, err := f.WriteAt([]byte("two"), 0)
	require.ErrorIs(t, err, disktest.ErrPowerCut)
	require.ErrorIs(t, f.Sync(), disktest.ErrPowerCut)
	_, err = fsys.ReadDir("/d")
	require.ErrorIs(t, err, disktest.ErrPowerCut)
	require.Equal(t, "one", string(read(t, fsys.AfterCut(), "/d/f")))
}

func TestForgetDirtyLosesWhatStaysReadable(t *testing.T) {
	fsys := disktest.NewCrash(1)
	require.NoError(t, fsys.MkdirAll("/d", 0o755))
	f := mustWrite(t, fsys, "/d/f", create, []byte("old"))
	require.NoError(t, f.Sync())
	require.NoError(t, fsys.SyncDir("/d"))
	_, err := f.WriteAt([]byte("new"), 0)
	require.NoError(t, err)
	fsys.ForgetDirty()
	require.NoError(t, f.Sync())
	require.Equal(t, "new", string(read(t, fsys, "/d/f")))
	require.Equal(t, "old", string(read(t, fsys.CrashClone(1), "/d/f")))
}

func TestFaults(t *testing.T) {
	write := func(f *disktest.FaultFS) error {
		file, err := f.OpenFile("/d/f", create, 0o644)
		if err != nil {
			return err
		}
		if _, err := file.WriteAt([]byte("data"), 0); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		return f.SyncDir("/d")
	}
	for _, op := range []disktest.Op{disktest.OpOpen, disktest.OpWrite, disktest.OpSync, disktest.OpSyncDir, ""} {
		t.Run("op "+string(op), func(t *testing.T) {
			f := disktest.NewFault(disktest.NewCrash(1))
			require.NoError(t, f.MkdirAll("/d", 0o755))
			f.Inject(disktest.Fault{Op: op, N: 2, Err: syscall.ENOSPC})
			if op != "" {
				require.NoError(t, write(f))
				require.Equal(t, 1, f.Count(op))
			}
			require.ErrorIs(t, write(f), syscall.ENOSPC)
			require.Equal(t, 1, f.Fired())
			require.NoError(t, write(f), "only one fails")
			f.Inject(disktest.Fault{Op: op, N: 1, Err: syscall.EIO, Sticky: true})
			require.ErrorIs(t, write(f), syscall.EIO)
			require.ErrorIs(t, write(f), syscall.EIO)
			f.Heal()
			require.NoError(t, write(f))
		})
	}
}

func TestAFailedDurableWriteIsNotDurable(t *testing.T) {
	inner := disktest.NewCrash(1)
	f := disktest.NewFault(inner)
	require.NoError(t, f.MkdirAll("/d", 0o755))
	file := mustWrite(t, f, "/d/f", create|disk.Durable, []byte("good"))
	require.NoError(t, f.SyncDir("/d"))
	f.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO})
	_, err := file.WriteAt([]byte("lost"), 0)
	require.ErrorIs(t, err, syscall.EIO)
	require.Equal(t, "lost", string(read(t, inner, "/d/f")))
	require.Equal(t, "good", string(read(t, inner.CrashClone(0), "/d/f")))

	f.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.ENOSPC, Short: true})
	n, err := file.WriteAt([]byte("half"), 0)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, 2, n)
	require.Equal(t, "hast", string(read(t, inner, "/d/f")))
}

// The same walk on the real disk and on CrashFS ends the same, so that tests on one speak for the other.
func TestCrashFSBehavesLikeTheRealOne(t *testing.T) {
	walk := func(t *testing.T, fsys disk.FS, dir string) (names []string) {
		d := filepath.Join(dir, "a", "b")
		require.NoError(t, fsys.MkdirAll(d, 0o755))
		require.NoError(t, fsys.MkdirAll(d, 0o755))
		f := mustWrite(t, fsys, filepath.Join(d, "f"), create|os.O_EXCL, []byte("hello"))
		_, err := fsys.OpenFile(filepath.Join(d, "f"), create|os.O_EXCL, 0o644)
		require.ErrorIs(t, err, fs.ErrExist)
		_, err = fsys.OpenFile(filepath.Join(d, "none"), os.O_RDONLY, 0)
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = fsys.OpenFile(filepath.Join(dir, "no", "f"), create, 0o644)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, f.Truncate(2))
		require.NoError(t, f.Truncate(4))
		require.NoError(t, f.Sync())
		require.NoError(t, f.Close())
		require.Equal(t, "he\x00\x00", string(read(t, fsys, filepath.Join(d, "f"))))
		w, err := fsys.OpenFile(filepath.Join(d, "w"), os.O_WRONLY|os.O_CREATE, 0o644)
		require.NoError(t, err)
		for _, part := range []string{"one", "two"} {
			_, err = w.Write([]byte(part))
			require.NoError(t, err)
		}
		require.NoError(t, w.Close())
		require.Equal(t, "onetwo", string(read(t, fsys, filepath.Join(d, "w"))))
		require.NoError(t, fsys.Rename(filepath.Join(d, "w"), filepath.Join(d, "f")))
		require.NoError(t, fsys.SyncDir(d))
		require.ErrorIs(t, fsys.Remove(filepath.Join(d, "w")), fs.ErrNotExist)
		require.Error(t, fsys.Remove(d), "not empty")
		info, err := fsys.Stat(filepath.Join(d, "f"))
		require.NoError(t, err)
		require.Equal(t, int64(6), info.Size())
		entries, err := fsys.ReadDir(filepath.Join(dir, "a"))
		require.NoError(t, err)
		for _, e := range entries {
			names = append(names, fmt.Sprint(e.Name(), e.IsDir()))
		}
		_, err = fsys.ReadDir(filepath.Join(dir, "none"))
		require.ErrorIs(t, err, fs.ErrNotExist)
		return names
	}
	want := walk(t, disk.OS, t.TempDir())
	require.Equal(t, want, walk(t, disktest.NewFault(disktest.NewCrash(1)), "/x"))
}

func TestDirectFilesTakeWholeBlocksOnly(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	require.NoError(t, fsys.MkdirAll("/d", 0o755))
	f, err := fsys.OpenFile("/d/f", create|disk.Direct|disk.Durable, 0o644)
	require.NoError(t, err)
	block := disk.Aligned(2 * disk.BlockBytes)
	_, err = f.WriteAt(block, disk.BlockBytes)
	require.NoError(t, err)
	_, err = f.ReadAt(block[:disk.BlockBytes], 0)
	require.NoError(t, err)
	for _, c := range []struct {
		p   []byte
		off int64
	}{{block[:100], 0}, {block, 512}, {block[1 : 1+disk.BlockBytes], 0}} {
		_, err = f.WriteAt(c.p, c.off)
		require.ErrorIs(t, err, disktest.ErrNotBlocks)
		_, err = f.ReadAt(c.p, c.off)
		require.ErrorIs(t, err, disktest.ErrNotBlocks)
	}
	fsys.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.ENOSPC, Short: true})
	n, err := f.WriteAt(block[:disk.BlockBytes], 0)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, disk.BlockBytes/2, n, "a write may stop anywhere all the same")
}

func TestModificationTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fsys := range []disk.FS{disktest.NewCrash(1), disktest.NewFault(disktest.NewCrash(1))} {
			require.NoError(t, fsys.MkdirAll("/d", 0o755))
			f := mustWrite(t, fsys, "/d/a", os.O_RDWR|os.O_CREATE, []byte("a"))
			written := time.Now()
			time.Sleep(time.Hour)
			require.NoError(t, fsys.Rename("/d/a", "/d/b"))
			info, err := f.Stat()
			require.NoError(t, err)
			require.Equal(t, written, info.ModTime())
			require.EqualValues(t, 1, info.Size())
			require.NoError(t, fsys.Touch("/d/b"))
			info, err = fsys.Stat("/d/b")
			require.NoError(t, err)
			require.Equal(t, time.Now(), info.ModTime())
			time.Sleep(time.Hour)
			_, err = f.WriteAt([]byte("b"), 0)
			require.NoError(t, err)
			info, err = f.Stat()
			require.NoError(t, err)
			require.Equal(t, time.Now(), info.ModTime())
			require.ErrorIs(t, fsys.Touch("/d/a"), fs.ErrNotExist)
		}
	})
}
