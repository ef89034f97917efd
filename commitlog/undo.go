package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"casepress/disk"
)

// isFull says whether a failure is for lack of room on the disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

var errNotUndone = errors.New("what a failed write left behind could not be removed")

// undo removes what a write of n bytes behind the last batch has left, when it failed for lack of room, and makes sure
// that it is gone: then nothing acknowledged is at risk, and the file is as it was. How far the write came is not known,
// not even which of it is in the page cache only. So everything that it touched is cut off or written anew: the block
// that the last batch ends in, and zeros as far as they were. What came before was durable before this write began.
func (a *activeFile) undo(file disk.File, n int) error {
	from, end := roundDown(a.seg.size), max(a.seg.zeroed, roundUp(a.seg.size))
	size, err := file.Size()
	if err != nil {
		return err
	}
	if size < end {
		return fmt.Errorf("%w: %d bytes of the file are left", errShort, size)
	}
	if size > end {
		if err := file.Truncate(end); err != nil {
			return err
		}
	}
	touched := min(from+int64(n), end)
	err = a.eachTouched(from, touched, func(want []byte, pos int64) error {
		_, err := file.WriteAt(want, pos)
		return err
	})
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil { // the new size, too
		return err
	}
	found := disk.Aligned(len(zeros))
	return a.eachTouched(from, touched, func(want []byte, pos int64) error {
		got := found[:len(want)]
		if _, err := file.ReadAt(got, pos); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return errNotUndone
		}
		return nil
	})
}

// eachTouched calls do with what belongs into each part of [from, to), both at blocks: the held bytes, then zeros.
func (a *activeFile) eachTouched(from, to int64, do func(want []byte, pos int64) error) error {
	if from >= to {
		return nil
	}
	first := disk.Aligned(blockBytes)
	copy(first, a.held)
	if err := do(first, from); err != nil {
		return err
	}
	for pos := from + blockBytes; pos < to; {
		n := min(int64(len(zeros)), to-pos)
		if err := do(zeros[:n], pos); err != nil {
			return err
		}
		pos += n
	}
	return nil
}

// undoFull undoes a write of n bytes that failed with err, if that was for lack of room. It returns an error that Is
// ErrNotPrepared if nothing is left of the write, else one that poisons.
func (a *activeFile) undoFull(file disk.File, n int, err error) error {
	if !isFull(err) {
		return err
	}
	if failed := a.undo(file, n); failed != nil {
		return errors.Join(err, fmt.Errorf("%w: %w", errNotUndone, failed))
	}
	err = fmt.Errorf("%w: %w", ErrNotPrepared, err)
	a.full, a.fullAt = err, time.Now()
	return err
}

// refuses returns why a batch of n bytes is not even tried: it needs more room on the disk, and a moment ago there was
// none. So a full disk is not written to again and again.
func (a *activeFile) refuses(n int) error {
	if a.full == nil || !a.fits(n) || a.seg.size+int64(n) <= max(a.seg.zeroed, roundUp(a.seg.size)) {
		return nil
	}
	if time.Since(a.fullAt) >= prepareRetry {
		a.full = nil
	}
	return a.full
}

// renameFailed says what a failure to rename a prepared segment means: an error that Is ErrNotPrepared if it was for lack
// of room in the folder and has changed nothing, else one that poisons.
func renameFailed(fsys disk.FS, from, to string, err error) error {
	if !isFull(err) {
		return err
	}
	_, there := fsys.Stat(from)
	_, gone := fsys.Stat(to)
	if there == nil && errors.Is(gone, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotPrepared, err)
	}
	return err
}
