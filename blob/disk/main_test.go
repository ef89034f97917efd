package disk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/blob"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "/data/blobs"

func open(t testing.TB, dir string, fsys disk.FS) *blobdisk.Store {
	t.Helper()
	s, err := blobdisk.Open(dir, fsys, blobdisk.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Err())
	return s
}

func keyOf(content []byte) blob.Key {
	sum := sha256.Sum256(content)
	return blob.Key(hex.EncodeToString(sum[:]))
}

func put(s *blobdisk.Store, content []byte) error {
	k, size, err := s.Put(context.Background(), bytes.NewReader(content))
	if err == nil && (k != keyOf(content) || size != int64(len(content))) {
		return fmt.Errorf("put gave %s of %d bytes", k, size)
	}
	return err
}

// requireStored reads the blob in all the ways there are.
func requireStored(t testing.TB, s *blobdisk.Store, content []byte) {
	t.Helper()
	b, err := s.Open(context.Background(), keyOf(content))
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.EqualValues(t, len(content), b.Size())
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	if len(content) > 0 {
		_, err = b.Seek(-1, io.SeekEnd)
		require.NoError(t, err)
		last, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, content[len(content)-1:], last)
		_, err = b.ReadAt(last, 0)
		require.NoError(t, err)
		require.Equal(t, content[:1], last)
	}
}

func requireNoTemps(t testing.TB, fsys disk.FS, dir string) {
	t.Helper()
	entries, err := fsys.ReadDir(filepath.Join(dir, "tmp"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func random(seed uint64, size int) []byte {
	content := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	_, _ = rng.Read(content)
	return content
}

// sameShard makes n contents whose keys begin with the same two digits.
func sameShard(n int) [][]byte {
	var all [][]byte
	for i := uint64(0); len(all) < n; i++ {
		if content := fmt.Appendf(nil, "content %d", i); keyOf(content)[:2] == "00" {
			all = append(all, content)
		}
	}
	return all
}
