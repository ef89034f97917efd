//go:build unix

package disk_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
)

// notFiles are what may have the name of a file.
var notFiles = map[string]func(path string) error{
	"folder":      func(path string) error { return os.Mkdir(path, 0o700) },
	"full folder": func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
	"named pipe":  func(path string) error { return syscall.Mkfifo(path, 0o600) },
}

// Something else in the place of a blob is a damaged blob: whoever asks is told at once, and the same bytes received
// again are there.
func TestABlobThatIsNoFile(t *testing.T) {
	for kind, put := range notFiles {
		for end, o := range ways(t) {
			t.Run(kind+end, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				o.Registerer = registry
				dir := t.TempDir()
				s := openWith(t, dir, disk.OS, o)
				content, other := blobtest.Random(1, 5000), blobtest.Random(2, 5000)
				require.NoError(t, store(s, content))
				require.NoError(t, store(s, other))
				name := fileOf(dir, content, end)
				require.NoError(t, os.Remove(name))
				require.NoError(t, put(name))
				requireCorrupt(t, s, content)
				require.EqualValues(t, 1, gather(t, registry)["casepress_blob_corrupt_total"])
				_, err := s.Open(t.Context(), blobtest.KeyOf(content))
				require.ErrorContains(t, err, name+": not a file but a ")
				require.NoError(t, s.Each(t.Context(), func(infos []blob.Info) error {
					require.Len(t, infos, 1)
					require.Equal(t, blobtest.KeyOf(other), infos[0].Key)
					return nil
				}))
				there, err := s.Has(t.Context(), blobtest.KeyOf(content), 5000)
				require.NoError(t, err)
				require.False(t, there)
				require.NoError(t, store(s, content))
				requireStored(t, s, content)
				require.Empty(t, s.Corrupt())
				require.EqualValues(t, 1, gather(t, registry)["casepress_blob_mended_total"])
				o.Registerer = nil
				requireStored(t, openWith(t, dir, disk.OS, o), content)
				requireNoTemps(t, disk.OS, dir)
			})
		}
	}
}

// A start names what is no folder and has the name of one. A link to a folder on another disk is a folder.
func TestAFolderOfBlobsThatIsNone(t *testing.T) {
	for _, name := range []string{"tmp", "ab", "keys"} {
		for kind, put := range map[string]func(path string) error{
			"file":            func(path string) error { return os.WriteFile(path, nil, 0o600) },
			"named pipe":      notFiles["named pipe"],
			"link to nothing": func(path string) error { return os.Symlink("nothing", path) },
		} {
			t.Run(kind+" as "+name, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, name)
				require.NoError(t, put(path))
				_, err := blobdisk.Open(dir, disk.OS, blobdisk.Options{})
				require.ErrorContains(t, err, path)
				require.ErrorContains(t, err, "is not a folder: move it away")
				require.NoError(t, os.Remove(path))
				require.NoError(t, os.Symlink(t.TempDir(), path))
				s := open(t, dir, disk.OS)
				require.NoError(t, s.Close())
			})
		}
	}
}

// A link to a file on another disk is a file.
func TestABlobThatIsALink(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	content := blobtest.Random(1, 5000)
	require.NoError(t, store(s, content))
	name, moved := fileOf(dir, content, ""), filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(name, moved))
	require.NoError(t, os.Symlink(moved, name))
	requireStored(t, s, content)
	require.NoError(t, store(s, content))
	require.FileExists(t, moved)
}
