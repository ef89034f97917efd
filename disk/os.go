package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// OS is the file system of this machine.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if err := checkFile(name); err != nil {
		return nil, err
	}
	return openFile(name, flag, perm)
}

// checkFile refuses what is no file before it is opened, since the open of a named pipe waits for whoever opens its other end.
// Whatever else there is to say the open itself says.
func checkFile(name string) error {
	info, err := os.Stat(name)
	if err != nil || info.Mode().IsRegular() {
		return nil
	}
	return NotFile(name, info.Mode())
}

// NotFile is the [ErrNotFile] of what is at name.
func NotFile(name string, mode fs.FileMode) error {
	kind := "something else"
	switch mode.Type() {
	case fs.ModeDir:
		kind = "a folder"
	case fs.ModeNamedPipe:
		kind = "a named pipe"
	case fs.ModeSocket:
		kind = "a socket"
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		kind = "a device"
	}
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w but %s: move it away", ErrNotFile, kind)}
}

func (osFS) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }
func (osFS) Rename(from, to string) error              { return os.Rename(from, to) }
func (osFS) Remove(name string) error                  { return os.Remove(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }

func (osFS) Touch(name string) error { return os.Chtimes(name, time.Time{}, time.Now()) }

func (osFS) SyncDir(dir string) error {
	d, err := os.OpenFile(dir, folderOnly, 0)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync folder: %w", err), d.Close())
	}
	return d.Close()
}

func (o osFS) MkdirAll(dir string, perm fs.FileMode) error {
	return mkdirAll(filepath.Clean(dir), perm, o.SyncDir)
}

// mkdirAll works from the top down and syncs each parent before it goes on. So when an earlier call was
// killed half-way, only the entry of the deepest folder that exists can be volatile: that parent is
// synced again even if nothing is created.
func mkdirAll(dir string, perm fs.FileMode, syncDir func(string) error) error {
	parent := filepath.Dir(dir)
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: errNoFolder}
	case err == nil:
		if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil // a parent that may not be opened was not made by us
	case !errors.Is(err, fs.ErrNotExist) || parent == dir:
		return err
	}
	if err := mkdirAll(parent, perm, syncDir); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, perm); {
	case errors.Is(err, fs.ErrExist): // somebody else has made it by now, or it is a link that leads nowhere
		if _, err := os.Stat(dir); err != nil {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: errNoFolder}
		}
	case err != nil:
		return err
	}
	return syncDir(parent)
}

var errNoFolder = errors.New("exists and is not a folder: move it away")

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
