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
	file   disk.File
	seg    *segment // of the file, for what recent has of it
	recent *recent  // nil to read everything from the file
	want   int      // bytes to read at a time
	pos    int64    // position in the file of buf[0]
	buf    []byte   // what was read
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
	w.file, w.seg, w.pos, w.buf = file, seg, 0, w.buf[:0]
}

// holdsBatch says whether the whole batch at pos can be had without reading on.
func (w *window) holdsBatch(pos int64) bool {
	end := w.pos + int64(len(w.buf))
	if pos < w.pos || pos+batchBytes > end {
		return false
	}
	return pos+decodeBatchHeader(w.buf[pos-w.pos:]).size() <= end
}

func (w *window) fill(pos int64, n int, limit int64) error {
	size := int(min(int64(max(n, w.want, windowBytes)), limit-pos))
	if size < n {
		return fmt.Errorf("read %d bytes at %d of %d: %w", n, pos, limit, io.ErrUnexpectedEOF)
	}
	if cap(w.buf) < size {
		w.buf = make([]byte, size)
	}
	w.pos, w.buf = pos, w.buf[:size]
	if err := w.read(pos); err != nil {
		w.buf = w.buf[:0]
		return fmt.Errorf("read segment: %w", err)
	}
	return nil
}

func (w *window) read(pos int64) error {
	n := 0
	if w.recent != nil {
		n = w.recent.read(w.buf, w.seg, pos)
	}
	if n == len(w.buf) {
		return nil
	}
	_, err := w.file.ReadAt(w.buf[n:], pos+int64(n))
	return err
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
