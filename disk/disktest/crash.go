// Package disktest keeps file systems for tests: CrashFS, in memory, which loses what a power cut loses,
// and FaultFS, around any other, which fails where a full or broken disk fails. It never touches a
// real disk on its own.
package disktest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"casepress/disk"
)

// ErrPowerCut is what every operation returns after the power cut that CutAt ordered.
var ErrPowerCut = errors.New("power cut")

// ErrNotBlocks is the answer to a read or write of a file opened with disk.Direct that is not of whole blocks, or not
// from aligned memory.
var ErrNotBlocks = errors.New("not in whole blocks")

// CrashFS is a file system in memory that remembers what is on stable storage. Synced data and synced
// folder entries survive a power cut. Of unsynced writes any blocks may survive, of 512 bytes or 4 KiB;
// a file's size may be the old or the new one; a created, renamed or removed entry may be old or new
// until SyncDir, whether the file itself was synced or not. It insists on whole blocks where disk.Direct asks for them.
// It is safe for concurrent use.
type CrashFS struct {
	mu      sync.Mutex
	rng     *rand.Rand
	names   map[string]*node // as a running program sees them
	dirs    map[string]bool  // folders are durable as soon as they are made
	durable map[string]*node // entries on stable storage
	pending []*entryChange   // entries that are not, oldest first
	points  int
	cutAt   int // 0 for never
	keep    float64
	after   *CrashFS
}

// NewCrash returns an empty file system. The seed decides what power cuts leave.
func NewCrash(seed uint64) *CrashFS {
	return &CrashFS{
		rng:     rand.New(rand.NewPCG(seed, seed)),
		names:   map[string]*node{},
		dirs:    map[string]bool{},
		durable: map[string]*node{},
	}
}

// CrashClone returns the disk as it may look if the power failed now: each volatile block and entry
// survives with probability keep. The original goes on undisturbed.
func (c *CrashFS) CrashClone(keep float64) *CrashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clone(keep)
}

// CutAt lets the power fail at the n-th point from now, 1 being the next. Each operation that changes
// something has two points: when it has taken effect for running programs and nothing of it is durable
// yet, and when it is done. From then on all operations return ErrPowerCut.
func (c *CrashFS) CutAt(n int, keep float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutAt, c.keep = c.points+n, keep
}

// AfterCut returns the disk that the power cut left, nil if there was none yet.
func (c *CrashFS) AfterCut() *CrashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.after
}

// Points returns how many points were passed, for choosing one for CutAt.
func (c *CrashFS) Points() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.points
}

// ForgetDirty does what a kernel may do after a sync failed: what was written stays readable, but no
// later sync will put it on stable storage, unless it is written again.
func (c *CrashFS) ForgetDirty() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.names {
		clear(n.dirty)
	}
}

// step passes a point; c is locked.
func (c *CrashFS) step() error {
	if c.after != nil {
		return ErrPowerCut
	}
	c.points++
	if c.points == c.cutAt {
		c.after = c.clone(c.keep)
		return ErrPowerCut
	}
	return nil
}

func (c *CrashFS) clone(keep float64) *CrashFS {
	next := NewCrash(c.rng.Uint64())
	next.dirs = maps.Clone(c.dirs)
	block := []int{sector, 8 * sector}[c.rng.IntN(2)]
	copies := map[*node]*node{}
	for name, n := range c.entriesAfterCut(keep) {
		if copies[n] == nil {
			copies[n] = n.afterCut(c.rng, keep, block)
		}
		next.names[name], next.durable[name] = copies[n], copies[n]
	}
	return next
}

// MkdirAll makes folders, durably.
func (c *CrashFS) MkdirAll(dir string, _ fs.FileMode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step(); err != nil {
		return err
	}
	for d := filepath.Clean(dir); !c.dirs[d]; d = filepath.Dir(d) {
		if c.names[d] != nil {
			return &fs.PathError{Op: "mkdir", Path: d, Err: fs.ErrExist}
		}
		c.dirs[d] = true
	}
	return c.step()
}

