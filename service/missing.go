package service

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/blob"
	"casepress/store"
)

// missingBlobs looks for blobs that rows name and that are gone from the disk: reading all that is there, as a scrub
// does, does not find what is not.
type missingBlobs struct {
	rows  *store.Store
	blobs blob.Store
	dir   string // of the blobs, for people
	log   *slog.Logger

	mu    sync.Mutex
	found map[blob.Key]bool // at most blob.MaxCorrupt
}

func newMissingBlobs(s *Service, c Config) *missingBlobs {
	m := &missingBlobs{
		rows: s.Rows, blobs: s.Blobs, dir: filepath.Join(c.DataDir, blobsFolder), log: c.Logger, found: map[blob.Key]bool{},
	}
	s.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "casepress_blob_missing", Help: "Blobs that rows name and that are gone, at most 1000 of them.",
	}, func() float64 { return float64(m.count()) }))
	return m
}

// look compares all rows with the blobs. The rows must show everything that was accepted so far. It leaves the disk
// alone for half of the time.
func (m *missingBlobs) look(ctx context.Context) error {
	return m.rows.EachBlob(ctx, func(named []string) error {
		start := time.Now()
		var gone []string
		for _, digest := range named {
			there, err := m.isThere(ctx, blob.Key(digest))
			if err != nil {
				return err
			}
			if !there {
				gone = append(gone, digest)
			}
		}
		if err := m.note(ctx, gone); err != nil {
			return err
		}
		select {
		case <-time.After(time.Since(start)):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// isThere reports whether the blob has a file, sound or not.
func (m *missingBlobs) isThere(ctx context.Context, k blob.Key) (bool, error) {
	b, err := m.blobs.Open(ctx, k)
	switch {
	case err == nil:
		return true, b.Close()
	case errors.Is(err, blob.ErrNotFound):
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	return true, nil // what it is that cannot be opened, the scrub tells
}

// note keeps and logs those that are gone and were not dropped on purpose.
func (m *missingBlobs) note(ctx context.Context, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	dropped, err := m.rows.Unneeded(ctx, gone)
	if err != nil {
		return err
	}
	onPurpose := map[string]bool{}
	for _, digest := range dropped {
		onPurpose[digest] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, digest := range gone {
		k := blob.Key(digest)
		if onPurpose[digest] || m.found[k] || len(m.found) >= blob.MaxCorrupt {
			continue
		}
		m.found[k] = true
		m.log.Error("a blob is missing: restore its file from a backup; the same photo handed in again mends a photo or its picture, but not a PDF", "key", digest,
			"file", filepath.Join(m.dir, digest[:2], digest))
	}
	return nil
}

// count returns how many were missing when last looked for. It never waits for the disk.
func (m *missingBlobs) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.found)
}

// recount forgets what was put back or stored again.
func (m *missingBlobs) recount(ctx context.Context) {
	m.mu.Lock()
	found := slices.Collect(maps.Keys(m.found))
	m.mu.Unlock()
	for _, k := range found {
		there, err := m.isThere(ctx, k)
		if err != nil {
			return // the context's
		}
		if there {
			m.mu.Lock()
			delete(m.found, k)
			m.mu.Unlock()
		}
	}
}

const (
	lookRetry   = 10 * time.Second // the pause after a failure
	recountEach = 2 * time.Second  // whether what is missing was put back
)

// lookForMissing looks at the start and once a day, until ctx ends.
func (s *Service) lookForMissing(ctx context.Context, log *slog.Logger) {
	for {
		next := scrubEach
		if err := s.LookForMissing(ctx); err != nil && ctx.Err() == nil {
			next = lookRetry
			log.Error("rows and blobs could not be compared and will be again", "err", err)
		}
		for again := time.Now().Add(next); time.Now().Before(again); {
			select {
			case <-ctx.Done():
				return
			case <-time.After(recountEach):
			}
			s.missing.recount(ctx)
		}
	}
}
