package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"casepress/blob"
)

// storedFile is a file of a blob.
type storedFile struct {
	key    blob.Key
	format format
	size   int64
	used   time.Time
}

// list are the files of blobs in the shard, by name. Other files are none of the store's.
func (sh *shard) list(ctx context.Context) ([]storedFile, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := sh.store.fs.ReadDir(sh.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []storedFile
	for _, e := range entries {
		k, f := parseName(e.Name())
		if k == "" || !e.Type().IsRegular() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, storedFile{k, f, info.Size(), info.ModTime()})
	}
	return files, nil
}

// parseName is the key and the format of a blob's file, "" if the file is another.
func parseName(name string) (blob.Key, format) {
	for _, f := range formats {
		if k := f.keyOf(name); k != "" {
			return k, f
		}
	}
	return "", ""
}

// Each lists what is stored: see [blob.Store].
func (s *store) Each(ctx context.Context, visit func([]blob.Info) error) error {
	for i := range s.shards {
		files, err := s.shards[i].list(ctx)
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		var infos []blob.Info
		for _, f := range files {
			infos = append(infos, blob.Info{Key: f.key, StoredBytes: f.size, Used: f.used, Droppable: f.format != permanent})
		}
		if len(infos) == 0 {
			continue
		}
		if err := visit(infos); err != nil {
			return err
		}
	}
	return nil
}

// EachOriginal lists originals: see [blob.Store].
func (s *store) EachOriginal(ctx context.Context, visit func([]blob.Key) error) error {
	return s.Each(ctx, func(infos []blob.Info) error {
		var keys []blob.Key
		for _, i := range infos {
			if i.Droppable {
				keys = append(keys, i.Key)
			}
		}
		if len(keys) == 0 {
			return nil
		}
		return visit(keys)
	})
}

// collectBatch is how many blobs are asked about at once: nobody can begin to hold one of them meanwhile.
const collectBatch = 500

// Collect deletes what nobody needs: see [blob.Store].
func (s *store) Collect(ctx context.Context, unused time.Duration, unneeded func(context.Context, []blob.Key) ([]blob.Key, error)) (total blob.Collected, err error) {
	if unused < blob.MinUnused {
		return total, fmt.Errorf("collect blobs: unused for %v is too short: it must be at least %v", unused, blob.MinUnused)
	}
	if err := s.Err(); err != nil {
		return total, fmt.Errorf("collect blobs: %w", err)
	}
	usedSince := s.now().Add(-unused)
	for i := range s.shards {
		keys, err := s.shards[i].unusedKeys(ctx, usedSince)
		if err != nil {
			return total, fmt.Errorf("collect blobs: %w", err)
		}
		for batch := range slices.Chunk(keys, collectBatch) {
			if err := s.shards[i].collect(ctx, batch, usedSince, unneeded, &total); err != nil {
				return total, fmt.Errorf("collect blobs: %w", err)
			}
		}
	}
	return total, nil
}

// now is the time of the clock, as far as it has not been set forward since the store was opened: a
// clock that is set must not make a new blob look old.
func (s *store) now() time.Time {
	now, elapsed := time.Now().Round(0), s.opened.Round(0).Add(time.Since(s.opened))
	if elapsed.Before(now) {
		return elapsed
	}
	return now
}

// unusedKeys are the blobs of which no file was used since usedSince.
func (sh *shard) unusedKeys(ctx context.Context, usedSince time.Time) (keys []blob.Key, err error) {
	files, err := sh.list(ctx)
	if err != nil {
		return nil, err
	}
	used := make(map[blob.Key]bool)
	for _, f := range files {
		used[f.key] = used[f.key] || f.used.After(usedSince)
	}
	for k, used := range used {
		if !used {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// collect deletes those of the keys, all of this shard, that nobody holds or needs.
func (sh *shard) collect(ctx context.Context, keys []blob.Key, usedSince time.Time, unneeded func(context.Context, []blob.Key) ([]blob.Key, error), total *blob.Collected) error {
	holds := &sh.store.holds
	free, _, err := holds.beginDrop(ctx, keys)
	if err != nil {
		return err
	}
	defer holds.endDrop(free)
	if len(free) == 0 {
		return nil
	}
	drop, err := askUnneeded(ctx, free, unneeded)
	if err != nil {
		return err
	}
	var waits []syncPoint
	var done blob.Collected
	defer func() {
		total.Blobs += done.Blobs
		total.Bytes += done.Bytes
		sh.store.metrics.collected.Add(float64(done.Blobs))
	}()
	for _, k := range drop {
		removed, bytes, at, err := sh.remove(k, formats, usedSince)
		if removed {
			waits = append(waits, at)
			done.Blobs++
			done.Bytes += bytes
		}
		if err != nil {
			return err
		}
	}
	for _, at := range waits {
		if err := sh.waitSynced(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// Scrub verifies everything: see [blob.Store].
func (s *store) Scrub(ctx context.Context, bytesPerSecond int64) (total blob.Scrubbed, err error) {
	if bytesPerSecond < 1 {
		return total, fmt.Errorf("scrub blobs: %d bytes a second: it must be at least 1", bytesPerSecond)
	}
	p := pacer{rate: bytesPerSecond, start: time.Now()}
	first := rand.IntN(len(s.shards))
	for i := range s.shards {
		sh := &s.shards[(first+i)%len(s.shards)]
		files, err := sh.list(ctx)
		if err != nil {
			return total, fmt.Errorf("scrub blobs: %w", err)
		}
		for _, f := range files {
			if err := s.scrub(ctx, f, &p, &total); err != nil {
				return total, fmt.Errorf("scrub blobs: %w", err)
			}
		}
	}
	return total, nil
}

// openCost is what opening a file counts as, in bytes read: many small ones are work too.
const openCost = 4 << 10

// scrub verifies one file. The error is that of the context, or says that the process is short of
// something and nothing can be said of the file.
func (s *store) scrub(ctx context.Context, f storedFile, p *pacer, total *blob.Scrubbed) error {
	if err := p.wait(ctx, openCost); err != nil {
		return err
	}
	opened, err := s.openFormat(f.key, f.format)
	if err == nil {
		err = errors.Join(opened.verify(ctx, func(ctx context.Context, n int) error {
			total.Bytes += int64(n)
			s.metrics.scrubbed.Add(float64(n))
			return p.wait(ctx, n)
		}), opened.Close())
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return err
	case errors.Is(err, fs.ErrNotExist): // deleted since it was listed
		return nil
	case err != nil:
		s.foundCorrupt(f.key, s.shard(f.key).path(f.key, f.format), err)
		if len(total.Corrupt) < blob.MaxCorrupt {
			total.Corrupt = append(total.Corrupt, f.key)
		}
	}
	total.Blobs++
	return nil
}

// pacer bounds the rate of reading. What could not be read in time is not made up for.
type pacer struct {
	rate  int64
	start time.Time
	bytes int64
}

// wait returns when n more bytes may be read.
func (p *pacer) wait(ctx context.Context, n int) error {
	p.bytes += int64(n)
	due := time.Duration(float64(p.bytes) / float64(p.rate) * float64(time.Second))
	ahead := due - time.Since(p.start)
	if ahead <= 0 {
		p.start, p.bytes = time.Now(), 0
		return nil
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
