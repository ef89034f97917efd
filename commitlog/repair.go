package commitlog

import (
	"fmt"
	"path/filepath"
	"sync/atomic"

	"casepress/disk"
)

// create makes the folder and the first segment. A folder that has a segment is durable.
func (l *Log) create() error {
	if err := l.opts.FS.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	p, err := prepare(l.opts.FS, l.dir, plan{limit: l.opts.nextLimit(0), zero: true}, new(atomic.Bool))
	if err != nil {
		return err
	}
	seg := newSegment(l.dir, 0, p.header)
	l.segments = []*segment{seg}
	l.active = activeFile{seg: seg, file: l.holdActive(seg), held: p.header.encode(), sealed: true}
	return p.install(l.opts.FS, seg.path)
}

// repair makes durable and writable what the checks found sound.
func (l *Log) repair(found folder, unindexed []*segment, last newest) error {
	if n := len(l.segments); n > 0 && last.seg.end == last.seg.base {
		last.seg.last = l.segments[n-1].last
	}
	l.segments = append(l.segments, last.seg)
	if err := l.removeAll(append(found.temps, found.orphans...)); err != nil {
		return err
	}
	// A process that was killed may have renamed a segment and not synced the folder. Then nothing was written to it yet.
	if last.seg.size == headerBytes {
		if err := l.opts.FS.SyncDir(l.dir); err != nil {
			return err
		}
	}
	l.maintenance.toClose = unindexed
	l.active = activeFile{seg: last.seg, file: l.holdActive(last.seg), sealed: last.sealed, last: last.seg.last}
	if err := l.repairTail(last); err != nil {
		return fmt.Errorf("repair %s: %w", filepath.Base(last.seg.path), err)
	}
	return l.seal()
}

// repairTail writes the last batch once more. A killed process may have left it in the page cache
// only, and after a failed sync the kernel may hold it there as if it were on the disk, so that no
// sync would ever write it. Only then come zeros over what a torn commit left, and the caller's seal.
func (l *Log) repairTail(last newest) error {
	a := &l.active
	size, from := last.seg.size, roundDown(last.seg.size)
	if last.lastData > 0 {
		from = roundDown(last.lastData)
	}
	b, err := l.readTail(last.seg, from)
	if err != nil {
		return err
	}
	file, err := a.file.use()
	if err != nil {
		return err
	}
	defer a.file.done()
	if last.lastData > 0 || last.garbage > size {
		if _, err := file.WriteAt(b, from); err != nil {
			return err
		}
	}
	if last.garbage > size {
		l.cut = &Cut{File: last.seg.path, Position: size, Bytes: last.garbage - size, Offset: last.seg.end, Err: last.stop}
	}
	a.held = append(a.held, b[roundDown(size)-from:size-from]...)
	end := roundUp(last.garbage)
	for pos := roundUp(size); pos < end; {
		n := min(end-pos, int64(len(zeros)))
		if _, err := file.WriteAt(zeros[:n], pos); err != nil {
			return err
		}
		pos += n
	}
	return nil
}

// readTail returns the segment from a block on up to its size, and zeros up to the end of the last block. It reads as the
// checks did, through the page cache: past it, something else might be found.
func (l *Log) readTail(s *segment, from int64) ([]byte, error) {
	f, err := l.openSegment(s)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := disk.Aligned(int(roundUp(s.size) - from))
	if _, err := f.ReadAt(b[:s.size-from], from); err != nil {
		return nil, err
	}
	return b, nil
}
