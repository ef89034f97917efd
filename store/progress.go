package store

import (
	"context"
	"fmt"
	"sync"
)

// claims keeps the progress of the attempts that this process holds, in memory
// only: it changes often, and an attempt that a restart interrupts begins anew.
// Its zero value is ready for use.
type claims struct {
	mu   sync.RWMutex
	byID map[string]claim
}

// claim is a held attempt. Its progress belongs to the row at one version only.
type claim struct {
	attempt     int
	version     int64 // Row.Version when claimed
	done, total int
	steps       int64 // changes of done and total, less than 1<<progressBits
}

// Progress says how far the attempt has come. It is shown at once, wakes those
// who watch the report, and is not written to disk. [ErrStale] if the attempt no
// longer holds the report, which tells its worker to stop.
func (s *Store) Progress(ctx context.Context, id string, attempt, done, total int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.claims.advance(id, attempt, done, total) {
		return fmt.Errorf("progress %s: %w", id, ErrStale)
	}
	s.watchers.signal([]string{id})
	return nil
}

func (c *claims) begin(id string, held claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = make(map[string]claim)
	}
	c.byID[id] = held
}

func (c *claims) end(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, id)
}

func (c *claims) advance(id string, attempt, done, total int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	held, ok := c.byID[id]
	if !ok || held.attempt != attempt {
		return false
	}
	held.done, held.total = done, total
	held.steps = min(held.steps+1, 1<<progressBits-1)
	c.byID[id] = held
	return true
}

// progress is what the attempt last reported, zero if nothing.
func (c *claims) progress(id string, attempt int) (done, total int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	held := c.byID[id]
	if held.attempt != attempt {
		return 0, 0
	}
	return held.done, held.total
}

// showIn adds progress to a row that was read at the version it belongs to.
func (c *claims) showIn(r *Row) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if held, ok := c.byID[r.ID]; ok && held.version == r.Version {
		r.Done, r.Total, r.Version = held.done, held.total, r.Version+held.steps
	}
}
