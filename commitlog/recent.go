package commitlog

import (
	"sync"
	"sync/atomic"
)

// What was written past the page cache would have to come from the disk again for those who read at the log's end. So
// the batches committed last stay in memory a while: as many as lie within recentMost bytes, and for a log of
// small batches within recentLeast; the very last one always, unless it is a single huge record.
const (
	recentLeast   = 64 << 10
	recentMost    = 1 << 20
	recentBatches = 8 // between these bounds
)

// recent keeps the batches committed last, in the buffers they were written from. It never holds what is
// not on stable storage.
type recent struct {
	mu     sync.RWMutex
	pieces []*piece // oldest first
	bytes  int      // memory they take
}

// piece is one batch in memory.
type piece struct {
	seg     *segment
	pos     int64 // of the batch in the file
	buf     []byte
	start   int          // of the batch in buf
	readers atomic.Int32 // that copy from it
}

func (p *piece) end() int64 { return p.pos + int64(len(p.buf)-p.start) }

// push adds a batch and returns a buffer for each of those that it displaces and that nobody is reading.
func (r *recent) push(p *piece, limit int) (free [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pieces = append(r.pieces, p)
	r.bytes += cap(p.buf)
	gone := 0
	for ; r.bytes > limit && gone < len(r.pieces)-1; gone++ {
		old := r.pieces[gone]
		r.pieces[gone] = nil
		r.bytes -= cap(old.buf)
		if old.readers.Load() == 0 {
			free = append(free, old.buf)
		}
	}
	r.pieces = r.pieces[gone:]
	return free
}

// read copies what is in memory of a segment from pos on and returns how much that is.
func (r *recent) read(b []byte, seg *segment, pos int64) (n int) {
	for n < len(b) {
		p := r.hold(seg, pos+int64(n))
		if p == nil {
			break
		}
		n += copy(b[n:], p.buf[p.start+int(pos+int64(n)-p.pos):])
		p.readers.Add(-1)
	}
	return n
}

// has says whether the byte at pos is in memory.
func (r *recent) has(seg *segment, pos int64) bool {
	p := r.hold(seg, pos)
	if p != nil {
		p.readers.Add(-1)
	}
	return p != nil
}

// hold returns the piece that has the byte at pos, nil if there is none. The caller lets go of it.
func (r *recent) hold(seg *segment, pos int64) *piece {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := len(r.pieces) - 1; i >= 0; i-- {
		if p := r.pieces[i]; p.seg == seg && p.pos <= pos && pos < p.end() {
			p.readers.Add(1)
			return p
		}
	}
	return nil
}

// clear lets go of all memory.
func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pieces, r.bytes = nil, 0
}
