// Package disk keeps the seam between casepress and the file system and never keeps data of its own:
// what is durable, and when, is decided by its callers and stated in the contract of each method.
//
// [OS] is the real file system. Package disk/disktest has two more that lose what a power cut loses
// and fail where a full or broken disk fails.
package disk

import (
	"errors"
	"io"
	"io/fs"
)

// ErrNotFile says that something else has the name of a file: a folder, a named pipe, a socket or a device. The message names it.
var ErrNotFile = errors.New("not a file")

// File is an open file. Its methods may be used from several goroutines at once, except Write.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Writer
	io.Closer

	// Sync returns when the file's data, and what is needed to read it back (its size), are on stable
	// storage. It does not make the file's folder entry durable: see [FS.SyncDir]. After an error
	// nothing may be concluded about any earlier write, and a second Sync that succeeds proves nothing.
	Sync() error

	// Truncate changes the size. Added bytes read as zero. Durable after the next Sync.
	Truncate(size int64) error

	// Size returns the current size in bytes.
	Size() (int64, error)

	// Stat describes the open file, whatever its name now means.
	Stat() (fs.FileInfo, error)
}

// FS is a file system. Names are paths as package os takes them.
type FS interface {
	// OpenFile opens a file with the flags of package os, [Durable] and [Direct]. What is no file, such as a folder or a named
	// pipe, is [ErrNotFile]. Links are followed.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)

	// MkdirAll creates a folder and its missing parents; on return all of them are durable.
	MkdirAll(dir string, perm fs.FileMode) error

	// ReadDir lists a folder, sorted by name.
	ReadDir(dir string) ([]fs.DirEntry, error)

	// Rename moves a file, replacing what is there. After a power cut either the old or the new state
	// is found, unless SyncDir of the target's folder made it durable.
	Rename(from, to string) error

	// Remove deletes a file or an empty folder. Durable after SyncDir of its folder.
	Remove(name string) error

	// Stat describes a file; the error is fs.ErrNotExist when there is none.
	Stat(name string) (fs.FileInfo, error)

	// Touch sets the time of a file's last modification to now. A power cut may undo that.
	Touch(name string) error

	// SyncDir returns when the folder's entries are on stable storage.
	SyncDir(dir string) error
}
