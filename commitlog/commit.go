package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"casepress/disk"
)

const (
	// gatherFor bounds the wait for producers that the last commit let go and that are about to come
	// back. Without it the first one back would go to the disk alone and the others wait a whole commit.
	// So many producers that to let them all run takes longer than that are not waited for: they fall
	// into two crowds, and one fills its batch while the other's is written.
	gatherFor    = 20 * time.Microsecond
	gatherMost   = 256
	gatherYields = 10_000 // more than fit into gatherFor; so it ends when the clock stands still, too

	largeBatch = 256 << 10 // bytes of a batch, on average
	fastStream = 64        // bytes a microsecond
)

// activeFile is the segment that the committer writes to.
type activeFile struct {
	seg     *segment
	file    *heldFile // opened with writeFlags: a write that returns is on stable storage
	held    []byte    // what is committed of the block that the next batch begins in
	sealed  bool      // nothing was committed since the last seal, or since the segment began
	last    int64     // time of the last batch
	commits int64     // since the segment began or was opened
	bytes   int64     // likewise
	since   int64     // likewise, time of the first batch
	full    error     // why there was no room on the disk for the last batch that needed more; nil: there was
	fullAt  time.Time // when that was
}

// writeFlags are those of a file that batches are written to: past the page cache, in whole blocks, which takes less than
// half of the processor's time and lets the disk write from the batch's own memory.
const writeFlags = os.O_RDWR | disk.Durable | disk.Direct

func (a *activeFile) empty() bool { return a.seg.end == a.seg.base }

// fits says whether a batch of n bytes and a seal fit. An empty segment takes a
// batch of any size, growing if it must.
func (a *activeFile) fits(n int) bool {
	return a.empty() || a.seg.size+int64(n)+batchBytes <= a.seg.limit
}

// clockSlack is by how much the clock may be set back without a trace: the stamps wait for it.
const clockSlack = int64(time.Minute / time.Microsecond)

// setBack says whether the clock was set back since the last batch by so much that the stamps must follow it: else one
// batch written while the clock was years ahead would have all later ones stamped with that time. They go back only where
// a segment begins, so that within one they ascend.
func (a *activeFile) setBack(clock int64) bool { return a.last-clock > clockSlack }

// startAfter tells how far into a block the batch after this one begins.
func (a *activeFile) startAfter(b *batch) int {
	at := a.seg.size
	if !a.fits(b.size()) {
		at = headerBytes
	}
	return int((at + int64(b.size())) % blockBytes)
}

// write puts a batch behind the last one. It writes the committed bytes of the block that the batch begins in once
// more, the same ones: whether a power cut leaves the old or the new sectors, they are there. An error that Is
// ErrNotPrepared means that the disk had no room, and that the file is as it was.
func (a *activeFile) write(b *batch) error {
	file, err := a.use()
	if err != nil {
		return err
	}
	defer a.file.done()
	blocks := b.blocks(a.held)
	if _, err := file.WriteAt(blocks, a.seg.size-int64(b.start)); err != nil {
		return fmt.Errorf("commit to %s: %w", filepath.Base(a.seg.path), a.undoFull(file, len(blocks), err))
	}
	a.held = append(a.held[:0], b.buf[roundDown(len(b.buf)):]...)
	return nil
}

// use returns the file, opened if need be. An error that Is ErrNotPrepared may pass.
func (a *activeFile) use() (disk.File, error) {
	file, err := a.file.use()
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, errShort):
		return nil, fmt.Errorf("open %s: %w", filepath.Base(a.seg.path), err)
	}
	return nil, fmt.Errorf("%w: open %s: %w", ErrNotPrepared, filepath.Base(a.seg.path), err)
}

