//go:build unix

package disk_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/disk"
)

func TestLockBelongsToOne(t *testing.T) {
	dir := t.TempDir()
	unlock, err := disk.Lock(dir)
	require.NoError(t, err)
	_, err = disk.Lock(dir)
	require.ErrorIs(t, err, disk.ErrLocked)
	require.NoError(t, unlock())
	unlock, err = disk.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, unlock())

	_, err = disk.Lock(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Nothing that is removed from the folder, or moved with it, lets a second process in.
func TestLockOutlivesWhatIsInTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o700))
	file := filepath.Join(dir, "lock")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	unlock, err := disk.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	_, err = disk.Lock(dir)
	require.ErrorIs(t, err, disk.ErrLocked)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = disk.Lock(dir)
	require.ErrorIs(t, err, disk.ErrLocked)
	moved := dir + "-moved"
	require.NoError(t, os.Rename(dir, moved))
	_, err = disk.Lock(moved)
	require.ErrorIs(t, err, disk.ErrLocked)
	require.NoError(t, unlock())
	unlock, err = disk.Lock(moved)
	require.NoError(t, err)
	require.NoError(t, unlock())
}

// Earlier versions locked the file "lock" and nothing else.
func TestLockRespectsTheFileOfEarlierVersions(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "lock"))
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	_, err = disk.Lock(dir)
	require.ErrorIs(t, err, disk.ErrLocked)
	require.NoError(t, f.Close())
	unlock, err := disk.Lock(dir)
	require.NoError(t, err, "the failed attempt let go of the folder")
	require.NoError(t, unlock())
}
