package disk_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	"casepress/disk"
	"casepress/disk/disktest"
)

func TestPutAndOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "blobs")
	s := open(t, dir, disk.OS)
	var all [][]byte
	for i, size := range []int{0, 1, 511, 512, 513, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1 << 20} {
		all = append(all, blobtest.Random(uint64(i), size))
		require.NoError(t, put(s, all[i]))
	}
	requireNoTemps(t, disk.OS, dir)
	for _, s := range []blob.Store{s, open(t, dir, disk.OS)} {
		for _, content := range all {
			requireStored(t, s, content)
		}
	}
	info, err := os.Stat(filepath.Join(dir, string(blobtest.KeyOf(all[1])[:2]), string(blobtest.KeyOf(all[1]))))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, s.Close())
}

func TestStagePassesTheReadersErrorOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)

	limited := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(bytes.NewReader(blobtest.Random(1, 9000))), 8000)
	_, err := s.Stage(t.Context(), limited)
	tooLarge, ok := errors.AsType[*http.MaxBytesError](err)
	require.True(t, ok)
	require.EqualValues(t, 8000, tooLarge.Limit)

	for name, broken := range map[string]error{
		"broke off": io.ErrUnexpectedEOF, "timeout": iotest.ErrTimeout, "no progress": io.ErrNoProgress,
	} {
		_, err = s.Stage(t.Context(), io.MultiReader(strings.NewReader("begin"), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, name)
	}
	_, err = s.Stage(t.Context(), idleReader{})
	require.ErrorIs(t, err, io.ErrNoProgress)
	requireNoTemps(t, disk.OS, dir)
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestStagedMemoryIsConstant(t *testing.T) {
	s := open(t, t.TempDir(), disk.OS)
	const size = 64 << 20
	stage := func() {
		g, err := s.Stage(t.Context(), io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), size))
		require.NoError(t, err)
		require.EqualValues(t, size, g.Size())
		require.NoError(t, g.Discard())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stage()
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestPutAgainWritesNothing(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	content := blobtest.Random(1, 1000)
	require.NoError(t, put(open(t, root, fsys), content))

	s := open(t, root, fsys) // does not know whether the entry is durable
	syncs, renames, folders := fsys.Count(disktest.OpSync), fsys.Count(disktest.OpRename), fsys.Count(disktest.OpSyncDir)
	for range 3 {
		require.NoError(t, put(s, content))
	}
	require.Equal(t, syncs, fsys.Count(disktest.OpSync))
	require.Equal(t, renames, fsys.Count(disktest.OpRename))
	require.Equal(t, folders+1, fsys.Count(disktest.OpSyncDir))
	requireNoTemps(t, fsys, root)
}

func TestFileOfWrongSizeIsReplaced(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	content := blobtest.Random(1, 1000)
	k := string(blobtest.KeyOf(content))
	require.NoError(t, os.Mkdir(filepath.Join(dir, k[:2]), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, k[:2], k), content[:500], 0o600))
	require.NoError(t, put(s, content))
	requireStored(t, s, content)
}

func TestOpenClearsTemps(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	for range 3 {
		_, err := s.Stage(t.Context(), strings.NewReader("left behind"))
		require.NoError(t, err)
	}
	s = open(t, dir, disk.OS)
	requireNoTemps(t, disk.OS, dir)
	require.NoError(t, put(s, []byte("goes on")))
}
