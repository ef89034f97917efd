package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"casepress/disk"
)

// shard is one folder of blobs and what is known of its durability. Many commits
// wait for one fsync of the folder together.
//
// A rename happens only after the fsync of the file, and no commit trusts an
// entry, its own or one it finds, before an fsync of the folder that began after
// it saw that entry. If that fsync fails, nobody can tell any more which entries
// a later one covers: so every entry since the last good one is removed again.
type shard struct {
	fs  disk.FS
	dir string

	untrusted *atomic.Pointer[error] // of the whole store: set when an entry could not be removed

	mu       sync.Mutex
	made     bool          // the folder is there, durably
	entered  uint64        // entries made so far, what earlier processes left counting as one
	durable  uint64        // how many of them are on stable storage
	recent   []string      // the files of those that are not
	failures uint64        // fsyncs that failed
	failure  error         // of the latest
	underway chan struct{} // closed when the fsync that is under way ends; nil if none is
}

// place is what a commit waits for: that all of entered are durable, without
// another failure.
type place struct{ entered, failures uint64 }

func (sh *shard) open(fsys disk.FS, dir string, made bool, untrusted *atomic.Pointer[error]) {
	sh.fs, sh.dir, sh.made, sh.untrusted, sh.entered = fsys, dir, made, untrusted, 1
}

func (sh *shard) path(k Key, f form) string { return filepath.Join(sh.dir, string(k)+string(f)) }

// find reports whether the blob has an entry, durable or not.
func (sh *shard) find(e entry) (there bool, at place, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	there, err = sh.has(e)
	return there, place{sh.entered, sh.failures}, err
}

// enter moves the synced file temp to its place, unless the blob has an entry by now.
func (sh *shard) enter(temp string, e entry) (moved bool, at place, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	there, err := sh.has(e)
	if err != nil {
		return false, place{}, err
	}
	if !sh.made {
		if err := sh.fs.MkdirAll(sh.dir, dirPerm); err != nil {
			return false, place{}, err
		}
		sh.made = true
	}
	if !there {
		// Counted before it is known to have worked: what a failed rename may have
		// left behind is not to be trusted either.
		sh.entered++
		sh.recent = append(sh.recent, e.path)
		if err := sh.fs.Rename(temp, e.path); err != nil {
			return false, place{}, err
		}
	}
	return !there, place{sh.entered, sh.failures}, nil
}

func (sh *shard) has(e entry) (bool, error) {
	if err := sh.untrusted.Load(); err != nil {
		return false, *err
	}
	info, err := sh.fs.Stat(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	return e.whole(info)
}

// settle returns when all entries up to at are on stable storage. Whoever finds no
// fsync under way does one for all; the others wait.
func (sh *shard) settle(ctx context.Context, at place) error {
	for {
		sh.mu.Lock()
		if sh.failures != at.failures {
			defer sh.mu.Unlock()
			return sh.failure
		}
		if sh.durable >= at.entered {
			sh.mu.Unlock()
			return nil
		}
		underway := sh.underway
		if underway == nil {
			sh.lead()
			continue
		}
		sh.mu.Unlock()
		select {
		case <-underway:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lead does one fsync of the folder. It is called with mu held and releases it.
func (sh *shard) lead() {
	done := make(chan struct{})
	sh.underway = done
	upTo, covers := sh.entered, len(sh.recent)
	sh.mu.Unlock()
	err := sh.fs.SyncDir(sh.dir)
	sh.mu.Lock()
	if err == nil {
		sh.durable = upTo
		sh.recent = append([]string(nil), sh.recent[covers:]...)
	} else {
		sh.fail(fmt.Errorf("sync folder: %w", err))
	}
	sh.underway = nil
	close(done)
	sh.mu.Unlock()
}

// fail removes every entry that is not known to be durable and fails all commits
// that wait for one. What earlier processes left stays: it is only trusted after
// the next good fsync.
func (sh *shard) fail(err error) {
	sh.failures++
	sh.failure = err
	for _, file := range sh.recent {
		if rm := removeIfThere(sh.fs, file); rm != nil {
			err = fmt.Errorf("%w: %w", ErrUntrusted, errors.Join(err, rm))
			sh.failure = err
			sh.untrusted.Store(&err)
			return
		}
	}
	sh.recent = nil
	sh.entered++ // the removals wait for an fsync like entries
}

func removeIfThere(fsys disk.FS, name string) error {
	err := fsys.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
