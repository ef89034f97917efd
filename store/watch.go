package store

import (
	"sync"

	"casepress/tasks"
)

// watchers keeps who wants to hear of changes to which row. Its zero value is ready for use.
type watchers struct {
	mu     sync.Mutex
	closed bool
	byRef  map[tasks.Ref]map[chan struct{}]struct{}
}

// Watch returns a channel that gets a signal after each committed change of the submission, progress
// included, and with an empty ID after each of any of the kind; several changes in a row may give one signal. To miss nothing, watch first and read the row
// then. The submission need not exist yet. The channel is closed by stop, which must be called, and by Close.
func (s *Store) Watch(ref tasks.Ref) (changed <-chan struct{}, stop func()) {
	ch := s.watchers.add(ref)
	return ch, func() { s.watchers.remove(ref, ch) }
}

func (w *watchers) add(ref tasks.Ref) chan struct{} {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		close(ch)
		return ch
	}
	if w.byRef == nil {
		w.byRef = make(map[tasks.Ref]map[chan struct{}]struct{})
	}
	if w.byRef[ref] == nil {
		w.byRef[ref] = make(map[chan struct{}]struct{})
	}
	w.byRef[ref][ch] = struct{}{}
	return ch
}

func (w *watchers) remove(ref tasks.Ref, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.byRef[ref][ch]; !ok {
		return // removed already, or closed with the store
	}
	delete(w.byRef[ref], ch)
	if len(w.byRef[ref]) == 0 {
		delete(w.byRef, ref)
	}
	close(ch)
}

func (w *watchers) signal(refs []tasks.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ref := range refs {
		w.wake(ref)
		if ref.ID != "" {
			w.wake(tasks.Ref{Kind: ref.Kind})
		}
	}
}

func (w *watchers) wake(ref tasks.Ref) {
	for ch := range w.byRef[ref] {
		select {
		case ch <- struct{}{}:
		default: // a signal is waiting already
		}
	}
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, channels := range w.byRef {
		for ch := range channels {
			close(ch)
		}
	}
	w.byRef = nil
}
