package commitlog

import (
	"errors"
	"fmt"
)

var (
	// ErrPoisoned says that an earlier write or sync failed. The log takes no more records, because
	// what the disk holds is no longer known; what was durable before can still be read. Opening the
	// log again recovers it. The error also wraps the failure itself.
	ErrPoisoned = errors.New("commit log is poisoned by an earlier failure")

	// ErrClosed says that Close was called.
	ErrClosed = errors.New("commit log is closed")

	// ErrNotPrepared says that there was no room for the records: the next segment could not be prepared, or the disk had
	// no room for them in this one. The error also wraps the failure itself. Nothing is left of them, nothing durable is
	// at risk, and the log goes on as soon as there is room: it is tried again at most once a second, when something is
	// appended.
	ErrNotPrepared = errors.New("no room could be prepared in the commit log")

	// ErrTooLarge says that a payload is larger than MaxRecordBytes, or that the payloads of one Append
	// are together larger than a batch may be. Nothing was appended.
	ErrTooLarge = errors.New("record is too large")
)

// OutOfRangeError says that the record asked for was dropped by retention.
type OutOfRangeError struct {
	Offset     uint64 // asked for
	Start, End uint64 // of the log
}

func (e *OutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d is below the log, which holds [%d, %d)", e.Offset, e.Start, e.End)
}

// CorruptionError says that the log's files are not what was written. Nothing is repaired or skipped
// on its own: a person has to decide.
type CorruptionError struct {
	File   string // path of the damaged or missing file
	Offset int64  // byte position of the first thing that is wrong
	Err    error  // what is wrong
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptionError) Unwrap() error { return e.Err }
