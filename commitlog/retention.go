package commitlog

import (
	"fmt"
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
	l.maintenance.closing.take()
	defer l.maintenance.closing.end()
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
