//go:build unix

package store_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
)

// Something else in the place of one of the database's files: the start says which and what to do, and waits for nothing.
func TestOpenSaysWhatIsNoFile(t *testing.T) {
	for kind, put := range map[string]func(path string) error{
		"folder":     func(path string) error { return os.Mkdir(path, 0o700) },
		"named pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			t.Run(kind+suffix, func(t *testing.T) {
				path, _ := closedWithRows(t)
				aside := filepath.Join(t.TempDir(), "aside")
				if suffix == "" {
					require.NoError(t, os.Rename(path, aside))
				}
				require.NoError(t, put(path+suffix))
				for range 2 {
					_, err := store.Open(t.Context(), path)
					requireTells(t, err, path)
					require.ErrorContains(t, err, path+suffix+": not a file but a "+kind)
				}
				require.NoError(t, os.Remove(path+suffix))
				if suffix == "" {
					require.NoError(t, os.Symlink(aside, path)) // on another disk
				}
				s, err := store.Open(t.Context(), path)
				require.NoError(t, err)
				require.NoError(t, s.Check(t.Context()))
				require.NoError(t, s.Close())
			})
		}
	}
}
