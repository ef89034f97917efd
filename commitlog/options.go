package commitlog

import (
	"cmp"
	"fmt"
	"time"

	"casepress/disk"
)

// Options are the settings of a log. The zero value is good.
type Options struct {
	FS disk.FS // default disk.OS

	// SegmentBytes is the size of a full-grown segment, default 64 MiB. A log starts with a segment of
	// 1 MiB and each next one is four times as large until it is this size, so young logs stay small.
	SegmentBytes int64

	// MaxRecordBytes is the largest payload, default 16 MiB, at most 1 GiB.
	MaxRecordBytes int

	// BatchBytes bounds the memory of a commit: when this much waits for the disk, producers wait
	// before they hand in more. Default 4 MiB. A larger single record makes a batch of its own.
	BatchBytes int

	// LazyDelay is the longest time that a record of AppendLazy stays volatile, default 10 ms.
	LazyDelay time.Duration

	// VerifyBytes is how much of the newest sealed segments Open reads and verifies, default 64 MiB,
	// negative for none. The newest segment of all is always verified, in full.
	VerifyBytes int64

	// Now is the clock that stamps batches, default time.Now. Stamps never go backwards all the same.
	Now func() time.Time
}

const (
	firstSegmentBytes = 1 << 20
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
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 64<<20)
	o.MaxRecordBytes = cmp.Or(o.MaxRecordBytes, 16<<20)
	o.BatchBytes = cmp.Or(o.BatchBytes, 4<<20)
	o.LazyDelay = cmp.Or(o.LazyDelay, 10*time.Millisecond)
	o.VerifyBytes = cmp.Or(o.VerifyBytes, 64<<20)
	if o.SegmentBytes < 4096 || o.MaxRecordBytes < 0 || o.MaxRecordBytes > maxRecordLimit ||
		o.BatchBytes < 0 || o.BatchBytes > maxRecordLimit || o.LazyDelay < 0 {
		return o, fmt.Errorf("commit log options out of range: segment %d, record %d, batch %d bytes, lazy delay %v",
			o.SegmentBytes, o.MaxRecordBytes, o.BatchBytes, o.LazyDelay)
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
