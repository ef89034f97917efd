//go:build unix

package service_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	"casepress/service"
)

// openAndClose makes the folder private, as a start does, and opens and closes a service, so that it has what a service leaves there.
func openAndClose(t *testing.T, c service.Config) {
	t.Helper()
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	require.NoError(t, service.MakePrivate(c.DataDir, log))
	c.HTTP = handlers.Config{MinFreeDisk: -1}
	s, err := service.Open(t.Context(), c)
	require.NoError(t, err)
	_, _, err = s.Blobs.Put(t.Context(), strings.NewReader("bytes"))
	require.NoError(t, err)
	require.NoError(t, s.Close(context.Background()))
}

// eachOf calls do for each file and folder in a folder, and for that last.
func eachOf(t *testing.T, dir string, do func(name string, info fs.FileInfo)) (n int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		do(name, info)
		n++
		return nil
	}))
	return n
}

func requirePrivate(t *testing.T, name string, info fs.FileInfo) {
	t.Helper()
	want := fs.FileMode(0o600)
	if info.IsDir() {
		want = 0o700
	}
	require.Equal(t, want, info.Mode().Perm(), name)
}

// Whatever the umask and whoever has made the folder: nobody else may read what is in it. The umask is of the whole process, so no
// test of this package runs beside another.
func TestTheDataFolderIsPrivate(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		was := syscall.Umask(umask)
		t.Cleanup(func() { syscall.Umask(was) })
		dir := filepath.Join(t.TempDir(), "data")
		require.NoError(t, os.Mkdir(dir, 0o777))
		openAndClose(t, service.Config{DataDir: dir})
		require.Greater(t, eachOf(t, dir, func(name string, info fs.FileInfo) { requirePrivate(t, name, info) }), 20)
		syscall.Umask(was)
	}
}

// A folder of an earlier version, or a copy that was restored, is closed. What an operator keeps in it is his.
func TestADataFolderThatIsOpenIsClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o777))
	openAndClose(t, service.Config{DataDir: dir})
	eachOf(t, dir, func(name string, info fs.FileInfo) { require.NoError(t, os.Chmod(name, info.Mode()|0o055)) })
	operators := filepath.Join(dir, "operator.txt")
	require.NoError(t, os.WriteFile(operators, nil, 0o600))
	require.NoError(t, os.Chmod(operators, 0o644))
	moved := filepath.Join(t.TempDir(), "topics on another disk")
	require.NoError(t, os.Rename(filepath.Join(dir, "topics"), moved))
	require.NoError(t, os.Symlink(moved, filepath.Join(dir, "topics")))

	var log bytes.Buffer
	link := dir + " link"
	require.NoError(t, os.Symlink(dir, link))
	openAndClose(t, service.Config{DataDir: link, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, top := range []string{dir, moved} {
		eachOf(t, top, func(name string, info fs.FileInfo) {
			if name != operators && info.Mode()&fs.ModeSymlink == 0 {
				requirePrivate(t, name, info)
			}
		})
	}
	info, err := os.Stat(operators)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode().Perm())
	require.NotContains(t, log.String(), "other users")
}

// What cannot be closed is told, and the service starts.
func TestADataFolderThatCannotBeClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.Chmod(dir, 0o777|fs.ModeSticky)) // like /tmp: not for one service alone
	var log bytes.Buffer
	openAndClose(t, service.Config{DataDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.Contains(t, log.String(), "other users may have access")
	require.Contains(t, log.String(), "count=1 ")
	require.Contains(t, log.String(), dir)
	eachOf(t, dir, func(name string, info fs.FileInfo) {
		if name != dir {
			requirePrivate(t, name, info)
		}
	})
}
