package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

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
	store *Store
	dir   string

	mu       sync.Mutex
	created  bool          // the folder is there, durably
	changes  uint64        // entries added or removed so far, what earlier processes left counting as one
	synced   uint64        // how many of them are on stable storage
	pending  []string      // the files of added entries that are not
	failures uint64        // fsyncs that failed
	failure  error         // of the latest
	syncing  chan struct{} // closed when the fsync that is under way ends; nil if none is
}

// syncPoint is what a commit waits for: that the first changes are all synced, without another
// failure.
type syncPoint struct{ changes, failures uint64 }

func (sh *shard) open(s *Store, dir string, created bool) {
	sh.store, sh.dir, sh.created, sh.changes = s, dir, created, 1
}

func (sh *shard) path(k blob.Key, f format) string {
	return filepath.Join(sh.dir, string(k)+string(f))
}

// lookup reports whether the blob has an entry, synced or not.
func (sh *shard) lookup(target blobFile) (exists bool, at syncPoint, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	exists, err = sh.has(target)
	return exists, syncPoint{sh.changes, sh.failures}, err
}

// add renames the synced file temp to the blob's name, unless the blob has an entry by now.
func (sh *shard) add(temp string, target blobFile) (renamed bool, at syncPoint, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	exists, err := sh.has(target)
	if err != nil {
		return false, syncPoint{}, err
	}
	if !sh.created {
		if err := sh.store.fs.MkdirAll(sh.dir, dirPerm); err != nil {
			return false, syncPoint{}, err
		}
		sh.created = true
	}
	if !exists {
		// Counted before it is known to have worked: what a failed rename may have
		// left behind cannot be relied on either.
		sh.changes++
		sh.pending = append(sh.pending, target.path)
		if err := sh.store.fs.Rename(temp, target.path); err != nil {
			return false, syncPoint{}, err
		}
	}
	return !exists, syncPoint{sh.changes, sh.failures}, nil
}

func (sh *shard) has(target blobFile) (bool, error) {
	if err := sh.store.Err(); err != nil {
		return false, err
	}
	info, err := sh.store.fs.Stat(target.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	return target.complete(info)
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
		sh.pending = append([]string(nil), sh.pending[pending:]...)
	} else {
		sh.rollback(fmt.Errorf("sync folder: %w", err))
	}
	sh.syncing = nil
	close(done)
	sh.mu.Unlock()
}

// rollback removes every entry that is not known to be durable and fails all commits
// that wait for one. What earlier processes left stays: it is relied on only after
// the next good fsync.
func (sh *shard) rollback(cause error) {
	sh.failures++
	sh.failure = cause
	for _, file := range sh.pending {
		if err := removeIfExists(sh.store.fs, file); err != nil {
			cause = fmt.Errorf("%w: %w", blob.ErrPoisoned, errors.Join(cause, err))
			sh.failure = cause
			sh.store.poison.Store(&cause)
			return
		}
	}
	sh.pending = nil
	sh.changes++ // the removals wait for an fsync too
}

// remove deletes the files of an original that may be dropped. The deletion is durable after a
// sync like an added entry.
func (sh *shard) remove(k blob.Key) (syncPoint, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if err := sh.store.Err(); err != nil {
		return syncPoint{}, err
	}
	for _, f := range droppableFormats {
		if err := removeIfExists(sh.store.fs, sh.path(k, f)); err != nil {
			return syncPoint{}, err
		}
	}
	sh.changes++
	return syncPoint{sh.changes, sh.failures}, nil
}