// OpenFile opens or creates a file whose folder is there.
func (c *CrashFS) OpenFile(name string, flag int, _ fs.FileMode) (disk.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = filepath.Clean(name)
	if c.after != nil {
		return nil, ErrPowerCut
	}
	n := c.names[name]
	switch {
	case c.dirs[name]:
		return nil, disk.NotFile(name, fs.ModeDir)
	case n == nil && flag&os.O_CREATE == 0, !c.dirs[filepath.Dir(name)]:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n != nil && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	}
	if n == nil {
		n = newNode(nil)
		if err := c.change(&entryChange{dir: filepath.Dir(name), set: map[string]*node{name: n}}); err != nil {
			return nil, err
		}
	} else if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		if err := c.step(); err != nil {
			return nil, err
		}
		n.truncate(0)
		if err := c.step(); err != nil {
			return nil, err
		}
	}
	return &crashFile{fs: c, node: n, name: name, flag: flag}, nil
}

// Rename moves a file.
func (c *CrashFS) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	n := c.names[from]
	if n == nil || !c.dirs[filepath.Dir(to)] {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	fromDir, toDir := filepath.Dir(from), filepath.Dir(to)
	if fromDir == toDir {
		return c.change(&entryChange{dir: toDir, set: map[string]*node{from: nil, to: n}})
	}
	arrival := &entryChange{dir: toDir, set: map[string]*node{to: n}}
	if err := c.change(arrival); err != nil {
		return err
	}
	return c.change(&entryChange{dir: fromDir, set: map[string]*node{from: nil}, only: arrival})
}

// Remove deletes a file or an empty folder.
func (c *CrashFS) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = filepath.Clean(name)
	if c.dirs[name] {
		for other := range c.names {
			if strings.HasPrefix(other, name+string(filepath.Separator)) {
				return &fs.PathError{Op: "remove", Path: name, Err: errors.New("folder is not empty")}
			}
		}
		delete(c.dirs, name)
		return c.step()
	}
	if c.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	return c.change(&entryChange{dir: filepath.Dir(name), set: map[string]*node{name: nil}})
}

// SyncDir makes the entries of one folder durable.
func (c *CrashFS) SyncDir(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step(); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if !c.dirs[dir] {
		return &fs.PathError{Op: "sync", Path: dir, Err: fs.ErrNotExist}
	}
	c.syncEntries(dir)
	return c.step()
}

// ReadDir lists a folder.
func (c *CrashFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir = filepath.Clean(dir)
	if c.after != nil {
		return nil, ErrPowerCut
	}
	if !c.dirs[dir] {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: fs.ErrNotExist}
	}
	var found []string
	for name := range c.names {
		if filepath.Dir(name) == dir {
			found = append(found, name)
		}
	}
	for name := range c.dirs {
		if filepath.Dir(name) == dir && name != dir {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	entries := make([]fs.DirEntry, len(found))
	for i, name := range found {
		entries[i] = fs.FileInfoToDirEntry(c.info(name))
	}
	return entries, nil
}

// Stat describes a file or folder.
func (c *CrashFS) Stat(name string) (fs.FileInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = filepath.Clean(name)
	if c.after != nil {
		return nil, ErrPowerCut
	}
	if c.names[name] == nil && !c.dirs[name] {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return c.info(name), nil
}

// Touch makes a file look modified now. The time survives a power cut.
func (c *CrashFS) Touch(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after != nil {
		return ErrPowerCut
	}
	n := c.names[filepath.Clean(name)]
	if n == nil {
		return &fs.PathError{Op: "touch", Path: name, Err: fs.ErrNotExist}
	}
	n.modified = time.Now()
	return nil
}

func (c *CrashFS) info(name string) fileInfo {
	if n := c.names[name]; n != nil {
		return n.info(name)
	}
	return fileInfo{name: filepath.Base(name), dir: c.dirs[name]}
}

func (c *CrashFS) String() string { return fmt.Sprintf("CrashFS at point %d", c.Points()) }
