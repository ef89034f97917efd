//go:build unix

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Lock holds dir, which exists, for this process until unlock is called or the process ends,
// whatever end that is. Who comes second gets [ErrLocked].
//
// The folder itself is locked, not a file in it that somebody could remove. A file named lock, which
// earlier versions locked instead, is locked too if it is there, so that no such version goes on
// beside this one.
func Lock(dir string) (unlock func() error, err error) {
	unlockDir, err := flock(dir)
	if err != nil {
		return nil, fmt.Errorf("lock folder %s: %w", dir, err)
	}
	unlockFile, err := flock(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return unlockDir, nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock folder %s: %w", dir, err), unlockDir())
	}
	return func() error { return errors.Join(unlockFile(), unlockDir()) }, nil
}

// flock locks a file or folder without waiting.
func flock(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // the file may be a named pipe, whose open would wait
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for errors.Is(err, syscall.EINTR) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	switch {
	case err == nil:
		return f.Close, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(ErrLocked, f.Close())
	case errors.Is(err, syscall.EBADF):
		err = fmt.Errorf("%w: a network file system cannot lock it", err)
	}
	return nil, errors.Join(err, f.Close())
}
