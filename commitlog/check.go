package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"casepress/disk"
)

var (
	errGap     = errors.New("records are missing")
	errOverlap = errors.New("segment begins before the one in front of it ends")
	errShort   = errors.New("segment is shorter than it was made")
)

// checkClosed checks a segment that has a successor. With a sound index it reads only the header;
// else it reads all of it, and the index has to be written again.
func (l *Log) checkClosed(base, successor uint64) (*segment, error) {
	f, s, size, err := l.openForCheck(base)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fresh := *s
	s.size = size
	err = loadIndex(l.opts.FS, s)
	switch {
	case err == nil && s.size == size:
		s.indexed = true
	case err == nil, errors.Is(err, errBadIndex), errors.Is(err, fs.ErrNotExist):
		*s = fresh
		if err := l.rebuild(f, s, size); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	return s, l.checkJoint(s, successor)
}

// checkJoint makes sure that the next segment begins where this one ends.
func (l *Log) checkJoint(s *segment, successor uint64) error {
	switch {
	case s.end < successor && s.indexed:
		return &CorruptionError{File: segmentPath(l.dir, s.end), Err: errMissing}
	case s.end < successor:
		return &CorruptionError{File: s.path, Offset: s.size, Err: fmt.Errorf("%w: %d to %d", errGap, s.end, successor-1)}
	case s.end > successor:
		return &CorruptionError{File: segmentPath(l.dir, successor), Err: errOverlap}
	}
	return nil
}

// rebuild learns by reading what the index would have told. Behind the batches of a segment that is
// not the last there may be nothing but zeros.
func (l *Log) rebuild(f disk.File, s *segment, size int64) error {
	found, err := l.walk(f, s, size)
	if err != nil {
		return err
	}
	rest, err := searchTail(f, s, size)
	if err != nil {
		return err
	}
	if rest.end > s.size {
		return &CorruptionError{File: s.path, Offset: s.size, Err: found.stop}
	}
	return nil
}

// openForCheck opens a segment and checks its header.
func (l *Log) openForCheck(base uint64) (disk.File, *segment, int64, error) {
	path := segmentPath(l.dir, base)
	f, err := l.opts.FS.OpenFile(path, os.O_RDONLY, 0)
	switch {
	case errors.Is(err, disk.ErrNotFile):
		return nil, nil, 0, &CorruptionError{File: path, Err: err}
	case errors.Is(err, fs.ErrNotExist): // a link that leads nowhere
		return nil, nil, 0, &CorruptionError{File: path, Err: errMissing}
	case err != nil:
		return nil, nil, 0, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, nil, 0, errors.Join(err, f.Close())
	}
	b := make([]byte, min(size, headerBytes))
	if _, err := f.ReadAt(b, 0); err != nil && size >= headerBytes {
		return nil, nil, 0, errors.Join(fmt.Errorf("read segment: %w", err), f.Close())
	}
	h, err := decodeHeader(b)
	if err != nil {
		return nil, nil, 0, errors.Join(&CorruptionError{File: path, Err: err}, f.Close())
	}
	return f, newSegment(l.dir, base, h), size, nil
}

// walked is what a walk over a segment's batches found besides the batches.
type walked struct {
	stop     error // why it ended: what is wrong with the next batch
	lastData int64 // where the last batch with records begins, 0 if there is none
	sealed   bool  // nothing but a seal follows that batch, or there is none
}

// walk adds all whole batches of a file to s. The error is a batch that is whole but does not belong
// there, or a failure to read.
func (l *Log) walk(f disk.File, s *segment, size int64) (walked, error) {
	w := window{file: f, want: maxReadAhead}
	found := walked{sealed: true}
	for previous := int64(math.MinInt64); ; {
		h, _, err := w.batch(s.size, size, s.salt)
		if isFormatError(err) {
			found.stop = err
			return found, nil
		}
		if err == nil && (h.base != s.end || h.count > 0 && h.time < previous) {
			err = errBatchOrder
		}
		if err != nil {
			return found, l.damage(s, s.size, err)
		}
		found.sealed = h.count == 0
		if h.count > 0 {
			previous, found.lastData = h.time, s.size
		}
		s.add(h)
	}
}
