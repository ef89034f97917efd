//go:build unix

package commitlog_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk"
)

// What is no file in the place of a segment or an index: Open says so, waits for nothing and changes nothing, and opens the log
// when the file is back. A link to a file is one.
func TestOpenSaysWhatIsNoFile(t *testing.T) {
	kinds := map[string]func(path, aside string) error{
		"folder":          func(path, _ string) error { return os.Mkdir(path, 0o700) },
		"named pipe":      func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"link to nothing": func(path, _ string) error { return os.Symlink("nothing", path) },
		"link":            func(path, aside string) error { return os.Symlink(aside, path) },
	}
	for _, suffix := range []string{".log", ".idx"} {
		for kind, put := range kinds {
			t.Run(kind+" as "+suffix, func(t *testing.T) {
				dir := t.TempDir()
				l := mustOpen(t, dir, small(disk.OS))
				for range 20 {
					_, err := l.Append(t.Context(), []byte("a record of some length, so that there are several segments"), make([]byte, 1500))
					require.NoError(t, err)
				}
				require.NoError(t, l.Close())
				all, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
				require.NoError(t, err)
				require.Greater(t, len(all), 2)
				for _, path := range []string{all[0], all[len(all)-1]} {
					aside := filepath.Join(t.TempDir(), "aside")
					require.NoError(t, os.Rename(path, aside))
					require.NoError(t, put(path, aside))
					l, err := commitlog.Open(dir, small(disk.OS))
					if kind == "link" || kind == "link to nothing" && suffix == ".idx" { // an index is made again
						require.NoError(t, err)
						require.Len(t, readAll(t, l), 40)
						require.NoError(t, l.Close())
					} else {
						var damage *commitlog.CorruptionError
						require.ErrorAs(t, err, &damage)
						require.Equal(t, path, damage.File)
						require.ErrorContains(t, err, path)
					}
					require.NoError(t, os.Remove(path))
					require.NoError(t, os.Rename(aside, path))
					l = mustOpen(t, dir, small(disk.OS))
					require.Len(t, readAll(t, l), 40)
					require.NoError(t, l.Close())
				}
			})
		}
	}
}

// So it does of the folder, and of the one that it lies in.
func TestOpenSaysWhatIsNoFolder(t *testing.T) {
	topic := filepath.Join(t.TempDir(), "topic")
	dir := filepath.Join(topic, "log")
	for _, path := range []string{topic, dir} {
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		_, err := commitlog.Open(dir, small(disk.OS))
		require.ErrorContains(t, err, dir)
		require.ErrorContains(t, err, "is not a folder: move that away")
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.Mkdir(path, 0o700))
	}
	require.NoError(t, mustOpen(t, dir, small(disk.OS)).Close())
}
