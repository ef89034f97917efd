package disk

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Direct is a flag of OpenFile: reads and writes go past the page cache if the file system can do that, and through it
// as usual if it cannot, which is found out when the file is opened or first used. Either way what one file reads and
// what another one wrote agree. The caller keeps to whole blocks: see [BlockBytes] and [Aligned].
const Direct = syscall.O_DIRECT

func openFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&Direct != 0 {
		f, err := os.OpenFile(name, flag, perm)
		if err == nil {
			return directFile{osFile{f}}, nil
		}
		if !errors.Is(err, syscall.EINVAL) {
			return nil, err
		}
	}
	f, err := os.OpenFile(name, flag&^Direct, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// directFile is a file that leaves the page cache out until the file system refuses that.
type directFile struct{ osFile }

func (f directFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.osFile.ReadAt(p, off)
	if errors.Is(err, syscall.EINVAL) && f.undirect() == nil {
		return f.osFile.ReadAt(p, off)
	}
	return n, err
}

func (f directFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.osFile.WriteAt(p, off)
	if errors.Is(err, syscall.EINVAL) && f.undirect() == nil {
		return f.osFile.WriteAt(p, off)
	}
	return n, err
}

// undirect makes the open file one like any other; that its writes are durable does not change.
func (f directFile) undirect() error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	failed := conn.Control(func(fd uintptr) {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if errno == 0 {
			_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETFL, flags&^Direct)
		}
		if errno != 0 {
			err = errno
		}
	})
	return errors.Join(failed, err)
}
