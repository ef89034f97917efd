package disk

import (
	"context"
	"maps"
	"sync"

	"casepress/blob"
)

// holds keeps originals from being dropped between their storing, or being found
// stored, and the moment when others can see that they are needed.
type holds struct {
	mu       sync.Mutex
	held     map[blob.Key]int
	dropping map[blob.Key]chan struct{} // closed when it is decided
}

// acquire holds k; while k is being dropped it waits.
func (h *holds) acquire(ctx context.Context, k blob.Key) error {
	for {
		h.mu.Lock()
		wait := h.dropping[k]
		if wait == nil {
			if h.held == nil {
				h.held = make(map[blob.Key]int)
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

func (h *holds) release(k blob.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[k]--; h.held[k] == 0 {
		delete(h.held, k)
	}
}

// beginDrop keeps all keys that nobody holds from being held until endDrop. It waits
// until none of keys is being dropped by somebody else.
func (h *holds) beginDrop(ctx context.Context, keys []blob.Key) (free, held []blob.Key, err error) {
	for {
		wait, free, held := h.tryBeginDrop(keys)
		if wait == nil {
			return free, held, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (h *holds) tryBeginDrop(keys []blob.Key) (wait chan struct{}, free, held []blob.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		if wait := h.dropping[k]; wait != nil {
			return wait, nil, nil
		}
	}
	done := make(chan struct{})
	add := make(map[blob.Key]chan struct{}, len(keys))
	for _, k := range keys {
		switch {
		case add[k] != nil: // named twice
		case h.held[k] > 0:
			held = append(held, k)
		default:
			add[k] = done
			free = append(free, k)
		}
	}
	if h.dropping == nil {
		h.dropping = make(map[blob.Key]chan struct{})
	}
	maps.Copy(h.dropping, add)
	return nil, free, held
}

func (h *holds) endDrop(free []blob.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, k := range free {
		if i == 0 {
			close(h.dropping[k]) // all have the same
		}
		delete(h.dropping, k)
	}
}

func (h *holds) has(k blob.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[k] > 0
}
