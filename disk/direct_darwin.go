package disk

import (
	"io/fs"
	"os"
)

// Direct is a flag of OpenFile: reads and writes go past the page cache if the file system can do that, and through it
// as usual if it cannot. On this system it does nothing. The caller keeps to whole blocks: see [BlockBytes] and [Aligned].
const Direct = 0

// openFile leaves O_SYNC out for a file that is opened with [Durable]: on macOS it does not make the drive flush its
// cache. Sync does, by F_FULLFSYNC, and follows each write.
func openFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag&^Durable, perm)
	if err != nil {
		return nil, err
	}
	if flag&Durable != 0 {
		return flushedFile{osFile{f}}, nil
	}
	return osFile{f}, nil
}

// flushedFile is a file whose writes return when the drive has flushed its cache.
type flushedFile struct{ osFile }

func (f flushedFile) Write(p []byte) (int, error) {
	n, err := f.osFile.Write(p)
	if err == nil {
		err = f.Sync()
	}
	return n, err
}

func (f flushedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.osFile.WriteAt(p, off)
	if err == nil {
		err = f.Sync()
	}
	return n, err
}
