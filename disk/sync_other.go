//go:build !linux

package disk

import (
	"errors"
	"io/fs"
	"os"
)

// Durable is a flag of OpenFile: each write returns only when what it wrote, and what is needed to
// read that back, is on stable storage, as if a Sync of just that range had followed. A write that
// returns an error is to be treated like a failed Sync.
//
// On this system each write is followed by a Sync: O_SYNC itself, on macOS, does not make the drive
// write its cache.
const Durable = os.O_SYNC

// Direct is a flag of OpenFile: reads and writes go past the page cache if the file system can do that, and through it
// as usual if it cannot. On this system it does nothing. The caller keeps to whole blocks: see [BlockBytes] and [Aligned].
const Direct = 0

func openFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag&^Durable, perm)
	if err != nil {
		return nil, err
	}
	if flag&Durable != 0 {
		return durableFile{osFile{f}}, nil
	}
	return osFile{f}, nil
}

// Sync is os.File's, which on macOS asks the drive itself to write its cache (F_FULLFSYNC).
func (f osFile) Sync() error { return f.File.Sync() }

// durableFile syncs after each write.
type durableFile struct{ osFile }

func (f durableFile) Write(p []byte) (int, error) {
	n, err := f.osFile.Write(p)
	return n, errors.Join(err, f.Sync())
}

func (f durableFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.osFile.WriteAt(p, off)
	return n, errors.Join(err, f.Sync())
}
