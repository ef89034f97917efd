package store

import (
	"context"
	"fmt"
	"sync"

	"casepress/tasks"
)

// claims keeps the progress of the attempts that this process holds, in memory only: it changes often,
// and an attempt that a restart interrupts begins anew. Its zero value is ready for use.
type claims struct {
	mu    sync.RWMutex
	byRef map[tasks.Ref]claim
}

// claim is a held attempt. Its progress belongs to the row at one version only.
type claim struct {
	attempt     int
	version     int64 // Row.Version when claimed
	done, total int
	steps       int64 // changes of done and total, less than 1<<progressBits
}

// Progress says how far the attempt has come. It is shown at once, wakes those who watch the
// submission, and is not written to disk. [ErrStale] if the attempt no longer holds the submission.
func (s *Store) Progress(ctx context.Context, h Held, done, total int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.claims.advance(h, done, total) {
		return fmt.Errorf("progress %s %s: %w", h.Kind, h.ID, ErrStale)
	}
	s.watchers.signal([]tasks.Ref{h.Ref})
	return nil
}

func (c *claims) begin(ref tasks.Ref, held claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byRef == nil {
		c.byRef = make(map[tasks.Ref]claim)
	}
	c.byRef[ref] = held
}

func (c *claims) end(ref tasks.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byRef, ref)
}

func (c *claims) advance(h Held, done, total int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	held, ok := c.byRef[h.Ref]
	if !ok || held.attempt != h.Attempt {
		return false
	}
	held.done, held.total = done, total
	held.steps = min(held.steps+1, 1<<progressBits-1)
	c.byRef[h.Ref] = held
	return true
}

// progress is what the attempt last reported, zero if nothing.
func (c *claims) progress(h Held) (done, total int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	held := c.byRef[h.Ref]
	if held.attempt != h.Attempt {
		return 0, 0
	}
	return held.done, held.total
}

// showIn adds progress to a row that was read at the version it belongs to.
func (c *claims) showIn(r *Row) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if held, ok := c.byRef[r.Ref()]; ok && held.version == r.Version {
		r.Done, r.Total, r.Version = held.done, held.total, r.Version+held.steps
	}
}
