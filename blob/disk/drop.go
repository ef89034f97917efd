package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"casepress/blob"
	"casepress/disk"
)

// Hold keeps an original from being dropped: see [blob.Store].
func (s *store) Hold(ctx context.Context, k blob.Key) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !k.Valid() {
		return nil, fmt.Errorf("hold blob %q: %w", k, blob.ErrNotFound)
	}
	if err := s.holds.acquire(ctx, k); err != nil {
		return nil, fmt.Errorf("hold blob: %w", err)
	}
	exists, err := s.hasAny(k, formats)
	if err == nil && !exists {
		err = blob.ErrNotFound
	}
	if err != nil {
		s.holds.release(k)
		return nil, fmt.Errorf("hold blob %s: %w", k, err)
	}
	return sync.OnceFunc(func() { s.holds.release(k) }), nil
}

func (s *store) hasAny(k blob.Key, among []format) (bool, error) {
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
func (s *store) Drop(ctx context.Context, keys []blob.Key, unneeded func(context.Context, []blob.Key) ([]blob.Key, error)) (held []blob.Key, err error) {
	if err := errors.Join(ctx.Err(), s.Err()); err != nil {
		return nil, err
	}
	present, err := s.originalsAmong(ctx, keys)
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
	drop, err := askUnneeded(ctx, free, unneeded)
	if err != nil {
		return held, fmt.Errorf("drop originals: %w", err)
	}
	return held, s.remove(ctx, drop)
}

// originalsAmong are the keys that have an original which may be dropped, or are being
// stored: a key that is held counts as there.
func (s *store) originalsAmong(ctx context.Context, keys []blob.Key) (present []blob.Key, err error) {
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("drop originals: %w", err)
		}
		if !k.Valid() {
			continue
		}
		found, err := s.hasAny(k, droppableFormats)
		if err != nil {
			return nil, fmt.Errorf("drop originals: %w", err)
		}
		if found || s.holds.has(k) {
			present = append(present, k)
		}
	}
	return present, nil
}

// askUnneeded asks which of the keys are unneeded, and refuses any other key: that might be held.
func askUnneeded(ctx context.Context, keys []blob.Key, unneeded func(context.Context, []blob.Key) ([]blob.Key, error)) ([]blob.Key, error) {
	answer, err := unneeded(ctx, keys)
	if err != nil {
		return nil, err
	}
	asked := make(map[blob.Key]bool, len(keys))
	for _, k := range keys {
		asked[k] = true
	}
	for _, k := range answer {
		if !asked[k] {
			return nil, fmt.Errorf("blob %q is called unneeded, but that was not the question", k)
		}
	}
	return answer, nil
}

// remove deletes the originals, then waits until all deletions are durable.
func (s *store) remove(ctx context.Context, keys []blob.Key) error {
	waits := make([]syncPoint, len(keys))
	for i, k := range keys {
		err := ctx.Err()
		if err != nil {
			return fmt.Errorf("drop originals: %w", err)
		}
		if _, _, waits[i], err = s.shard(k).remove(k, droppableFormats, time.Time{}); err != nil {
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
