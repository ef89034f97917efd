package service

import (
	"fmt"
	"sync"
	"time"

	"casepress/disk"
)

// freeDisk tells whether there is more free disk space than a floor. What it measures is kept for a second, so that a
// burst does not pay for it.
type freeDisk struct {
	dir   string
	floor int64 // bytes; 0 or less: there is always room

	mu         sync.Mutex // guards the rest
	measuredAt time.Time
	err        error
}

const measureEach = time.Second

// check returns an error unless there is room.
func (d *freeDisk) check() error {
	if d.floor <= 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.measuredAt) >= measureEach {
		d.err = d.measure()
		d.measuredAt = time.Now()
	}
	return d.err
}

func (d *freeDisk) measure() error {
	free, err := disk.Free(d.dir)
	if err != nil {
		return fmt.Errorf("free disk: %w", err)
	}
	if free < uint64(d.floor) {
		return fmt.Errorf("%d bytes of disk are free, and %d must stay free", free, d.floor)
	}
	return nil
}
