package disk_test

import (
	"bytes"
	"context"
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
	blobdisk "casepress/blob/disk"
	"casepress/disk"
	"casepress/disk/disktest"
)

func TestPutAndOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "blobs")
	s := open(t, dir, disk.OS)
	var all [][]byte
	for i, size := range []int{0, 1, 511, 512, 513, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1 << 20} {
		all = append(all, random(uint64(i), size))
		require.NoError(t, put(s, all[i]))
	}
	requireNoTemps(t, disk.OS, dir)
	for _, s := range []*blobdisk.Store{s, open(t, dir, disk.OS)} {
		for _, content := range all {
			requireStored(t, s, content)
		}
	}
	info, err := os.Stat(filepath.Join(dir, string(keyOf(all[1])[:2]), string(keyOf(all[1]))))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, s.Close())
}

func TestOpenUnknown(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	good := string(keyOf(nil))
	for name, k := range map[string]string{
		"no such blob": good,
		"empty":        "",
		"short":        good[:63],
		"long":         good + "0",
		"upper case":   strings.ToUpper(good),
		"no hex":       "g" + good[1:],
		"path":         "../../" + good[6:],
		"zero byte":    "\x00" + good[1:],
	} {
		_, err := s.Open(t.Context(), blob.Key(k))
		require.ErrorIs(t, err, blob.ErrNotFound, name)
		require.Equal(t, name == "no such blob", blob.Key(k).Valid(), name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Open(ctx, blob.Key(good))
	require.ErrorIs(t, err, context.Canceled)
}

func TestStage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	content := random(1, 300_000)
	g, err := s.Stage(t.Context(), iotest.HalfReader(bytes.NewReader(content)))
	require.NoError(t, err)
	require.Equal(t, keyOf(content), g.Key())
	require.EqualValues(t, len(content), g.Size())
	for range 2 {
		got, err := io.ReadAll(g.Open())
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got))
	}
	_, err = s.Open(t.Context(), g.Key())
	require.ErrorIs(t, err, blob.ErrNotFound, "visible before Commit")

	require.NoError(t, g.Commit(t.Context()))
	requireStored(t, s, content)
	require.NoError(t, g.Discard())
	require.ErrorIs(t, g.Commit(t.Context()), os.ErrClosed)
	requireNoTemps(t, disk.OS, dir)
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	g, err := s.Stage(t.Context(), strings.NewReader("never mind"))
	require.NoError(t, err)
	require.NoError(t, g.Discard())
	require.NoError(t, g.Discard())
	_, err = s.Open(t.Context(), g.Key())
	require.ErrorIs(t, err, blob.ErrNotFound)
	requireNoTemps(t, disk.OS, dir)
}

func TestStagePassesTheReadersErrorOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)

	limited := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(bytes.NewReader(random(1, 9000))), 8000)
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

func TestContextEndsAStageBetweenReads(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	_, err := s.Stage(ctx, readerFunc(func(p []byte) (int, error) {
		if reads++; reads == 3 {
			cancel()
		}
		return len(p) / 2, nil
	}))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, reads)
	requireNoTemps(t, disk.OS, dir)
}

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
	content := random(1, 1000)
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
	content := random(1, 1000)
	k := string(keyOf(content))
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
