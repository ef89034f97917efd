package embedded

import (
	"context"
	"sync"
)

// watermark is the offset up to which the rows of a topic have come, exclusive.
type watermark struct {
	mu      sync.Mutex
	next    uint64
	changed chan struct{} // closed and replaced at each advance; nil while nobody waits
	wanted  chan struct{} // holds a token once somebody waits
}

func newWatermark(next uint64) *watermark {
	return &watermark{next: next, wanted: make(chan struct{}, 1)}
}

func (w *watermark) advance(next uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if next <= w.next {
		return
	}
	w.next = next
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

func (w *watermark) passed(offset uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next > offset
}

// wait returns when the rows have come to next, or ctx's error.
func (w *watermark) wait(ctx context.Context, next uint64) error {
	for {
		w.mu.Lock()
		if w.next >= next {
			w.mu.Unlock()
			return nil
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
			select {
			case w.wanted <- struct{}{}:
			default:
			}
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *watermark) value() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}
