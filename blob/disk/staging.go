package disk

import (
	"fmt"
	"math"
	"sync"

	"casepress/blob"
)

// staging counts what is being received, and refuses uploads beyond its limits.
type staging struct {
	maxUploads int
	maxBytes   int64

	mu      sync.Mutex
	uploads int // what is Put included
	bytes   int64
}

// limit takes the limits from o.
func (s *staging) limit(o Options) error {
	s.maxUploads, s.maxBytes = o.MaxStaged, o.MaxStagedBytes
	switch s.maxUploads {
	case 0:
		s.maxUploads = DefaultMaxStaged
	case -1:
		s.maxUploads = math.MaxInt
	}
	switch s.maxBytes {
	case 0:
		s.maxBytes = DefaultMaxStagedBytes
	case -1:
		s.maxBytes = math.MaxInt64
	}
	if s.maxUploads < 0 || s.maxBytes < 0 {
		return fmt.Errorf("limits of what is staged are %d uploads and %d bytes: they must be positive, 0 for the default or -1 for none", o.MaxStaged, o.MaxStagedBytes)
	}
	return nil
}

// begin counts one more upload, or refuses it if it may be refused.
func (s *staging) begin(refusable bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refusable && s.uploads >= s.maxUploads {
		return fmt.Errorf("%w: %d uploads", blob.ErrStagingFull, s.uploads)
	}
	s.uploads++
	return nil
}

// add counts n more bytes before they are written, or refuses them.
func (s *staging) add(n int64, refusable bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refusable && n > s.maxBytes-s.bytes {
		return fmt.Errorf("%w: %d bytes of at most %d", blob.ErrStagingFull, s.bytes, s.maxBytes)
	}
	s.bytes += n
	return nil
}

// end gives back what an upload has added.
func (s *staging) end(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads--
	s.bytes -= bytes
}

// Staging counts bytes received: see [blob.Store].
func (s *store) Staging() int64 {
	s.staging.mu.Lock()
	defer s.staging.mu.Unlock()
	return s.staging.bytes
}
