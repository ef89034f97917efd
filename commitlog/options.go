package commitlog

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"casepress/disk"
)

// Options are the settings of a log. The zero value is good.
type Options struct {
	FS disk.FS // default disk.OS

	// Files bounds the open files of all logs that share it. Nil: nothing bounds those of this one.
	Files *Files

	// SegmentBytes is the size of a full-grown segment, default 64 MiB. A log starts with a segment of
	// 32 KiB and each next one is four times as large until it is this size, so young logs stay small.
	SegmentBytes int64

	// MaxRecordBytes is the largest payload, default 16 MiB, at most 1 GiB.
	MaxRecordBytes int

	// BatchBytes bounds the memory of a commit: when this much waits for the disk, producers wait
	// before they hand in more. Default 4 MiB. A larger single record makes a batch of its own.
	BatchBytes int

	// VerifyBytes is how much of the newest closed segments Open reads and verifies, default 64 MiB,
	// negative for none. The newest segment of all is always verified, in full.
	VerifyBytes int64

	// OnCommit is told of every batch of records that is on stable storage, for metrics. It is called by the goroutine
	// that writes, before the producers are answered: it must be quick and must not call the log. Nil: nobody is told.
	OnCommit func(Commit)

	// OnDiscard is told when records that were handed in are given up with ErrNotPrepared: those from this offset on. It
	// is called before their offsets are handed out again, and must not append.
	OnDiscard func(from uint64)

	// Now is the clock that stamps batches, default time.Now. Stamps go back only where it was set back by more than a
	// minute; then a segment begins.
	Now func() time.Time
}

// Commit describes a batch of records that was written.
type Commit struct {
	Records int
	Bytes   int           // with headers
	Took    time.Duration // the write itself, until the bytes were on stable storage; without the wait before it
}

const (
	firstSegmentBytes = 32 << 10
	smallFraction     = 64 // of the size of a segment, when the disk is nearly full
	segmentGrowth     = 4
	maxRecordLimit    = 1 << 30
)

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = disk.OS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Files == nil {
		o.Files = NewFiles(math.MaxInt)
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 64<<20)
	o.MaxRecordBytes = cmp.Or(o.MaxRecordBytes, 16<<20)
	o.BatchBytes = cmp.Or(o.BatchBytes, 4<<20)
	o.VerifyBytes = cmp.Or(o.VerifyBytes, 64<<20)
	if o.SegmentBytes < 4096 || o.MaxRecordBytes < 0 || o.MaxRecordBytes > maxRecordLimit ||
		o.BatchBytes < 0 || o.BatchBytes > maxRecordLimit {
		return o, fmt.Errorf("commit log options out of range: segment %d, record %d, batch %d bytes",
			o.SegmentBytes, o.MaxRecordBytes, o.BatchBytes)
	}
	return o, nil
}

// batchLimit is the most bytes one Append may hand in.
func (o Options) batchLimit() int { return max(o.BatchBytes, o.MaxRecordBytes+recordOverhead) }

// nextLimit is the size of the segment after one of this size; 0 stands for the first.
func (o Options) nextLimit(previous int64) int64 {
	switch {
	case previous == 0:
		return min(firstSegmentBytes, o.SegmentBytes)
	case previous > o.SegmentBytes/segmentGrowth:
		return o.SegmentBytes
	}
	return previous * segmentGrowth
}
