package service

import (
	"fmt"
	"sync"
	"time"

	"casepress/disk"
)

// room tells whether there is more free disk space than a floor. What it measures is kept for a second, so that a
// burst does not pay for it.
type room struct {
	dir   string
	floor int64 // bytes; 0 or less: there is always room

	mu         sync.Mutex // guards the rest
	measuredAt time.Time
	err        error
}

const measureEach = time.Second

// check returns an error unless there is room.
func (r *room) check() error {
	if r.floor <= 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.measuredAt) >= measureEach {
		r.err = r.measure()
		r.measuredAt = time.Now()
	}
	return r.err
}

func (r *room) measure() error {
	free, err := disk.Free(r.dir)
	if err != nil {
		return fmt.Errorf("free disk: %w", err)
	}
	if free < uint64(r.floor) {
		return fmt.Errorf("%d bytes of disk are free, and %d must stay free", free, r.floor)
	}
	return nil
}
