package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"casepress/blob"
	"casepress/disk"
)

// Hold keeps an original from being dropped: see [blob.Store].
func (s *Store) Hold(ctx context.Context, k blob.Key) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !k.Valid() {
		return nil, fmt.Errorf("hold blob %q: %w", k, blob.ErrNotFound)
	}
	if err := s.holds.acquire(ctx, k); err != nil {
		return nil, fmt.Errorf("hold blob: %w", err)
	}
	there, err := s.hasAny(k, formats)
	if err == nil && !there {
		err = blob.ErrNotFound
	}
	if err != nil {
		s.holds.release(k)
		return nil, fmt.Errorf("hold blob %s: %w", k, err)
	}
	return sync.OnceFunc(func() { s.holds.release(k) }), nil
}

func (s *Store) hasAny(k blob.Key, among []format) (bool, error) {
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

// Drop deletes originals that nobody needs: see [blob.Store].
func (s *Store) Drop(ctx context.Context, keys []blob.Key, unneeded func(context.Context, []blob.Key) ([]blob.Key, error)) (held []blob.Key, err error) {
	if err := errors.Join(ctx.Err(), s.Err()); err != nil {
		return nil, err
	}
	present, err := s.droppable(keys)
	if err != nil || len(present) == 0 {
		return nil, err
	}
	free, held, err := s.holds.beginDrop(ctx, present)
	if err != nil {
		return nil, fmt.Errorf("drop originals: %w", err)
	}
	defer s.holds.endDrop(free)
	if len(free) == 0 {
		return held, nil
	}
	drop, err := unneeded(ctx, free)
	if err != nil {
		return held, fmt.Errorf("drop originals: %w", err)
	}
	return held, s.remove(ctx, drop)
}

// droppable are the keys that have an original which may be dropped, or are being
// stored: a key that is held counts as there.
func (s *Store) droppable(keys []blob.Key) (there []blob.Key, err error) {
	for _, k := range keys {
		if !k.Valid() {
			continue
		}
		found, err := s.hasAny(k, droppableFormats)
		if err != nil {
			return nil, fmt.Errorf("drop originals: %w", err)
		}
		if found || s.holds.holds(k) {
			there = append(there, k)
		}
	}
	return there, nil
}

// remove deletes the originals, then waits until all deletions are durable.
func (s *Store) remove(ctx context.Context, keys []blob.Key) error {
	waits := make([]syncPoint, len(keys))
	for i, k := range keys {
		var err error
		if waits[i], err = s.shard(k).remove(k); err != nil {
			return fmt.Errorf("drop original: %w", err)
		}
	}
	for i, k := range keys {
		if err := s.shard(k).waitSynced(ctx, waits[i]); err != nil {
			return fmt.Errorf("drop original: %w", err)
		}
	}
	return nil
}

func removeIfExists(fsys disk.FS, name string) error {
	err := fsys.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// EachOriginal lists originals: see [blob.Store].
func (s *Store) EachOriginal(ctx context.Context, visit func([]blob.Key) error) error {
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
		var keys []blob.Key
		for _, e := range entries {
			for _, f := range droppableFormats {
				if k := f.keyOf(e.Name()); k != "" {
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
