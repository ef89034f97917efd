package disktest

import (
	"errors"
	"io/fs"
	"os"

	"casepress/disk"
)

// faultFile is an open file of a FaultFS.
type faultFile struct {
	disk.File
	fs   *FaultFS
	name string
	flag int
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.fail(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if o := f.fs.check(OpWrite, f.name); o != nil {
		n := 0
		if o.Short {
			n, _ = f.volatile(p[:len(p)/2], off)
		}
		return n, &fs.PathError{Op: "write", Path: f.name, Err: o.Err}
	}
	if f.flag&disk.Durable != 0 {
		if err := f.fs.fail(OpSync, f.name); err != nil {
			_, failed := f.volatile(p, off)
			return 0, errors.Join(err, failed)
		}
	}
	return f.File.WriteAt(p, off)
}

// volatile writes what a failing disk may keep or lose.
func (f *faultFile) volatile(p []byte, off int64) (int, error) {
	if f.flag&disk.Durable == 0 {
		return f.File.WriteAt(p, off)
	}
	const once = disk.Durable | disk.Direct | os.O_CREATE | os.O_EXCL | os.O_TRUNC
	file, err := f.fs.inner.OpenFile(f.name, f.flag&^once, 0)
	if err != nil {
		return 0, err
	}
	n, err := file.WriteAt(p, off)
	return n, errors.Join(err, file.Close())
}

// Write fails like WriteAt, except that to a file opened with disk.Durable a failing one writes nothing.
func (f *faultFile) Write(p []byte) (int, error) {
	durable := f.flag&disk.Durable != 0
	if o := f.fs.check(OpWrite, f.name); o != nil {
		n := 0
		if o.Short && !durable {
			n, _ = f.File.Write(p[:len(p)/2])
		}
		return n, &fs.PathError{Op: "write", Path: f.name, Err: o.Err}
	}
	if durable {
		if err := f.fs.fail(OpSync, f.name); err != nil {
			return 0, err
		}
	}
	return f.File.Write(p)
}

func (f *faultFile) Sync() error {
	if err := f.fs.fail(OpSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.fail(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}
