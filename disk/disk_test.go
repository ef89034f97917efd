package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/disk"
)

func TestMkdirAllRefusesAFileInTheWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.Error(t, disk.OS.MkdirAll(file, 0o755))
	require.Error(t, disk.OS.MkdirAll(filepath.Join(file, "below"), 0o755))
}

func TestDurableFileReadsBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := disk.OS.OpenFile(name, os.O_RDWR|os.O_CREATE|disk.Durable, 0o644)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("abc"), 2)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	require.Equal(t, int64(5), size)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	require.Error(t, f.Sync(), "closed")
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "\x00\x00abc", string(content))
}

func TestFree(t *testing.T) {
	free, err := disk.Free(t.TempDir())
	require.NoError(t, err)
	require.Positive(t, free)
	_, err = disk.Free(filepath.Join(t.TempDir(), "none"))
	require.Error(t, err)
}
