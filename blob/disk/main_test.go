package disk_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/blob"
	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "/data/blobs"

func open(t testing.TB, dir string, fsys disk.FS) blob.Store {
	t.Helper()
	s, err := blobdisk.Open(dir, fsys, blobdisk.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Err())
	return s
}

func put(s blob.Store, content []byte) error {
	return blobtest.Put(context.Background(), s, content)
}

func requireStored(t testing.TB, s blob.Store, content []byte) {
	t.Helper()
	blobtest.RequireStored(t, s, content)
}

func requireNoTemps(t testing.TB, fsys disk.FS, dir string) {
	t.Helper()
	entries, err := fsys.ReadDir(filepath.Join(dir, "tmp"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

// sameShard makes n contents whose keys begin with the same two digits.
func sameShard(n int) [][]byte {
	var all [][]byte
	for i := uint64(0); len(all) < n; i++ {
		if content := fmt.Appendf(nil, "content %d", i); blobtest.KeyOf(content)[:2] == "00" {
			all = append(all, content)
		}
	}
	return all
}

func TestStoreKeepsWhatItPromises(t *testing.T) {
	blobtest.Run(t, func(t testing.TB, originals blob.Originals) blob.Store {
		o := blobdisk.Options{Originals: originals}
		if originals == blob.Vault {
			o.Keys = keys(t, newKey(t))
		}
		dir := t.TempDir()
		s := openWith(t, dir, disk.OS, o)
		t.Cleanup(func() {
			requireNoTemps(t, disk.OS, dir)
			require.NoError(t, s.Close())
		})
		return s
	})
}

// dropAll drops whatever nobody holds.
func dropAll(_ context.Context, free []blob.Key) ([]blob.Key, error) { return free, nil }

func randomReader(size int) io.Reader { return bytes.NewReader(blobtest.Random(uint64(size), size)) }

func reader(content []byte) io.Reader { return bytes.NewReader(content) }
