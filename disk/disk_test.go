package disk_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

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

func TestAligned(t *testing.T) {
	for n := 2; n < 200_000; n += 1 + n/3 {
		b := disk.Aligned(n)
		require.Len(t, b, n)
		require.True(t, disk.IsAligned(b))
		require.False(t, disk.IsAligned(b[1:]))
	}
}

// Whole blocks written past the page cache, and anything else as if the flag were not there.
func TestDirectFileReadsBack(t *testing.T) {
	for name, shape := range map[string]struct{ offset, length, skew int }{
		"whole blocks":   {disk.BlockBytes, 2 * disk.BlockBytes, 0},
		"odd offset":     {100, disk.BlockBytes, 0},
		"odd length":     {0, 300, 0},
		"unaligned data": {0, disk.BlockBytes, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			f, err := disk.OS.OpenFile(path, os.O_RDWR|os.O_CREATE|disk.Durable|disk.Direct, 0o644)
			require.NoError(t, err)
			want := disk.Aligned(shape.skew + shape.length)[shape.skew:]
			for i := range want {
				want[i] = byte(i * 7)
			}
			for range 2 {
				_, err = f.WriteAt(want, int64(shape.offset))
				require.NoError(t, err)
			}
			got := disk.Aligned(shape.skew + shape.length)[shape.skew:]
			_, err = f.ReadAt(got, int64(shape.offset))
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NoError(t, f.Close())
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, want, content[shape.offset:])
		})
	}
}

func TestTouch(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, []byte("abc"), 0o644))
	old := time.Now().Add(-48 * time.Hour)
	require.NoError(t, os.Chtimes(name, old, old))
	f, err := disk.OS.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	require.NoError(t, disk.OS.Touch(name))
	info, err := f.Stat()
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), info.ModTime(), time.Hour)
	require.EqualValues(t, 3, info.Size())
	require.ErrorIs(t, disk.OS.Touch(name+"x"), os.ErrNotExist)
}
