package commitlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

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
	l.maintenance.closing.take()
	defer l.maintenance.closing.end()
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
