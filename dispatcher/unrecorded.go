package dispatcher

import (
	"context"
	"sync"
)

// unrecorded holds the submissions whose fate the rows cannot tell yet: being
// published, or published and not recorded. It lets a second submission with the
// same key wait for the first instead of racing it.
//
// mu guards the maps and every entry's settled fields until its done is closed.
type unrecorded struct {
	mu      sync.Mutex
	byKey   map[string]*entry
	waiting map[string][]*entry // published entries by topic, in offset order as near as publishing allows
}

// entry is one submission on its way. digest, receipt and err are fixed before
// done is closed.
type entry struct {
	key     string
	done    chan struct{}
	receipt Receipt
	err     error
}

func newUnrecorded() *unrecorded {
	return &unrecorded{byKey: map[string]*entry{}, waiting: map[string][]*entry{}}
}

// claim returns the entry for key and whether the caller owns it and so has to
// settle it; otherwise the caller waits for entry.done.
func (u *unrecorded) claim(key string) (e *entry, owner bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e, ok := u.byKey[key]; ok {
		return e, false
	}
	e = &entry{key: key, done: make(chan struct{})}
	u.byKey[key] = e
	return e, true
}

// drop settles e without keeping it: the rows already tell its story, or nothing
// was accepted.
func (u *unrecorded) drop(e *entry, r Receipt, err error) {
	u.mu.Lock()
	delete(u.byKey, e.key)
	u.mu.Unlock()
	e.receipt, e.err = r, err
	close(e.done)
}

// keep settles e as accepted and keeps it until the topic's rows have come past
// its sequence, which may have happened already.
func (u *unrecorded) keep(topic string, recorded *watermark, e *entry, r Receipt) {
	u.mu.Lock()
	e.receipt = r
	if recorded.passed(r.Sequence) {
		delete(u.byKey, e.key)
	} else {
		u.waiting[topic] = append(u.waiting[topic], e)
	}
	u.mu.Unlock()
	close(e.done)
}

// forget lets go of every entry of topic below next. It must be called after
// the topic's watermark has advanced to next.
func (u *unrecorded) forget(topic string, next uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	kept := u.waiting[topic][:0]
	for _, e := range u.waiting[topic] {
		if e.receipt.Sequence < next {
			delete(u.byKey, e.key)
		} else {
			kept = append(kept, e)
		}
	}
	clear(u.waiting[topic][len(kept):])
	u.waiting[topic] = kept
}

func (u *unrecorded) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.byKey)
}

// watermark is the offset up to which something has been done, exclusive.
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

// wait returns when everything below next has been done, or ctx's error.
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
