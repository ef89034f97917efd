package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// maintenance does what commits must not wait for: it prepares the next segment and closes the full ones. Its goroutine runs
// while there is something to do.
type maintenance struct {
	log *Log

	making      turn // taken while a segment is prepared
	ready       *prepared
	failedAhead bool  // to prepare the segment that is needed next
	failed      error // why it could not be prepared when it was needed
	failedAt    time.Time
	hurry       atomic.Bool // a commit waits for the segment

	closing turn // taken while a segment is closed or dropped

	mu      sync.Mutex
	want    *plan      // nil if nothing is asked for
	toClose []*segment // full; they wait for their files to be cut to size and their indexes to be written
	asked   bool       // there is something to do that the goroutine does not know of
	running bool       // the goroutine
	stopped bool       // it does not start again
	runs    sync.WaitGroup
}

func newMaintenance(l *Log) *maintenance {
	return &maintenance{log: l, making: make(turn, 1), closing: make(turn, 1)}
}

// A turn is a lock that is held while the disk is waited for.
type turn chan struct{}

func (t turn) take() { t <- struct{}{} }
func (t turn) end()  { <-t }

// wake lets the goroutine do what there is to do.
func (m *maintenance) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = true
	if m.running || m.stopped {
		return
	}
	m.running = true
	m.runs.Go(m.run)
}

func (m *maintenance) hasToClose() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.toClose) > 0
}

// goesOn says whether there is something more to do; if not, the goroutine ends.
func (m *maintenance) goesOn() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = m.asked && !m.stopped
	m.asked = false
	return m.running
}

// prepareAhead asks for a segment that will soon be needed.
func (m *maintenance) prepareAhead(p plan) {
	m.mu.Lock()
	asked := m.want != nil
	m.want = &p
	m.mu.Unlock()
	if !asked {
		m.wake()
	}
}

// next returns a prepared segment for a batch of so many bytes, and prepares it now if it is not there. When preparing
// ahead had failed, the segment is small and zeroed in full, so that what is written to it later needs no more room on
// the disk. After a failure it fails for a while without trying, so that a full disk is not filled up by tries.
func (m *maintenance) next(want plan, batch int) (*prepared, error) {
	m.hurry.Store(true)
	defer m.hurry.Store(false)
	m.making.take()
	defer m.making.end()
	p := m.ready
	if p == nil {
		if m.failed != nil && time.Since(m.failedAt) < prepareRetry {
			return nil, m.failed
		}
		want.least = int64(headerBytes + batch + batchBytes)
		hurry := &m.hurry
		if m.failedAhead {
			want.limit, want.zero = min(want.limit, max(firstSegmentBytes, want.limit/smallFraction, roundUp(want.least))), true
			hurry = new(atomic.Bool)
		}
		var err error
		if p, err = m.prepareNow(want, hurry); err != nil {
			m.failed, m.failedAt, m.failedAhead = err, time.Now(), true
			return nil, err
		}
	}
	m.ready, m.failed, m.failedAhead = nil, nil, false
	m.mu.Lock()
	m.want = nil
	m.mu.Unlock()
	return p, nil
}

// prepareRetry is how long nothing is prepared after a failure to.
const prepareRetry = time.Second

// prepareNow makes a segment file that a commit waits for. It is counted among the open files and not in the background: a place
// there may be free only when other logs have zeroed a whole segment.
func (m *maintenance) prepareNow(want plan, hurry *atomic.Bool) (*prepared, error) {
	m.log.opts.Files.takePlace()
	defer m.log.opts.Files.freePlace()
	return prepare(m.log.opts.FS, m.log.dir, want, hurry)
}

// closeLater hands over a full segment.
func (m *maintenance) closeLater(seg *segment) {
	m.mu.Lock()
	m.toClose = append(m.toClose, seg)
	m.mu.Unlock()
	m.wake()
}

func (m *maintenance) run() {
	for m.goesOn() {
		m.prepareWanted()
		// A segment that could not be closed stays as it is, which costs a scan at the next Open;
		// it is tried again with the next one and by Close, which reports it.
		_ = m.closeAll()
	}
}

// prepareWanted prepares what is asked for, unless a commit has prepared it while this waited for its place.
func (m *maintenance) prepareWanted() {
	defer m.log.opts.Files.enterBackground()() // before making, which commits take
	m.making.take()
	defer m.making.end()
	m.mu.Lock()
	asked := m.want
	m.mu.Unlock()
	if asked == nil || m.ready != nil || m.failed != nil && time.Since(m.failedAt) < prepareRetry {
		return
	}
	want := *asked
	hurry := &m.hurry
	if m.failedAhead { // then it is zeroed in full here too, or left to next, which makes a small one
		want.zero, hurry = true, new(atomic.Bool)
	}
	p, err := prepare(m.log.opts.FS, m.log.dir, want, hurry)
	m.ready, m.failedAhead = p, err != nil
}

func (m *maintenance) closeAll() error {
	m.mu.Lock()
	todo := m.toClose
	m.toClose = nil
	m.mu.Unlock()
	var failed []*segment
	var errs []error
	for _, seg := range todo {
		if err := m.closeSegment(seg); err != nil {
			failed, errs = append(failed, seg), append(errs, err)
		}
	}
	m.mu.Lock()
	m.toClose = append(failed, m.toClose...)
	m.mu.Unlock()
	return errors.Join(errs...)
}

// closeSegment cuts the segment's file to its real size, then writes its index: an index is there only for
// a file that is complete.
func (m *maintenance) closeSegment(seg *segment) error {
	defer m.log.opts.Files.enterBackground()()
	m.closing.take()
	defer m.closing.end()
	m.log.state.RLock()
	size, dropped, content := seg.size, seg.dropped, encodeIndex(seg)
	m.log.state.RUnlock()
	if dropped {
		return nil
	}
	err := m.cut(seg.path, size)
	if err == nil {
		err = saveIndex(m.log.opts.FS, seg.indexPath(), content)
	}
	if err != nil {
		return fmt.Errorf("close segment %s: %w", filepath.Base(seg.path), err)
	}
	m.log.state.Lock()
	seg.indexed = true
	m.log.state.Unlock()
	return nil
}

// cut makes a file so long, durably.
func (m *maintenance) cut(path string, size int64) error {
	f, err := m.log.opts.FS.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// close ends the goroutine after a last try to close what is left, and removes the prepared segment.
func (m *maintenance) close() error {
	m.mu.Lock()
	m.stopped = true
	m.mu.Unlock()
	m.runs.Wait()
	err := m.closeAll()
	if m.ready != nil {
		err = errors.Join(err, m.ready.discard(m.log.opts.FS))
	}
	return err
}
