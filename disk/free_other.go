//go:build !linux && !darwin

package disk

import (
	"errors"
	"fmt"
)

// Free returns the bytes that an unprivileged writer may still use on the file system that holds dir.
// On this system it is not known how: the error is errors.ErrUnsupported.
func Free(dir string) (bytes uint64, err error) {
	return 0, fmt.Errorf("free space of %s: %w", dir, errors.ErrUnsupported)
}
