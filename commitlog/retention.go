package commitlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// SegmentInfo describes one segment of a log.
type SegmentInfo struct {
	Base, End   uint64    // it holds the offsets [Base, End)
	Bytes       int64     // on disk, not counting what is zeroed ahead
	First, Last time.Time // stamps of its first and last record; zero if it has none
	Active      bool      // it is the one that is written to
}

// Segments describes all segments, oldest first.
func (l *Log) Segments() []SegmentInfo {
	l.state.RLock()
	defer l.state.RUnlock()
	infos := make([]SegmentInfo, len(l.segments))
	for i, s := range l.segments {
		infos[i] = SegmentInfo{Base: s.base, End: s.end, Bytes: s.size, Active: i == len(l.segments)-1}
		if s.end > s.base {
			infos[i].First, infos[i].Last = time.UnixMicro(s.first).UTC(), time.UnixMicro(s.last).UTC()
		}
	}
	return infos
}

// DropBefore removes the segments whose records all lie below offset, oldest first, but never the
// active one. Start moves at once; after an error the rest is removed by the next call or, if there is
// none, found again by the next Open.
func (l *Log) DropBefore(offset uint64) error {
	l.dropMu.Lock()
	defer l.dropMu.Unlock()
	l.state.Lock()
	for len(l.segments) > 1 && l.segments[0].end <= offset {
		l.segments[0].dropped = true
		l.doomed = append(l.doomed, l.segments[0])
		l.segments = l.segments[1:]
	}
	l.state.Unlock()
	for len(l.doomed) > 0 {
		if err := l.removeSegment(l.doomed[0]); err != nil {
			return fmt.Errorf("drop segment: %w", err)
		}
		l.doomed = l.doomed[1:]
	}
	return nil
}

// removeSegment returns when the removal is durable: a power cut may undo it, but must not undo it for
// an old segment and keep it for a newer one, which would look like a loss.
func (l *Log) removeSegment(s *segment) error {
	l.maintenance.closing.Lock()
	defer l.maintenance.closing.Unlock()
	if err := l.removeAll([]string{s.path, s.indexPath()}); err != nil {
		return err
	}
	return l.opts.FS.SyncDir(l.dir)
}

// gone says whether a segment was dropped.
func (l *Log) gone(s *segment) bool {
	l.state.RLock()
	defer l.state.RUnlock()
	return s.dropped
}

// Verify reads every durable byte of the log and of its indexes. The error is *CorruptionError, that
// of ctx, or a failure to read. Appends and reads go on meanwhile.
func (l *Log) Verify(ctx context.Context) error {
	l.state.RLock()
	segments := append([]*segment(nil), l.segments...)
	l.state.RUnlock()
	for _, s := range segments {
		err := l.verifySegment(ctx, s)
		if err == nil {
			err = l.verifyIndex(s)
		}
		if err != nil && !l.gone(s) {
			return fmt.Errorf("verify: %w", err)
		}
	}
	return nil
}

// verifyNewest verifies closed segments at Open, from the newest back until VerifyBytes are read.
func (l *Log) verifyNewest() error {
	budget := l.opts.VerifyBytes
	for i := len(l.segments) - 1; i >= 0 && l.segments[i].size <= budget; i-- {
		budget -= l.segments[i].size
		if err := l.verifySegment(context.Background(), l.segments[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) verifySegment(ctx context.Context, s *segment) error {
	l.state.RLock()
	end, limit, shut := s.end, s.size, l.shut
	l.state.RUnlock()
	if shut {
		return ErrClosed
	}
	f, read, _, err := l.openForCheck(s.base)
	if err != nil {
		return err
	}
	defer f.Close()
	w := window{file: f, want: maxReadAhead}
	for read.size < limit {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, _, err := w.batch(read.size, limit, s.salt)
		if err == nil && h.base != read.end {
			err = errBatchOrder
		}
		if err != nil {
			return l.damage(s, read.size, err)
		}
		read.add(h)
	}
	if read.end != end {
		return &CorruptionError{File: s.path, Offset: limit, Err: fmt.Errorf("%w: %d to %d", errGap, read.end, end-1)}
	}
	return nil
}

// verifyIndex reads the index of a closed segment again.
func (l *Log) verifyIndex(s *segment) error {
	l.maintenance.closing.Lock()
	defer l.maintenance.closing.Unlock()
	l.state.RLock()
	again := segment{path: s.path, base: s.base, header: s.header, size: s.size}
	indexed := s.indexed && !s.dropped
	l.state.RUnlock()
	if !indexed {
		return nil
	}
	err := loadIndex(l.opts.FS, &again)
	if errors.Is(err, errBadIndex) || errors.Is(err, fs.ErrNotExist) {
		return &CorruptionError{File: s.indexPath(), Err: err}
	}
	return err
}
