package store

import "sync"

// watchers keeps who wants to hear of changes to which row. Its zero value is
// ready for use.
type watchers struct {
	mu     sync.Mutex
	closed bool
	byID   map[string]map[chan struct{}]struct{}
}

// Watch returns a channel that gets a signal after each committed change of the
// report, progress included; several changes in a row may give one signal. To
// miss nothing, watch first and read the row then. The report need not exist
// yet. The channel is closed by stop, which must be called, and by Close.
func (s *Store) Watch(id string) (changed <-chan struct{}, stop func()) {
	ch := s.watchers.add(id)
	return ch, func() { s.watchers.remove(id, ch) }
}

func (w *watchers) add(id string) chan struct{} {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		close(ch)
		return ch
	}
	if w.byID == nil {
		w.byID = make(map[string]map[chan struct{}]struct{})
	}
	if w.byID[id] == nil {
		w.byID[id] = make(map[chan struct{}]struct{})
	}
	w.byID[id][ch] = struct{}{}
	return ch
}

func (w *watchers) remove(id string, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.byID[id][ch]; !ok {
		return // removed already, or closed with the store
	}
	delete(w.byID[id], ch)
	if len(w.byID[id]) == 0 {
		delete(w.byID, id)
	}
	close(ch)
}

func (w *watchers) signal(ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		for ch := range w.byID[id] {
			select {
			case ch <- struct{}{}:
			default: // a signal is waiting already
			}
		}
	}
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, channels := range w.byID {
		for ch := range channels {
			close(ch)
		}
	}
	w.byID = nil
}
