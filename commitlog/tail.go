package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"

	"casepress/disk"
)

// tail is what follows the last whole batch of a file.
type tail struct {
	end     int64 // position behind the last byte that is not zero, or where the tail begins
	another bool  // a later batch was begun
}

// searchTail reads a file from the end of s's whole batches on. A later batch shows itself by the
// segment's salt in front of an offset that was not yet written: a commit that was torn leaves no such
// thing behind, because nothing is written after it.
func searchTail(f disk.File, s *segment, size int64) (tail, error) {
	t := tail{end: s.size}
	var salt [8]byte
	binary.LittleEndian.PutUint64(salt[:], s.salt)
	w := window{file: f, want: maxReadAhead}
	for pos := s.size; pos < size; {
		n := int(min(maxReadAhead, size-pos))
		b, err := w.at(pos, n, size)
		if err != nil {
			return t, err
		}
		if last := lastNonZero(b); last >= 0 {
			t.end = pos + int64(last) + 1
			t.another = t.another || laterBatch(b, salt[:], s.end, pos == s.size)
		}
		if pos+int64(n) == size {
			return t, nil
		}
		pos += int64(n - batchBytes) // a header may lie across two reads
	}
	return t, nil
}

// laterBatch looks for a batch header in b that promises records from end on; at the very beginning
// it does not count.
func laterBatch(b, salt []byte, end uint64, atTail bool) bool {
	from := 0
	if atTail {
		from = 1
	}
	for {
		i := bytes.Index(b[from:], salt)
		if i < 0 || from+i+batchBytes > len(b) {
			return false
		}
		from += i
		if decodeBatchHeader(b[from:]).base >= end {
			return true
		}
		from++
	}
}

var zeros = disk.Aligned(maxReadAhead)

// lastNonZero returns -1 if all of b, at most maxReadAhead, is zero, which is compared fast.
func lastNonZero(b []byte) int {
	if bytes.Equal(b, zeros[:len(b)]) {
		return -1
	}
	return len(bytes.TrimRight(b, "\x00")) - 1
}

// newest is the last segment and what a crash left to be done to its file.
type newest struct {
	seg *segment
	walked
	garbage int64 // end of what a torn commit left behind the last whole batch
}

// checkNewest reads the last segment in full.
func (l *Log) checkNewest(base uint64) (newest, error) {
	f, s, size, err := l.openForCheck(base)
	if err != nil {
		return newest{}, err
	}
	defer f.Close()
	if err := l.checkNothingFollows(s, size); err != nil {
		return newest{}, err
	}
	found, err := l.walk(f, s, size)
	if err != nil {
		return newest{}, err
	}
	rest, err := searchTail(f, s, size)
	if err != nil {
		return newest{}, err
	}
	if rest.another {
		return newest{}, &CorruptionError{File: s.path, Offset: s.size, Err: found.stop}
	}
	return newest{seg: s, walked: found, garbage: rest.end}, nil
}

// checkNothingFollows makes sure that the last segment really is the one that was written to: one
// with an index, or cut to size, always had a successor.
func (l *Log) checkNothingFollows(s *segment, size int64) error {
	closed := *s
	closed.size = size
	switch err := loadIndex(l.opts.FS, &closed); {
	case err == nil:
		return &CorruptionError{File: segmentPath(l.dir, closed.end), Err: errMissing}
	case errors.Is(err, errBadIndex):
		return &CorruptionError{File: closed.indexPath(), Err: err}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if size < s.zeroed {
		return &CorruptionError{File: s.path, Offset: size, Err: errShort}
	}
	return nil
}
