//go:build linux || darwin

package disk

import (
	"fmt"
	"syscall"
)

// Free returns the bytes that an unprivileged writer may still use on the file system that holds dir.
func Free(dir string) (bytes uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
