package commitlog

import (
	"fmt"
	"io"

	"casepress/disk"
)

const (
	windowBytes = 64 << 10
	directBytes = 256 << 10 // from where on it pays to leave the page cache out
)

// window reads a file front to back through one buffer that it keeps. What it hands out is valid
// until the next call.
type window struct {
	file disk.File
	want int    // bytes to read at a time
	pos  int64  // position in the file of buf[0]
	buf  []byte // what was read; aligned

	// Only in a reader's window. The others have to see what is in the file.
	log    *Log     // whose memory is asked first
	seg    *segment // that file is of
	direct bool     // file is read past the page cache
}

// at returns n bytes of the file from pos on; the file is taken to end at limit.
func (w *window) at(pos int64, n int, limit int64) ([]byte, error) {
	if pos < w.pos || pos+int64(n) > w.pos+int64(len(w.buf)) {
		if err := w.fill(pos, n, limit); err != nil {
			return nil, err
		}
	}
	from := int(pos - w.pos)
	return w.buf[from : from+n : from+n], nil
}

// reset turns to another file and keeps the buffer.
func (w *window) reset(file disk.File, seg *segment) {
	w.file, w.seg, w.direct, w.pos, w.buf = file, seg, false, 0, w.buf[:0]
}

// holdsBatch says whether the whole batch at pos can be had without reading on.
func (w *window) holdsBatch(pos int64) bool {
	end := w.pos + int64(len(w.buf))
	if pos < w.pos || pos+batchBytes > end {
		return false
	}
	return pos+decodeBatchHeader(w.buf[pos-w.pos:]).size() <= end
}

// fill reads n bytes from pos on, and more if they are there: each time twice as much while one piece follows the
// other, for that is how a reader that has fallen behind catches up soonest.
func (w *window) fill(pos int64, n int, limit int64) error {
	ahead := windowBytes
	if w.pos <= pos && pos <= w.pos+int64(len(w.buf)) {
		ahead = min(2*len(w.buf), maxReadAhead)
	}
	size := int(min(int64(max(n, w.want, windowBytes, ahead)), limit-pos))
	if size < n {
		return fmt.Errorf("read %d bytes at %d of %d: %w", n, pos, limit, io.ErrUnexpectedEOF)
	}
	if w.log != nil && w.remember(pos, n, size) {
		return nil
	}
	if w.log != nil && size >= directBytes && !w.direct {
		w.turnDirect()
	}
	return w.read(pos, size)
}

// remember takes up to size bytes from the log's memory, if at least n are there.
func (w *window) remember(pos int64, n, size int) bool {
	if !w.log.recent.has(w.seg, pos) {
		return false
	}
	w.provide(size)
	w.pos, w.buf = pos, w.buf[:size]
	w.buf = w.buf[:w.log.recent.read(w.buf, w.seg, pos)]
	return len(w.buf) >= n
}

// read reads whole blocks but shows nothing behind pos+size.
func (w *window) read(pos int64, size int) error {
	start := roundDown(pos)
	size += int(pos - start)
	w.provide(roundUp(size))
	w.pos, w.buf = start, w.buf[:size]
	n, err := w.file.ReadAt(w.buf[:roundUp(size)], start)
	if n < size {
		w.buf = w.buf[:0]
		return fmt.Errorf("read segment: %w", err)
	}
	return nil
}

// provide makes the buffer large enough, and small again when a reader has caught up.
func (w *window) provide(size int) {
	if cap(w.buf) < size || cap(w.buf)/8 > max(size, windowBytes) {
		w.buf = disk.Aligned(size)
	}
}

// turnDirect goes on past the page cache, which is faster for large reads of what was written past it. If the file
// cannot be opened again, the one that is open will do.
func (w *window) turnDirect() {
	if f, err := w.log.openSegment(w.seg, disk.Direct); err == nil {
		_ = w.file.Close() // it was only read
		w.file, w.direct = f, true
	}
}

// batch returns the checked batch at pos. The error is one of format.go's reasons if there is none,
// and another if the file could not be read. Memory is bounded by limit whatever the bytes say.
func (w *window) batch(pos, limit int64, salt uint64) (batchHeader, []byte, error) {
	if limit-pos < batchBytes {
		return batchHeader{}, nil, errNoBatch
	}
	b, err := w.at(pos, batchBytes, limit)
	if err != nil {
		return batchHeader{}, nil, err
	}
	h := decodeBatchHeader(b)
	if h.salt != salt {
		return h, nil, errNoBatch
	}
	if h.size() > limit-pos {
		return h, nil, errBatchLength
	}
	if b, err = w.at(pos, int(h.size()), limit); err != nil {
		return h, nil, err
	}
	return h, b, checkBatch(h, b)
}
