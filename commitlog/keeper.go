package commitlog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"casepress/disk"
)

const tempSegment = "next" + segmentSuffix + tempSuffix

// plan is what a segment shall be like.
type plan struct {
	limit int64
	zero  bool // write zeros ahead
}

// prepared is a segment file that waits under a temporary name.
type prepared struct {
	header header
	temp   string
	file   disk.File
}

// prepare makes a segment file, on stable storage, with zeros up to its limit or as many as there are
// when hurry turns true.
func prepare(fsys disk.FS, dir string, want plan, hurry *atomic.Bool) (*prepared, error) {
	p := &prepared{header: header{salt: newSalt(), limit: want.limit}, temp: filepath.Join(dir, tempSegment)}
	f, err := fsys.OpenFile(p.temp, writeFlags|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("prepare segment: %w", err)
	}
	p.file = f
	if err := p.fill(want.zero, hurry); err != nil {
		return nil, fmt.Errorf("prepare segment: %w", errors.Join(err, p.discard(fsys)))
	}
	return p, nil
}

// fill writes zeros, then the header that tells how many. Each chunk is durable when it is written, so
// that a commit in between, or one that needs the segment, never waits for more than one chunk.
func (p *prepared) fill(zero bool, hurry *atomic.Bool) error {
	pos := int64(0)
	end := roundUp(p.header.limit)
	for zero && pos < end && !(pos > 0 && hurry.Load()) {
		n := min(int64(len(zeros)), end-pos)
		if _, err := p.file.WriteAt(zeros[:n], pos); err != nil {
			return err
		}
		pos += n
	}
	p.header.zeroed = max(pos, blockBytes)
	first := disk.Aligned(blockBytes)
	copy(first, p.header.encode())
	if _, err := p.file.WriteAt(first, 0); err != nil {
		return err
	}
	return p.file.Sync()
}

// install gives the file its final name, durably.
func (p *prepared) install(fsys disk.FS, path string) error {
	if err := fsys.Rename(p.temp, path); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

func (p *prepared) discard(fsys disk.FS) error {
	return errors.Join(p.file.Close(), fsys.Remove(p.temp))
}

// newSalt is random so that no payload can look like a batch of this segment, and never zero so that
// zeros cannot either.
func newSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// unsealedFile is a full segment that waits for its file to be cut to size and its index to be written.
type unsealedFile struct {
	seg  *segment
	file disk.File
}

// keeper does what commits must not wait for: it zeroes the next segment and seals the last ones.
type keeper struct {
	log *Log

	making sync.Mutex // held while a segment is prepared
	ready  *prepared
	hurry  atomic.Bool // a commit waits for the segment

	sealing sync.Mutex // held while a segment is sealed or dropped

	mu     sync.Mutex
	want   *plan // nil if nothing is asked for
	toSeal []unsealedFile

	wake     chan struct{}
	stop     chan struct{}
	finished chan struct{}
}

func newKeeper(l *Log) *keeper {
	return &keeper{log: l, wake: make(chan struct{}, 1), stop: make(chan struct{}), finished: make(chan struct{})}
}

func (k *keeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// prepareAhead asks for a segment that will soon be needed.
func (k *keeper) prepareAhead(p plan) {
	k.mu.Lock()
	asked := k.want != nil
	k.want = &p
	k.mu.Unlock()
	if !asked {
		k.rouse()
	}
}

// next returns a prepared segment and prepares it now if it is not there. A failure to prepare ahead
// shows only here, as the failure of the second try.
func (k *keeper) next(want plan) (*prepared, error) {
	k.hurry.Store(true)
	defer k.hurry.Store(false)
	k.making.Lock()
	defer k.making.Unlock()
	p := k.ready
	if p == nil {
		var err error
		if p, err = prepare(k.log.opts.FS, k.log.dir, want, &k.hurry); err != nil {
			return nil, err
		}
	}
	k.ready = nil
	k.mu.Lock()
	k.want = nil
	k.mu.Unlock()
	return p, nil
}

// sealLater hands over a full segment with the file it was written through.
func (k *keeper) sealLater(seg *segment, file disk.File) {
	k.mu.Lock()
	k.toSeal = append(k.toSeal, unsealedFile{seg, file})
	k.mu.Unlock()
	k.rouse()
}

func (k *keeper) run() {
	defer close(k.finished)
	for {
		select {
		case <-k.wake:
			k.prepareWanted()
			// A segment that could not be sealed stays as it is, which costs a scan at the next Open;
			// it is tried again with the next one and when the log is closed, which reports it.
			_ = k.sealAll()
		case <-k.stop:
			return
		}
	}
}

func (k *keeper) prepareWanted() {
	k.making.Lock()
	defer k.making.Unlock()
	k.mu.Lock()
	want := k.want
	k.mu.Unlock()
	if want == nil || k.ready != nil {
		return
	}
	if p, err := prepare(k.log.opts.FS, k.log.dir, *want, &k.hurry); err == nil {
		k.ready = p
	}
}

func (k *keeper) sealAll() error {
	k.mu.Lock()
	todo := k.toSeal
	k.toSeal = nil
	k.mu.Unlock()
	var failed []unsealedFile
	var errs []error
	for _, u := range todo {
		if err := k.seal(u); err != nil {
			failed, errs = append(failed, u), append(errs, err)
		}
	}
	k.mu.Lock()
	k.toSeal = append(failed, k.toSeal...)
	k.mu.Unlock()
	return errors.Join(errs...)
}

// seal cuts the segment's file to its real size, then writes its index: an index is there only for
// a file that is complete.
func (k *keeper) seal(u unsealedFile) error {
	k.sealing.Lock()
	defer k.sealing.Unlock()
	k.log.state.RLock()
	size, dropped, content := u.seg.size, u.seg.dropped, encodeIndex(u.seg)
	k.log.state.RUnlock()
	if dropped {
		_ = u.file.Close()
		return nil
	}
	err := u.file.Truncate(size)
	if err == nil {
		err = u.file.Sync()
	}
	if err == nil {
		err = saveIndex(k.log.opts.FS, u.seg.indexPath(), content)
	}
	if err != nil {
		return fmt.Errorf("seal %s: %w", filepath.Base(u.seg.path), err)
	}
	k.log.state.Lock()
	u.seg.indexed = true
	k.log.state.Unlock()
	_ = u.file.Close() // nothing is left in it that a failure could lose
	return nil
}

// close ends the keeper after a last try to seal what is left, and removes the prepared segment.
func (k *keeper) close() error {
	close(k.stop)
	<-k.finished
	err := k.sealAll()
	for _, u := range k.toSeal {
		err = errors.Join(err, u.file.Close())
	}
	if k.ready != nil {
		err = errors.Join(err, k.ready.discard(k.log.opts.FS))
	}
	return err
}
