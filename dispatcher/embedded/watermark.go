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
	asked   bool          // since the last advance somebody wanted the next
	wanted  chan struct{} // holds a token once somebody wants rows at once
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
	w.next, w.asked = next, false
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

// want lets the recorder write at once what it has gathered.
func (w *watermark) want() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wantLocked()
}

// wantLocked is called with mu held.
func (w *watermark) wantLocked() {
	if w.asked {
		return
	}
	w.asked = true
	select {
	case w.wanted <- struct{}{}:
	default:
	}
}

// wait wants the rows up to next and returns when they are there, or ctx's error.
func (w *watermark) wait(ctx context.Context, next uint64) error { return w.await(ctx, next, true) }

// waitInTime is wait for whoever need not have them at once.
func (w *watermark) waitInTime(ctx context.Context, next uint64) error {
	return w.await(ctx, next, false)
}

func (w *watermark) await(ctx context.Context, next uint64, atOnce bool) error {
	for {
		w.mu.Lock()
		if w.next >= next {
			w.mu.Unlock()
			return nil
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		if atOnce {
			w.wantLocked()
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
