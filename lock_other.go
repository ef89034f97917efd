//go:build !unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir makes dir if need be. Where there is no flock, an exclusive lock file
// stands for it, which a crash leaves behind: the error says what to remove.
func lockDir(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w: if no casepress runs on it, remove %s", err, name)
	}
	return func() error {
		if err := f.Close(); err != nil {
			return err
		}
		return os.Remove(name)
	}, nil
}
