package commitlog

import (
	"fmt"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".log"
	indexSuffix   = ".idx"
	tempSuffix    = ".tmp"
	indexEvery    = 64 << 10 // bytes between two index entries, about
)

// entry is one step of the sparse index.
type entry struct {
	base uint64
	time int64
	pos  int64
}

// segment is what is known in memory about one segment file. Its fields are guarded by Log.state;
// the slots of index below its length never change.
type segment struct {
	path string // of the .log file
	base uint64
	end  uint64 // next offset
	header
	size    int64 // bytes of header and whole batches
	first   int64 // time of the first batch with records
	last    int64 // time of the last batch with records, in an empty segment that of the segment before
	index   []entry
	indexed bool // its index is on disk and sound
	dropped bool
}

func newSegment(dir string, base uint64, h header) *segment {
	return &segment{path: segmentPath(dir, base), base: base, end: base, header: h, size: headerBytes}
}

func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, segmentSuffix))
}

func (s *segment) indexPath() string { return indexPath(s.path) }

func indexPath(segment string) string {
	return strings.TrimSuffix(segment, segmentSuffix) + indexSuffix
}

// parseName takes the base offset out of a file name of 20 digits and the suffix.
func parseName(name, suffix string) (base uint64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found || len(digits) != 20 {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 10, 64)
	return base, err == nil
}

// add takes a batch into account that follows the last one.
func (s *segment) add(h batchHeader) {
	if h.count > 0 {
		if s.end == s.base {
			s.first = h.time
		}
		if len(s.index) == 0 || s.size-s.index[len(s.index)-1].pos >= indexEvery {
			s.index = append(s.index, entry{base: h.base, time: h.time, pos: s.size})
		}
		s.last = h.time
	}
	s.end = h.end()
	s.size += h.size()
}

// seek returns a position at or before the batch that holds the offset.
func (s *segment) seek(offset uint64) int64 {
	i := sort.Search(len(s.index), func(i int) bool { return s.index[i].base > offset })
	if i == 0 {
		return headerBytes
	}
	return s.index[i-1].pos
}

// seekTime returns a position at or before the first batch stamped t or later.
func (s *segment) seekTime(t int64) int64 {
	i := sort.Search(len(s.index), func(i int) bool { return s.index[i].time >= t })
	if i == 0 {
		return headerBytes
	}
	return s.index[i-1].pos
}
