package disktest

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"casepress/disk"
)

const sector = 512

// node is the content of a file: what programs see, and what is on stable storage.
type node struct {
	data  []byte
	disk  []byte
	dirty map[int]bool // sectors written since they were last synced
	sized bool         // the size has changed since it was last synced

	modified time.Time
}

func newNode(content []byte) *node {
	return &node{data: content, disk: append([]byte(nil), content...), dirty: map[int]bool{}, modified: time.Now()}
}

// info describes the file under a name.
func (n *node) info(name string) fileInfo {
	return fileInfo{name: filepath.Base(name), size: int64(len(n.data)), modified: n.modified}
}

func resize(b []byte, n int) []byte {
	if n <= len(b) {
		return b[:n:n]
	}
	return append(b, make([]byte, n-len(b))...)
}

func (n *node) write(p []byte, off int) {
	if end := off + len(p); end > len(n.data) {
		n.data, n.sized = resize(n.data, end), true
	}
	copy(n.data[off:], p)
	n.modified = time.Now()
	for s := off / sector; s*sector < off+len(p); s++ {
		n.dirty[s] = true
	}
}

func (n *node) truncate(size int) {
	n.sized = n.sized || size != len(n.data)
	for s := size / sector; s*sector < len(n.data); s++ {
		n.dirty[s] = true // what is cut off must not come back when the file grows again
	}
	n.data = resize(n.data, size)
	n.modified = time.Now()
}

func (n *node) sync() {
	n.disk = resize(n.disk, len(n.data))
	for s := range n.dirty {
		n.flush(s)
	}
	n.sized = false
	clear(n.dirty)
}

// syncRange is what a durable write does: other parts of the file stay volatile.
func (n *node) syncRange(off, end int) {
	n.disk = resize(n.disk, max(len(n.disk), end))
	for s := off / sector; s*sector < end; s++ {
		n.flush(s)
		delete(n.dirty, s)
	}
}

func (n *node) flush(s int) { copySector(n.disk, n.data, s) }

func copySector(to, from []byte, s int) {
	start, end := s*sector, min((s+1)*sector, len(to), len(from))
	if start < end {
		copy(to[start:end], from[start:end])
	}
}

// afterCut returns what a power cut leaves of the file, volatile blocks surviving as a whole.
func (n *node) afterCut(rng *rand.Rand, keep float64, block int) *node {
	size := len(n.disk)
	if n.sized && rng.Float64() < keep {
		size = len(n.data)
	}
	b := resize(append([]byte(nil), n.disk...), size)
	for s := 0; s*sector < len(n.data); s += block / sector {
		survives := rng.Float64() < keep
		for i := s; survives && i < s+block/sector; i++ {
			if n.dirty[i] {
				copySector(b, n.data, i)
			}
		}
	}
	after := newNode(b)
	after.modified = n.modified
	return after
}

// crashFile is an open file of a CrashFS.
type crashFile struct {
	fs   *CrashFS
	node *node
	name string
	flag int
	pos  int // of Write
}

func (f *crashFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.after != nil {
		return 0, ErrPowerCut
	}
	if err := f.checkBlocks(p, off); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *crashFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.write(p, int(off))
}

func (f *crashFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.flag&os.O_APPEND != 0 {
		f.pos = len(f.node.data)
	}
	n, err := f.write(p, f.pos)
	f.pos += n
	return n, err
}

func (f *crashFile) write(p []byte, off int) (int, error) {
	if f.fs.after != nil {
		return 0, ErrPowerCut
	}
	if f.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrPermission}
	}
	if err := f.checkBlocks(p, int64(off)); err != nil {
		return 0, err
	}
	f.node.write(p, off)
	if err := f.fs.step(); err != nil {
		return 0, err
	}
	if f.flag&disk.Durable != 0 {
		f.node.syncRange(off, off+len(p))
	}
	if err := f.fs.step(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// checkBlocks refuses what is not in whole blocks if the file was opened with disk.Direct. The real disk.OS would get by
// without telling, only slower.
func (f *crashFile) checkBlocks(p []byte, off int64) error {
	if f.flag&disk.Direct == 0 || disk.IsAligned(p) && len(p)%disk.BlockBytes == 0 && off%disk.BlockBytes == 0 {
		return nil
	}
	return &fs.PathError{Op: "use", Path: f.name, Err: fmt.Errorf("%w: %d bytes at %d", ErrNotBlocks, len(p), off)}
}

func (f *crashFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step(); err != nil {
		return err
	}
	f.node.sync()
	return f.fs.step()
}

func (f *crashFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.after != nil {
		return ErrPowerCut
	}
	f.node.truncate(int(size))
	if err := f.fs.step(); err != nil {
		return err
	}
	return f.fs.step()
}

func (f *crashFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.after != nil {
		return 0, ErrPowerCut
	}
	return int64(len(f.node.data)), nil
}

func (f *crashFile) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.after != nil {
		return nil, ErrPowerCut
	}
	return f.node.info(f.name), nil
}

func (f *crashFile) Close() error { return nil }
