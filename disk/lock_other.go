//go:build !unix

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Lock holds dir, which exists, for this process until unlock is called. Who comes second gets
// [ErrLocked]. There is no flock on this system: an exclusive lock file stands for it, which a crash
// leaves behind. The error says what to remove then.
func Lock(dir string) (unlock func() error, err error) {
	name := filepath.Join(dir, lockName)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("lock folder %s: %w; if there is none, remove %s", dir, ErrLocked, name)
	}
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	return func() error { return errors.Join(f.Close(), os.Remove(name)) }, nil
}
