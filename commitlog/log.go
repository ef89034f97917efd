package commitlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Log is an append-only log in one folder, which belongs to one open Log at a time. All methods may be
// called from any number of goroutines.
//
// Two locks, never held together except mu outside state: mu guards what producers and the committer
// share and is held for a copy of the payloads; state guards what readers see and is held for a few
// assignments.
type Log struct {
	dir  string
	opts Options
	cut  *Cut // what Open has cut off

	mu         sync.Mutex
	filling    *batch // what producers add to
	failed     error  // why no more is taken: ErrPoisoned or ErrClosed, wrapped
	refusing   error  // why nothing is taken at this moment: discard is under way
	closing    bool
	waiting    atomic.Int32  // producers that wait for the filling batch
	committing bool          // there is a committer
	committer  wakeup        // there is something to commit, or the log is closing
	finished   chan struct{} // closed when the last committer has ended

	state    sync.RWMutex
	segments []*segment    // never empty; the last is active
	changed  chan struct{} // closed at the next growth or failure; nil while nobody waits
	broken   error         // as failed, for those who wait
	shut     bool          // closed: readers get no more
	discards discards
	end      atomic.Uint64

	active      activeFile // the committer's alone
	next        *prepared  // likewise: the segment that the batch taken last needs
	unsealed    error      // likewise: why Close could not seal the log, though nothing is wrong with it
	buffers     buffers    // likewise
	recent      recent
	maintenance *maintenance
	idle        idleReaders
	dropMu      sync.Mutex
	doomed      []*segment // dropped from segments, not yet from the folder
	closeMu     sync.Mutex
}

// Start returns the offset of the oldest record that is kept, or End if none is.
func (l *Log) Start() uint64 {
	l.state.RLock()
	defer l.state.RUnlock()
	return l.segments[0].base
}

// End returns the offset that follows the last record on stable storage. It never goes back.
func (l *Log) End() uint64 { return l.end.Load() }

// Err returns nil while the log takes records, and once it is poisoned the error that every Append gets.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.failed, ErrPoisoned) {
		return l.failed
	}
	return nil
}

// Wait returns nil as soon as End is greater than offset. It ends with the error of ctx, ErrClosed
// or ErrPoisoned if that comes first.
func (l *Log) Wait(ctx context.Context, offset uint64) error {
	for {
		changed, err := l.growth(offset)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// growth returns a channel that is closed when something changes, or nil when the wait for offset is over.
func (l *Log) growth(offset uint64) (<-chan struct{}, error) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.end.Load() > offset {
		return nil, nil
	}
	if l.broken != nil {
		return nil, l.broken
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed, nil
}

// announce wakes those who wait for growth; state is locked.
func (l *Log) announce() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Close commits what was appended, marks the log as closed in good order and ends all goroutines.
// Later calls get ErrClosed, or ErrPoisoned if that came first. It returns the failure that poisoned the log, if one
// did, and what hindered it from tidying up; whatever it returns, no acknowledged record is lost.
func (l *Log) Close() error {
	l.closeMu.Lock()
	defer l.closeMu.Unlock()
	l.mu.Lock()
	again := l.closing
	l.closing = true
	l.mu.Unlock()
	if again {
		return nil
	}
	l.wakeCommitter()
	<-l.finished
	l.stop(ErrClosed)
	l.state.Lock()
	l.shut = true
	l.state.Unlock()
	l.recent.clear()
	var unused error
	if l.next != nil { // a commit failed that needed it, or had no room
		unused = l.next.discard(l.opts.FS)
	}
	return errors.Join(l.Err(), l.unsealed, l.active.close(), unused, l.maintenance.close(), l.idle.close())
}

// stop refuses all further records with this error, unless another came first, and fails those that
// wait in the filling batch.
func (l *Log) stop(err error) {
	l.mu.Lock()
	if l.failed == nil {
		l.failed = err
	}
	b := l.filling
	l.filling = nil
	l.mu.Unlock()
	if b != nil {
		b.finish(err)
	}
	l.state.Lock()
	if l.broken == nil {
		l.broken = err
	}
	l.announce()
	l.state.Unlock()
}

func (l *Log) poison(cause error) error {
	err := fmt.Errorf("%w: %w", ErrPoisoned, cause)
	l.stop(err)
	return err
}