// holdActive returns the file of a segment that is written to. While it is closed somebody may have cut it off: then what is
// written would stand behind a hole. Only the committer calls it and what it returns.
func (l *Log) holdActive(seg *segment) *heldFile {
	return &heldFile{files: l.opts.Files, open: func() (disk.File, error) {
		f, err := l.opts.FS.OpenFile(seg.path, writeFlags, 0)
		if err != nil {
			return nil, err
		}
		size, err := f.Size()
		if err == nil && size < max(seg.zeroed, seg.size) {
			err = fmt.Errorf("%w: %d bytes are left", errShort, size)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}}
}

func (a *activeFile) close() error {
	if err := a.file.close(); err != nil {
		return fmt.Errorf("close segment: %w", err)
	}
	return nil
}

// wakeCommitter lets the committer look for something to do.
func (l *Log) wakeCommitter() {
	l.mu.Lock()
	start := l.startCommitter()
	l.mu.Unlock()
	l.runOrWake(start)
}

// startCommitter says whether a committer has to be started, and that it is. mu is locked.
func (l *Log) startCommitter() bool {
	start := !l.committing
	l.committing = true
	return start
}

func (l *Log) runOrWake(start bool) {
	if start {
		go l.runCommitter()
		return
	}
	l.committer.wake()
}

// runCommitter writes batches: it ends when the log is closed or poisoned, and when the log is at rest until there is
// something to commit again. One commit is in flight at a time, so that a power cut can tear only the last batch.
func (l *Log) runCommitter() {
	crowds := make(chan *batch, 1)
	var answerer sync.WaitGroup
	answerer.Go(func() { answer(crowds) })
	end := l.commitAll(crowds)
	close(crowds)
	answerer.Wait()
	if end == atRest {
		return
	}
	defer close(l.finished)
	if end == poisoned {
		return
	}
	if err := l.seal(); err != nil {
		if errors.Is(err, ErrNotPrepared) {
			l.unsealed = err // the next Open seals it
			return
		}
		l.poison(err)
	}
}

// answer answers many producers while the committer writes on.
func answer(crowds <-chan *batch) {
	for b := range crowds {
		b.finish(nil)
	}
}

// committerEnd is why a committer ends.
type committerEnd int

const (
	goesOn   committerEnd = iota // it does not
	closing                      // the log is being closed, and nothing is left to commit
	atRest                       // nothing was appended for a while
	poisoned                     // a commit failed
)

// commitAll commits until it has a reason to end. What the disk has no room for fails alone.
func (l *Log) commitAll(crowds chan<- *batch) committerEnd {
	b, end, err := l.await(0)
	for b != nil {
		failed := l.commit(b)
		if errors.Is(failed, ErrNotPrepared) {
			l.discard(b, failed)
			b, end, err = l.await(0)
			continue
		}
		if failed != nil {
			b.finish(l.poison(failed))
			return poisoned
		}
		var next *batch
		if b.waiters > gatherMost {
			next, _ = l.take() // before they are let go and crowd at the lock
		}
		if next != nil {
			crowds <- b
		} else {
			b.finish(nil)
			next, end, err = l.await(b.waiters)
		}
		b = next
	}
	if err != nil {
		l.poison(err)
	}
	return end
}

// await returns the next batch to commit, or why there is none. The last batch let so many producers go. A log in which
// nothing happens for a while is sealed, the error is of that, and rests.
func (l *Log) await(crowd int) (*batch, committerEnd, error) {
	l.gather(crowd)
	for {
		b, closed := l.take()
		if b != nil {
			return b, goesOn, nil
		}
		if closed {
			return nil, closing, nil
		}
		idle := time.NewTimer(restAfter)
		select {
		case <-l.committer:
			idle.Stop()
		case <-idle.C:
			if err := l.seal(); err != nil && !errors.Is(err, ErrNotPrepared) {
				return nil, poisoned, err
			} // for which there is no room, it is tried again
			if l.active.sealed && l.rest() {
				return nil, atRest, nil
			}
		}
	}
}

// restAfter is how long nothing must have been appended before the log is sealed and rests. From then on damage to the newest
// records is told apart from a torn commit, as after Close.
const restAfter = time.Second

// rest lets go of what only a log needs that is written to: the goroutine and most of the memory. It returns false if there
// is something to do. The caller ends then and only then.
func (l *Log) rest() bool {
	_ = l.idle.clear() // they were only read
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.filling.count > 0 || l.closing {
		return false
	}
	l.recent.clear()
	l.buffers = buffers{}
	l.filling = newBatch(l.buffers.get(), len(l.active.held), l.active.seg.end)
	l.committing = false
	return true
}

// gather waits a moment for as many producers as were in the last batch.
func (l *Log) gather(crowd int) {
	if crowd < 2 || crowd > gatherMost {
		return
	}
	start := time.Now()
	for i := 0; i < gatherYields && int(l.waiting.Load()) < crowd && time.Since(start) < gatherFor; i++ {
		runtime.Gosched()
	}
}

// take swaps the filling batch for an empty one if there is something to commit, and makes sure that there is a segment
// for it. The batch takes no more by then: the segment may be no larger than it. If none can be prepared, or the disk was
// full a moment ago, the batch fails, with what was handed in meanwhile, and nothing else.
func (l *Log) take() (b *batch, closing bool) {
	for {
		b, closing := l.swap()
		if b == nil {
			return nil, closing
		}
		if err := l.active.refuses(b.size()); err != nil {
			l.discard(b, err)
			continue
		}
		setBack := l.active.setBack(l.opts.Now().UnixMicro()) && !l.active.empty()
		if l.next != nil || l.active.fits(b.size()) && !setBack {
			return b, closing
		}
		next, err := l.maintenance.next(l.plan(), b.size())
		if err == nil {
			l.next = next
			return b, closing
		}
		if l.active.fits(b.size()) { // then the stamps are wrong for a while longer
			return b, closing
		}
		l.discard(b, fmt.Errorf("%w: %w", ErrNotPrepared, err))
	}
}

// swap takes the filling batch, nil if there is nothing in it.
func (l *Log) swap() (b *batch, closing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b = l.filling
	if b.count == 0 {
		return nil, l.closing
	}
	l.filling = newBatch(l.buffers.get(), l.active.startAfter(b), b.end())
	l.waiting.Store(0)
	b.letIn()
	return b, l.closing
}

// commit makes a batch durable and lets readers see it.
func (l *Log) commit(b *batch) error {
	a := &l.active
	clock := l.opts.Now().UnixMicro()
	setBack := b.count > 0 && a.setBack(clock)
	if b.count > 0 && (!a.fits(b.size()) || setBack && l.next != nil) {
		if err := l.roll(); err != nil {
			return err
		}
	}
	if setBack && a.empty() {
		a.last = clock
	}
	if start := len(a.held); b.start != start { // the segment is new, or was sealed since the batch began to fill
		b.moveTo(start)
	}
	now := a.last
	if b.count > 0 {
		now = max(now, clock)
	}
	finishBatch(b.buf[b.start:], b.sum, a.seg.salt, b.base, now, b.count)
	started := time.Now()
	if err := a.write(b); err != nil {
		return err
	}
	if l.opts.OnCommit != nil && b.count > 0 {
		l.opts.OnCommit(Commit{Records: int(b.count), Bytes: b.size(), Took: time.Since(started)})
	}
	a.last, a.sealed = now, b.count == 0
	if a.commits == 0 {
		a.since = now
	}
	a.commits++
	a.bytes += int64(b.size())
	h := decodeBatchHeader(b.buf[b.start:])
	l.remember(b)
	l.publish(h)
	return nil
}

// remember keeps a committed batch in memory for a while, for those who read at the log's end.
func (l *Log) remember(b *batch) {
	p := &piece{seg: l.active.seg, pos: l.active.seg.size, buf: b.buf, start: b.start}
	b.buf = nil // what waits for the batch must not hold on to it
	if huge := len(p.buf) > l.opts.BatchBytes+blockBytes; huge {
		l.buffers.put(p.buf)
		return
	}
	l.buffers.used(len(p.buf))
	for _, buf := range l.recent.push(p, min(recentMost, max(recentLeast, recentBatches*l.buffers.need))) {
		l.buffers.put(buf)
	}
}

func (l *Log) publish(h batchHeader) {
	seg := l.active.seg
	l.state.Lock()
	seg.add(h)
	size := seg.size
	l.end.Store(h.end())
	l.announce()
	l.state.Unlock()
	if size > seg.limit/4 {
		l.maintenance.prepareAhead(l.plan())
	}
}

// plan says what the next segment shall be like. Zeroing ahead spares each commit a change of metadata,
// about half of what a small commit takes, but writes everything twice; for a stream of large
// batches that is the greater cost.
func (l *Log) plan() plan {
	a := &l.active
	large := a.bytes > largeBatch*a.commits
	fast := a.bytes > fastStream*(a.last-a.since)
	return plan{limit: l.opts.nextLimit(a.seg.limit), zero: !large || !fast}
}

// seal writes an empty batch after the last records, so that the next Open can tell damage to them
// from a commit that a power cut tore.
func (l *Log) seal() error {
	if l.active.sealed {
		return nil
	}
	a := &l.active
	return l.commit(newBatch(l.buffers.get(), len(a.held), a.seg.end))
}

// roll goes on in the segment that take has got. The entry of the new file is durable before anything is written
// to it, and only then is the old one closed: a closed segment always has a successor.
func (l *Log) roll() error {
	a := &l.active
	_ = a.file.close() // what was written to it is durable
	next := l.next
	seg := newSegment(l.dir, a.seg.end, next.header)
	seg.last = a.seg.last
	l.opts.Files.takePlace() // in place of the old file's
	err := next.install(l.opts.FS, seg.path)
	l.opts.Files.freePlace()
	if err != nil {
		err = fmt.Errorf("roll to a new segment: %w", err)
		if errors.Is(err, ErrNotPrepared) { // the segment waits for the next batch
			return err
		}
		l.next = nil
		return err
	}
	l.next = nil
	old := *a
	*a = activeFile{seg: seg, file: l.holdActive(seg), held: next.header.encode(), sealed: true, last: a.last}
	l.state.Lock()
	l.segments = append(l.segments, seg)
	l.state.Unlock()
	l.maintenance.closeLater(old.seg)
	return nil
}
