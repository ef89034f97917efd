package disk_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/disk"
)

// A file system that does not let a file be opened this way.
func TestDirectWhereItIsRefused(t *testing.T) {
	const name = "/proc/self/stat"
	_, err := os.OpenFile(name, os.O_RDONLY|disk.Direct, 0)
	require.Error(t, err, "else this tests nothing")
	f, err := disk.OS.OpenFile(name, os.O_RDONLY|disk.Direct, 0)
	require.NoError(t, err)
	n, err := f.ReadAt(disk.Aligned(disk.BlockBytes), 0)
	require.Positive(t, n, "%v", err)
	require.NoError(t, f.Close())
	_, err = disk.OS.OpenFile("/proc/none", os.O_RDONLY|disk.Direct, 0)
	require.ErrorIs(t, err, os.ErrNotExist)
}
