package commitlog

import (
	"fmt"
	"io"

	"casepress/disk"
)

const windowBytes = 64 << 10

// window reads a file front to back through one buffer that it keeps. What it hands out is valid
// until the next call.
type window struct {
	file disk.File // nil in a reader's window, which has held
	want int       // bytes to read at a time
	pos  int64     // position in the file of buf[0]
	buf  []byte    // what was read

	// Only in a reader's window. The others have to see what is in the file.
	log  *Log      // whose memory is asked first
	seg  *segment  // that held is of
	held *heldFile // opened when something is not in memory
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

// reset turns to another segment of the log and keeps the buffer.
func (w *window) reset(seg *segment) {
	if w.held == nil || w.seg != seg {
		_ = w.close() // it was only read
		w.held = &heldFile{files: w.log.opts.Files, open: func() (disk.File, error) { return w.log.openSegment(seg) }}
	}
	w.seg, w.pos, w.buf = seg, 0, w.buf[:0]
}

// close lets go of the file.
func (w *window) close() error {
	if w.held == nil {
		return nil
	}
	return w.held.close()
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
	w.provide(size)
	w.pos, w.buf = pos, w.buf[:size]
	if err := w.read(pos); err != nil {
		w.buf = w.buf[:0]
		return fmt.Errorf("read segment: %w", err)
	}
	return nil
}

// read fills the buffer from the file.
func (w *window) read(pos int64) error {
	file := w.file
	if w.held != nil {
		var err error
		if file, err = w.held.use(); err != nil {
			return err
		}
		defer w.held.done()
	}
	_, err := file.ReadAt(w.buf, pos)
	return err
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

// provide makes the buffer large enough, and small again when a reader has caught up.
func (w *window) provide(size int) {
	if cap(w.buf) < size || cap(w.buf)/8 > max(size, windowBytes) {
		w.buf = make([]byte, size)
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
