package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"casepress/disk"
)

// fullSegment is a segment that waits for its file to be cut to size and its index to be written.
type fullSegment struct {
	seg  *segment
	file disk.File
}

// maintenance does what commits must not wait for: it prepares the next segment and closes the full ones.
type maintenance struct {
	log *Log

	making      sync.Mutex // held while a segment is prepared
	ready       *prepared
	failedAhead bool  // to prepare the segment that is needed next
	failed      error // why it could not be prepared when it was needed
	failedAt    time.Time
	hurry       atomic.Bool // a commit waits for the segment

	closing sync.Mutex // held while a segment is closed or dropped

	mu      sync.Mutex
	want    *plan // nil if nothing is asked for
	toClose []fullSegment

	wake     wakeup
	stop     chan struct{}
	finished chan struct{}
}

func newMaintenance(l *Log) *maintenance {
	return &maintenance{log: l, wake: newWakeup(), stop: make(chan struct{}), finished: make(chan struct{})}
}

// prepareAhead asks for a segment that will soon be needed.
func (m *maintenance) prepareAhead(p plan) {
	m.mu.Lock()
	asked := m.want != nil
	m.want = &p
	m.mu.Unlock()
	if !asked {
		m.wake.wake()
	}
}

// next returns a prepared segment for a batch of so many bytes, and prepares it now if it is not there. When preparing
// ahead had failed, the segment is small and zeroed in full, so that what is written to it later needs no more room on
// the disk. After a failure it fails for a while without trying, so that a full disk is not filled up by tries.
func (m *maintenance) next(want plan, batch int) (*prepared, error) {
	m.hurry.Store(true)
	defer m.hurry.Store(false)
	m.making.Lock()
	defer m.making.Unlock()
	p := m.ready
	if p == nil {
		if m.failed != nil && time.Since(m.failedAt) < prepareRetry {
			return nil, m.failed
		}
		want.least = int64(headerBytes + batch + batchBytes)
		hurry := &m.hurry
		if m.failedAhead {
			want.limit, want.zero = min(want.limit, max(firstSegmentBytes, roundUp(want.least))), true
			hurry = new(atomic.Bool)
		}
		var err error
		if p, err = prepare(m.log.opts.FS, m.log.dir, want, hurry); err != nil {
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

// closeLater hands over a full segment with the file it was written through.
func (m *maintenance) closeLater(seg *segment, file disk.File) {
	m.mu.Lock()
	m.toClose = append(m.toClose, fullSegment{seg, file})
	m.mu.Unlock()
	m.wake.wake()
}

func (m *maintenance) run() {
	defer close(m.finished)
	for {
		select {
		case <-m.wake:
			m.prepareWanted()
			// A segment that could not be closed stays as it is, which costs a scan at the next Open;
			// it is tried again with the next one and by Close, which reports it.
			_ = m.closeAll()
		case <-m.stop:
			return
		}
	}
}

func (m *maintenance) prepareWanted() {
	m.making.Lock()
	defer m.making.Unlock()
	m.mu.Lock()
	asked := m.want
	m.mu.Unlock()
	if asked == nil || m.ready != nil {
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
	var failed []fullSegment
	var errs []error
	for _, u := range todo {
		if err := m.closeSegment(u); err != nil {
			failed, errs = append(failed, u), append(errs, err)
		}
	}
	m.mu.Lock()
	m.toClose = append(failed, m.toClose...)
	m.mu.Unlock()
	return errors.Join(errs...)
}

// closeSegment cuts the segment's file to its real size, then writes its index: an index is there only for
// a file that is complete.
func (m *maintenance) closeSegment(u fullSegment) error {
	m.closing.Lock()
	defer m.closing.Unlock()
	m.log.state.RLock()
	size, dropped, content := u.seg.size, u.seg.dropped, encodeIndex(u.seg)
	m.log.state.RUnlock()
	if dropped {
		_ = u.file.Close()
		return nil
	}
	err := u.file.Truncate(size)
	if err == nil {
		err = u.file.Sync()
	}
	if err == nil {
		err = saveIndex(m.log.opts.FS, u.seg.indexPath(), content)
	}
	if err != nil {
		return fmt.Errorf("close segment %s: %w", filepath.Base(u.seg.path), err)
	}
	m.log.state.Lock()
	u.seg.indexed = true
	m.log.state.Unlock()
	_ = u.file.Close() // nothing is left in it that a failure could lose
	return nil
}

// close ends the goroutine after a last try to close what is left, and removes the prepared segment.
func (m *maintenance) close() error {
	close(m.stop)
	<-m.finished
	err := m.closeAll()
	for _, u := range m.toClose {
		err = errors.Join(err, u.file.Close())
	}
	if m.ready != nil {
		err = errors.Join(err, m.ready.discard(m.log.opts.FS))
	}
	return err
}
