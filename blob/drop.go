package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
)

// holds keeps originals from being dropped between their storing, or being found
// stored, and the moment when others can see that they are needed.
type holds struct {
	mu       sync.Mutex
	held     map[Key]int
	dropping map[Key]chan struct{} // closed when it is decided
}

// take holds k; while k is being dropped it waits.
func (h *holds) take(ctx context.Context, k Key) error {
	for {
		h.mu.Lock()
		wait := h.dropping[k]
		if wait == nil {
			if h.held == nil {
				h.held = make(map[Key]int)
			}
			h.held[k]++
			h.mu.Unlock()
			return nil
		}
		h.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *holds) release(k Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[k]--; h.held[k] == 0 {
		delete(h.held, k)
	}
}

// freeze keeps all keys that nobody holds from being held until thaw. It waits
// until none of keys is being dropped by somebody else.
func (h *holds) freeze(ctx context.Context, keys []Key) (frozen, held []Key, err error) {
	for {
		wait, frozen, held := h.tryFreeze(keys)
		if wait == nil {
			return frozen, held, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (h *holds) tryFreeze(keys []Key) (wait chan struct{}, frozen, held []Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		if wait := h.dropping[k]; wait != nil {
			return wait, nil, nil
		}
	}
	done := make(chan struct{})
	add := make(map[Key]chan struct{}, len(keys))
	for _, k := range keys {
		switch {
		case add[k] != nil: // named twice
		case h.held[k] > 0:
			held = append(held, k)
		default:
			add[k] = done
			frozen = append(frozen, k)
		}
	}
	if h.dropping == nil {
		h.dropping = make(map[Key]chan struct{})
	}
	maps.Copy(h.dropping, add)
	return nil, frozen, held
}

func (h *holds) thaw(frozen []Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, k := range frozen {
		if i == 0 {
			close(h.dropping[k]) // all have the same
		}
		delete(h.dropping, k)
	}
}

// Hold keeps a blob from being dropped until release is called, or says
// [ErrNotFound].
func (s *Store) Hold(ctx context.Context, k Key) (release func(), err error) {
	if !k.Valid() {
		return nil, fmt.Errorf("hold blob %q: %w", k, ErrNotFound)
	}
	if err := s.holds.take(ctx, k); err != nil {
		return nil, fmt.Errorf("hold blob: %w", err)
	}
	there, err := s.hasAny(k, forms)
	if err == nil && !there {
		err = ErrNotFound
	}
	if err != nil {
		s.holds.release(k)
		return nil, fmt.Errorf("hold blob %s: %w", k, err)
	}
	return sync.OnceFunc(func() { s.holds.release(k) }), nil
}

func (s *Store) hasAny(k Key, among []form) (bool, error) {
	for _, f := range among {
		_, err := s.fs.Stat(s.shard(k).path(k, f))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// Has reports whether a blob of this key and size, that was Put, is there.
func (s *Store) Has(k Key, size int64) (bool, error) {
	if !k.Valid() {
		return false, nil
	}
	info, err := s.fs.Stat(s.shard(k).path(k, shared))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for blob: %w", err)
	}
	return info.Mode().IsRegular() && info.Size() == size, nil
}

// Drop deletes those originals among keys that pick returns. pick is asked about
// the ones that nobody holds; until Drop returns, nobody can begin to hold them,
// so what pick learns stays true. busy are the ones that were passed over because
// somebody holds them. On return without an error the deletion is durable; after
// an error it may or may not have happened, and Drop may be called again.
//
// Content that was stored with Put or while originals were kept is never deleted,
// whatever its key.
func (s *Store) Drop(ctx context.Context, keys []Key, pick func(context.Context, []Key) ([]Key, error)) (busy []Key, err error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	there, err := s.droppable(keys)
	if err != nil || len(there) == 0 {
		return nil, err
	}
	free, busy, err := s.holds.freeze(ctx, there)
	if err != nil {
		return nil, fmt.Errorf("drop originals: %w", err)
	}
	defer s.holds.thaw(free)
	if len(free) == 0 {
		return busy, nil
	}
	unneeded, err := pick(ctx, free)
	if err != nil {
		return busy, fmt.Errorf("drop originals: %w", err)
	}
	return busy, s.remove(ctx, unneeded)
}

// droppable are the keys that have an original which may be dropped, or are being
// stored: a key that is held counts as there.
func (s *Store) droppable(keys []Key) (there []Key, err error) {
	for _, k := range keys {
		if !k.Valid() {
			continue
		}
		found, err := s.hasAny(k, droppable)
		if err != nil {
			return nil, fmt.Errorf("drop originals: %w", err)
		}
		if found || s.holds.holds(k) {
			there = append(there, k)
		}
	}
	return there, nil
}

func (h *holds) holds(k Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[k] > 0
}

// remove deletes the originals, then waits until all deletions are durable.
func (s *Store) remove(ctx context.Context, keys []Key) error {
	waits := make([]place, len(keys))
	for i, k := range keys {
		var err error
		if waits[i], err = s.shard(k).remove(k); err != nil {
			return fmt.Errorf("drop original: %w", err)
		}
	}
	for i, k := range keys {
		if err := s.shard(k).settle(ctx, waits[i]); err != nil {
			return fmt.Errorf("drop original: %w", err)
		}
	}
	return nil
}

// remove deletes the files that may be dropped. The deletion is durable after a
// sync like an entry.
func (sh *shard) remove(k Key) (place, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if err := sh.untrusted.Load(); err != nil {
		return place{}, *err
	}
	for _, f := range droppable {
		if err := removeIfThere(sh.fs, sh.path(k, f)); err != nil {
			return place{}, err
		}
	}
	sh.entered++
	return place{sh.entered, sh.failures}, nil
}

// EachOriginal calls visit with the keys of originals that may be dropped, some
// at a time, until it has seen all or visit returns an error.
func (s *Store) EachOriginal(ctx context.Context, visit func([]Key) error) error {
	for i := range s.shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := s.fs.ReadDir(s.shards[i].dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list originals: %w", err)
		}
		var keys []Key
		for _, e := range entries {
			for _, f := range droppable {
				if k := f.keyOfFile(e.Name()); k != "" {
					keys = append(keys, k)
				}
			}
		}
		if len(keys) == 0 {
			continue
		}
		if err := visit(keys); err != nil {
			return err
		}
	}
	return nil
}
