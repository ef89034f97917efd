// Package commitlog keeps records in the order they were appended and never says a record is appended
// before it is on stable storage; it never changes a record and never looks into one.
package commitlog

import (
	"context"
	"errors"
	"time"

	"casepress/disk"
)

// Options are the settings of a log. The zero value is good.
type Options struct {
	FS             disk.FS       // default disk.OS
	SegmentBytes   int64         // size of a full-grown segment, default 64 MiB
	MaxRecordBytes int           // largest payload, default 16 MiB
	LazyDelay      time.Duration // longest time AppendLazy's records stay volatile, default 10 ms
}

// Record is one payload with its place in the log.
type Record struct {
	Offset  uint64
	Time    time.Time
	Payload []byte
}

// SegmentInfo describes one segment.
type SegmentInfo struct {
	Base, End   uint64 // offsets [Base, End)
	Bytes       int64
	First, Last time.Time
	Active      bool
}

var (
	// ErrPoisoned says that an earlier write or sync failed.
	ErrPoisoned = errors.New("commit log is poisoned by an earlier failure")
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("commit log is closed")
	// ErrTooLarge says that a payload is larger than MaxRecordBytes.
	ErrTooLarge = errors.New("record is too large")
)

// OutOfRangeError says that an offset lies below the log's start.
type OutOfRangeError struct{ Offset, Start, End uint64 }

func (e *OutOfRangeError) Error() string { return "offset out of range" }

// CorruptionError names the place of damage.
type CorruptionError struct {
	File   string
	Offset int64
	Err    error
}

func (e *CorruptionError) Error() string { return e.File + ": damaged: " + e.Err.Error() }
func (e *CorruptionError) Unwrap() error { return e.Err }

// Log is a commit log.
type Log struct{}

var errSkeleton = errors.New("commitlog: not built yet")

func Open(dir string, o Options) (*Log, error) { return nil, errSkeleton }
func (l *Log) Append(ctx context.Context, payloads ...[]byte) (first uint64, err error) {
	return 0, errSkeleton
}
func (l *Log) AppendLazy(payloads ...[]byte) (first uint64, err error) { return 0, errSkeleton }
func (l *Log) Read(offset uint64, maxBytes int) ([]Record, error)      { return nil, errSkeleton }
func (l *Log) Wait(ctx context.Context, offset uint64) error           { return errSkeleton }
func (l *Log) Start() uint64                                           { return 0 }
func (l *Log) End() uint64                                             { return 0 }
func (l *Log) OffsetAt(t time.Time) (uint64, error)                    { return 0, errSkeleton }
func (l *Log) DropBefore(offset uint64) error                          { return errSkeleton }
func (l *Log) Segments() []SegmentInfo                                 { return nil }
func (l *Log) Verify(ctx context.Context) error                        { return errSkeleton }
func (l *Log) Err() error                                              { return nil }
func (l *Log) Close() error                                            { return nil }
