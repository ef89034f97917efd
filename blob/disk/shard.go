package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"casepress/blob"
)

// shard is one folder of blobs and what is known of the durability of its entries. Many commits
// wait for one fsync of the folder together.
//
// A rename happens only after the fsync of the file, and no commit relies on an
// entry, its own or one it finds, before an fsync of the folder that began after
// it saw that entry. If that fsync fails, nobody can tell any more which entries
// a later one covers: so every entry since the last good one is removed again.
type shard struct {
	store *store
	dir   string

	mu       sync.Mutex
	created  bool   // the folder is there, durably
	changes  uint64 // entries added or removed so far, what earlier processes left counting as one
	synced   uint64 // how many of them are on stable storage
	pending  []pendingEntry
	doubtful map[string]bool // files that replaced a damaged one, after an fsync that failed
	failures uint64          // fsyncs that failed
	failure  error           // of the latest
	syncing  chan struct{}   // closed when the fsync that is under way ends; nil if none is
}

// pendingEntry is an entry that was added and is not known to be on stable storage.
type pendingEntry struct {
	path     string
	replaced bool // a damaged file had the name
}

// syncPoint is what a commit waits for: that the first changes are all synced, without another
// failure.
type syncPoint struct{ changes, failures uint64 }

func (sh *shard) open(s *store, dir string, created bool) {
	sh.store, sh.dir, sh.created, sh.changes = s, dir, created, 1
}

func (sh *shard) path(k blob.Key, f format) string {
	return filepath.Join(sh.dir, string(k)+string(f))
}

// lookup reports whether the blob has an entry, synced or not, and marks it as used.
func (sh *shard) lookup(path string) (exists bool, at syncPoint, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	info, err := sh.stat(path)
	if info == nil || err != nil || sh.doubtful[path] {
		return false, syncPoint{}, err
	}
	return true, syncPoint{sh.changes, sh.failures}, sh.touch(path, info)
}

// use reports whether the blob has a file of this size, and marks it as used.
func (sh *shard) use(path string, size int64) (exists bool, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	info, err := sh.store.fs.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return false, err
	}
	return true, sh.touch(path, info)
}

// touchAfter is how long ago a blob must have been used for another use to be noted.
const touchAfter = time.Minute

// touch notes that a blob is used, so that it is not collected soon. It is called with mu held.
func (sh *shard) touch(path string, info fs.FileInfo) error {
	if sh.store.now().Sub(info.ModTime()) < touchAfter {
		return nil
	}
	return sh.store.fs.Touch(path)
}

// add renames the synced file temp to the blob's name, unless the blob has an entry by now that is
// not to be replaced.
func (sh *shard) add(temp, path string, replace bool) (renamed bool, at syncPoint, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	info, err := sh.stat(path)
	if err != nil {
		return false, syncPoint{}, err
	}
	if info != nil && !replace && !sh.doubtful[path] {
		return false, syncPoint{sh.changes, sh.failures}, nil
	}
	if !sh.created {
		if err := sh.store.fs.MkdirAll(sh.dir, dirPerm); err != nil {
			return false, syncPoint{}, err
		}
		sh.created = true
	}
	// Counted before it is known to have worked: what a failed rename may have
	// left behind cannot be relied on either.
	sh.changes++
	sh.pending = append(sh.pending, pendingEntry{path, info != nil})
	err = sh.store.fs.Rename(temp, path)
	if err != nil && sh.moveFolderAside(path) {
		err = sh.store.fs.Rename(temp, path)
	}
	if err != nil {
		return false, syncPoint{}, err
	}
	return true, syncPoint{sh.changes, sh.failures}, nil
}

// asideSuffix is of folders that had the name of a blob.
const asideSuffix = ".damaged"

// moveFolderAside makes room for a blob where there is a folder, which no file can replace, and reports whether it did.
func (sh *shard) moveFolderAside(path string) bool {
	info, err := sh.store.fs.Stat(path)
	return err == nil && info.IsDir() && sh.store.fs.Rename(path, path+asideSuffix) == nil
}

// stat describes a file of the shard, nil if there is none; the error is that of a poisoned store too.
func (sh *shard) stat(path string) (fs.FileInfo, error) {
	if err := sh.store.Err(); err != nil {
		return nil, err
	}
	info, err := sh.store.fs.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	return info, nil
}

// waitSynced returns when all changes up to at are on stable storage. Whoever finds no
// fsync under way does one for all; the others wait.
func (sh *shard) waitSynced(ctx context.Context, at syncPoint) error {
	for {
		sh.mu.Lock()
		if sh.failures != at.failures {
			defer sh.mu.Unlock()
			return sh.failure
		}
		if sh.synced >= at.changes {
			sh.mu.Unlock()
			return nil
		}
		syncing := sh.syncing
		if syncing == nil {
			sh.sync()
			continue
		}
		sh.mu.Unlock()
		select {
		case <-syncing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sync does one fsync of the folder. It is called with mu held and releases it.
func (sh *shard) sync() {
	done := make(chan struct{})
	sh.syncing = done
	changes, pending := sh.changes, len(sh.pending)
	sh.mu.Unlock()
	err := timed(sh.store.metrics.folderSync, func() error { return sh.store.fs.SyncDir(sh.dir) })
	sh.mu.Lock()
	if err == nil {
		sh.synced = changes
		for _, e := range sh.pending[:pending] {
			delete(sh.doubtful, e.path)
		}
		sh.pending = append([]pendingEntry(nil), sh.pending[pending:]...)
	} else {
		sh.rollback(fmt.Errorf("sync folder: %w", err))
	}
	sh.syncing = nil
	close(done)
	sh.mu.Unlock()
}

// rollback removes every entry that is not known to be durable and fails all commits
// that wait for one. What earlier processes left stays: it is relied on only after
// the next good fsync. An entry that replaced a damaged file stays too, since good bytes are in it
// and others may need them, but the next commit of the same content replaces it once more.
func (sh *shard) rollback(cause error) {
	sh.failures++
	sh.failure = cause
	for _, e := range sh.pending {
		if e.replaced {
			if sh.doubtful == nil {
				sh.doubtful = make(map[string]bool)
			}
			sh.doubtful[e.path] = true
			continue
		}
		if err := removeIfExists(sh.store.fs, e.path); err != nil {
			cause = fmt.Errorf("%w: %w", blob.ErrPoisoned, errors.Join(cause, err))
			sh.failure = cause
			sh.store.poison.Store(&cause)
			return
		}
	}
	sh.pending = nil
	sh.changes++ // the removals wait for an fsync too
}

// remove deletes the files of a blob in these formats, unless one was used since usedSince; the zero
// time asks for no use. The deletion is durable after a sync like an added entry. bytes are what the
// files took up.
func (sh *shard) remove(k blob.Key, among []format, usedSince time.Time) (removed bool, bytes int64, at syncPoint, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var found []string
	for _, f := range among {
		info, err := sh.stat(sh.path(k, f))
		if err != nil {
			return false, 0, syncPoint{}, err
		}
		if info == nil {
			continue
		}
		if !usedSince.IsZero() && info.ModTime().After(usedSince) {
			return false, 0, syncPoint{}, nil
		}
		found, bytes = append(found, sh.path(k, f)), bytes+info.Size()
	}
	for _, path := range found {
		if err := removeIfExists(sh.store.fs, path); err != nil {
			return false, 0, syncPoint{}, err
		}
		sh.store.verified.remove(path)
		sh.store.corrupt.remove(path)
	}
	sh.changes++
	return len(found) > 0, bytes, syncPoint{sh.changes, sh.failures}, nil
}
