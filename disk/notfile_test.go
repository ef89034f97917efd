//go:build unix

package disk_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/disk"
	"casepress/disk/disktest"
)

// Whatever a file is to be opened for: what is none is told by its name and kind, and nothing waits for the other end of a pipe.
func TestOpenFileRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.Mkdir(at("folder"), 0o700))
	require.NoError(t, syscall.Mkfifo(at("named pipe"), 0o600))
	t.Chdir(dir) // the name of a socket is short
	socket, err := net.Listen("unix", "socket")
	require.NoError(t, err)
	defer socket.Close()
	require.NoError(t, os.Symlink(at("named pipe"), at("link to a named pipe")))
	for name, kind := range map[string]string{
		at("folder"): "a folder", at("named pipe"): "a named pipe", at("socket"): "a socket",
		at("link to a named pipe"): "a named pipe", os.DevNull: "a device",
	} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREATE | os.O_TRUNC, os.O_RDWR | disk.Durable | disk.Direct} {
			_, err := disk.OS.OpenFile(name, flag, 0o600)
			require.ErrorIs(t, err, disk.ErrNotFile, name)
			require.ErrorContains(t, err, name+": not a file but "+kind+": move it away")
		}
	}
	require.NoError(t, os.WriteFile(at("file"), nil, 0o600))
	require.NoError(t, os.Symlink("file", at("link")))
	f, err := disk.OS.OpenFile(at("link"), os.O_RDWR, 0)
	require.NoError(t, err, "a file may have been moved to another disk")
	require.NoError(t, f.Close())

	crash := disktest.NewCrash(1)
	require.NoError(t, crash.MkdirAll("/folder", 0o700))
	_, err = crash.OpenFile("/folder", os.O_RDONLY, 0)
	require.ErrorIs(t, err, disk.ErrNotFile)
}

// Nor does anything wait where a folder or the lock is a named pipe.
func TestFoldersThatAreNone(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "lock")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.ErrorContains(t, disk.OS.MkdirAll(pipe, 0o700), pipe+": exists and is not a folder: move it away")
	require.ErrorContains(t, disk.OS.SyncDir(pipe), pipe)
	_, err := disk.OS.ReadDir(pipe)
	require.ErrorContains(t, err, pipe)
	unlock, err := disk.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, unlock())
}
