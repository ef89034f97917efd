package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Open opens the log in a folder and creates both if they are not there. A commit that a power cut
// tore is cut off; any other damage is a *CorruptionError, and then nothing in the folder was changed.
// One Log at a time may have the folder open, which the caller sees to.
func Open(dir string, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, opts: o, committer: newWakeup(), finished: make(chan struct{})}
	l.maintenance = newMaintenance(l)
	if err := l.recover(); err != nil {
		return nil, openError(dir, errors.Join(err, l.abandon()))
	}
	l.start()
	return l, nil
}

// Cut describes what Open has cut off the end of a log.
type Cut struct {
	File     string
	Position int64  // of the first byte that was cut
	Bytes    int64  // that were cut, zeros at the end not counted
	Offset   uint64 // that the first record in it had, if there was one
	Err      error  // what was wrong with it
}

// Cut returns what Open has cut off: nil if nothing. It was a commit that a crash tore and that nobody was told is
// durable, or damage to the newest records of a log that was neither closed nor at rest for a second before the crash;
// the bytes do not tell which.
func (l *Log) Cut() *Cut { return l.cut }

// openError names the folder, and the cause where the system's words for it do not say what to do.
func openError(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("open commit log %s: the disk is full: %w", dir, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open commit log %s: the folder and its files must be writable: %w", dir, err)
	}
	return fmt.Errorf("open commit log %s: %w", dir, err)
}

// start begins to take records. A log to which nothing is appended needs no goroutine.
func (l *Log) start() {
	l.end.Store(l.active.seg.end)
	l.recent.clear()
	l.buffers = buffers{}
	l.filling = newBatch(l.buffers.get(), len(l.active.held), l.active.seg.end)
	if l.maintenance.hasToClose() { // it may be at work already: the seal may have asked for the next segment
		l.maintenance.wake()
	}
}

// abandon closes what a failed Open had opened.
func (l *Log) abandon() error {
	if l.active.file == nil {
		return nil
	}
	return l.active.close()
}

// recover brings the folder's content into memory. It checks everything before it changes anything.
func (l *Log) recover() error {
	found, err := l.list()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(found.segments) == 0 {
		return l.create()
	}
	var unindexed []*segment
	for i, base := range found.segments[:len(found.segments)-1] {
		s, err := l.checkClosed(base, found.segments[i+1])
		if err != nil {
			return err
		}
		if !s.indexed {
			unindexed = append(unindexed, s)
		}
		l.segments = append(l.segments, s)
	}
	last, err := l.checkNewest(found.segments[len(found.segments)-1])
	if err != nil {
		return err
	}
	if err := l.verifyNewest(); err != nil {
		return err
	}
	return l.repair(found, unindexed, last)
}
