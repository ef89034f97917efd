package disktest

import (
	"fmt"
	"io/fs"
	"sync"

	"casepress/disk"
)

// Op names a kind of operation of a FaultFS.
type Op string

// The kinds of operations. A write to a file opened with disk.Durable counts as OpWrite and then, when
// that has worked, as OpSync.
const (
	OpOpen     Op = "open"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpSync     Op = "sync"
	OpTruncate Op = "truncate"
	OpMkdir    Op = "mkdir"
	OpReadDir  Op = "readdir"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpStat     Op = "stat"
	OpSyncDir  Op = "syncdir"
	OpTouch    Op = "touch"
)

// Fault is an order to fail.
type Fault struct {
	Op     Op                     // "" for every kind
	N      int                    // 1 fails the next such operation, 2 the one after it
	Err    error                  // such as syscall.ENOSPC or syscall.EIO
	Sticky bool                   // all later ones fail too
	Short  bool                   // a write that fails has written the first half
	Match  func(name string) bool // only operations on such names count; nil for all
}

// FaultFS passes operations on to another file system, counts them and fails those it is told to. An
// operation that fails does nothing, except that a write may be short and that data whose sync fails
// are written but not durable. It is safe for concurrent use.
type FaultFS struct {
	inner disk.FS
	mu    sync.Mutex
	count map[Op]int
	fault *Fault
	seen  int // operations the fault applies to
	fired int
}

// NewFault wraps a file system; without faults it changes nothing.
func NewFault(inner disk.FS) *FaultFS { return &FaultFS{inner: inner, count: map[Op]int{}} }

// Inject orders a fault, in place of an earlier one. N counts from here.
func (f *FaultFS) Inject(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.seen, f.fired = &fault, 0, 0
}

// Heal ends all faults.
func (f *FaultFS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = nil
}

// Fired returns how often the last fault has struck.
func (f *FaultFS) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Count returns how many operations of a kind there were, "" for all kinds.
func (f *FaultFS) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op != "" {
		return f.count[op]
	}
	total := 0
	for _, n := range f.count {
		total += n
	}
	return total
}

// check counts an operation and returns the fault that strikes it.
func (f *FaultFS) check(op Op, name string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[op]++
	o := f.fault
	if o == nil || o.Op != "" && o.Op != op || o.Match != nil && !o.Match(name) {
		return nil
	}
	f.seen++
	if f.seen < o.N || f.seen > o.N && !o.Sticky {
		return nil
	}
	f.fired++
	return o
}

func (f *FaultFS) fail(op Op, name string) error {
	if o := f.check(op, name); o != nil {
		return &fs.PathError{Op: string(op), Path: name, Err: o.Err}
	}
	return nil
}

// OpenFile counts as OpOpen.
func (f *FaultFS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	if err := f.fail(OpOpen, name); err != nil {
		return nil, err
	}
	file, err := f.inner.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fs: f, name: name, flag: flag}, nil
}

// MkdirAll counts as OpMkdir.
func (f *FaultFS) MkdirAll(dir string, perm fs.FileMode) error {
	if err := f.fail(OpMkdir, dir); err != nil {
		return err
	}
	return f.inner.MkdirAll(dir, perm)
}

// ReadDir counts as OpReadDir.
func (f *FaultFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	if err := f.fail(OpReadDir, dir); err != nil {
		return nil, err
	}
	return f.inner.ReadDir(dir)
}

// Rename counts as OpRename; Match is asked about the new name.
func (f *FaultFS) Rename(from, to string) error {
	if err := f.fail(OpRename, to); err != nil {
		return err
	}
	return f.inner.Rename(from, to)
}

// Remove counts as OpRemove.
func (f *FaultFS) Remove(name string) error {
	if err := f.fail(OpRemove, name); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// Stat counts as OpStat.
func (f *FaultFS) Stat(name string) (fs.FileInfo, error) {
	if err := f.fail(OpStat, name); err != nil {
		return nil, err
	}
	return f.inner.Stat(name)
}

// SyncDir counts as OpSyncDir.
func (f *FaultFS) SyncDir(dir string) error {
	if err := f.fail(OpSyncDir, dir); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// Touch counts as OpTouch.
func (f *FaultFS) Touch(name string) error {
	if err := f.fail(OpTouch, name); err != nil {
		return err
	}
	return f.inner.Touch(name)
}

func (f *FaultFS) String() string { return fmt.Sprintf("FaultFS after %d operations", f.Count("")) }
