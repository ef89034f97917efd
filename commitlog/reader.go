package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"casepress/disk"
)

const maxReadAhead = 1 << 20 // unless a single batch is larger

// Record is one payload with its place in the log.
type Record struct {
	Offset  uint64
	Time    time.Time // when its batch was committed, UTC, in microseconds; see Options.Now
	Payload []byte
}

// Reader reads a log front to back, or from where Seek puts it. It keeps its place, one file, open for as long as
// Options.Files lets it, and one buffer of 64 KiB to 1 MiB, or as large as the largest batch it met. It sees only what is on
// stable storage and verifies every checksum. It is not for use by several goroutines at once.
type Reader struct {
	log  *Log
	next uint64 // offset of the record to return next

	seg   *segment // nil until located
	win   window
	pos   int64  // of the next batch to load
	body  []byte // records left of the batch before pos; part of win's buffer
	at    uint64 // offset of the first record in body, else of the batch at pos
	known bool   // at is known, so the batch at pos must begin with it
	stamp time.Time
}

// NewReader returns a reader that starts at offset. Close it before the log.
func (l *Log) NewReader(offset uint64) *Reader {
	return &Reader{log: l, next: offset, win: window{log: l}}
}

// Offset returns the offset of the record that Next returns first.
func (r *Reader) Offset() uint64 { return r.next }

// Seek makes offset the one that Next returns first.
func (r *Reader) Seek(offset uint64) {
	if offset != r.next {
		r.next, r.body, r.seg = offset, nil, nil
	}
}

// Close lets go of the file.
func (r *Reader) Close() error {
	err := r.win.close()
	r.seg, r.body, r.win = nil, nil, window{log: r.log}
	if err != nil {
		return fmt.Errorf("close segment: %w", err)
	}
	return nil
}

// Buffered returns the bytes of the buffer that the reader keeps.
func (r *Reader) Buffered() int { return cap(r.win.buf) }

// Next returns the next records: at least one if there is one, nil at the log's end, and no more
// payload than maxBytes unless the first alone is larger. The payloads belong to the caller. The
// error is *OutOfRangeError if retention has dropped the offset, *CorruptionError if the bytes are
// not what was written, ErrClosed, or a failure to read; the place stays as it was.
func (r *Reader) Next(maxBytes int) ([]Record, error) {
	v, err := r.log.view(r.next)
	if err != nil || v.seg == nil {
		return nil, err
	}
	if v.seg != r.seg {
		r.win.reset(v.seg)
		r.seg, r.pos, r.body, r.known = v.seg, v.pos, nil, false
	}
	r.win.want = min(maxBytes, maxReadAhead)
	var out harvest
	for r.next < v.end {
		if len(r.body) == 0 {
			if len(out.records) > 0 && !r.win.holdsBatch(r.pos) {
				break // to read on would overwrite what was found
			}
			if err := r.load(v); err != nil {
				if len(out.records) > 0 {
					break
				}
				return nil, err
			}
			continue
		}
		if r.collect(&out, maxBytes) {
			break
		}
	}
	return out.own(), nil
}

// view is what a reader may see of the segment that holds an offset.
type view struct {
	seg  *segment
	end  uint64
	size int64
	pos  int64 // at or before the batch that holds the offset
}

// view returns no segment if the offset is at or past the end.
func (l *Log) view(offset uint64) (view, error) {
	l.state.RLock()
	defer l.state.RUnlock()
	if l.shut {
		return view{}, ErrClosed
	}
	end := l.end.Load()
	if offset >= end {
		return view{}, nil
	}
	if start := l.segments[0].base; offset < start {
		return view{}, &OutOfRangeError{Offset: offset, Start: start, End: end}
	}
	s := l.holding(offset)
	return view{seg: s, end: s.end, size: s.size, pos: s.seek(offset)}, nil
}

// load reads the batch at pos. It leaves no body if next lies behind the batch, as it does behind a
// seal. It may overwrite the buffer: only Next can tell whether something in it is still needed, so it
// is asked before every batch.
func (r *Reader) load(v view) error {
	h, b, err := r.win.batch(r.pos, v.size, v.seg.salt)
	if err == nil && (h.base > r.next || r.known && h.base != r.at) {
		err = errBatchOrder
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, dropped := r.log.view(r.next); dropped != nil {
			return dropped // in between
		}
	}
	if err != nil {
		return r.log.damage(v.seg, r.pos, err)
	}
	r.pos += h.size()
	r.at, r.known = h.end(), true
	if h.end() <= r.next {
		return nil
	}
	r.at, r.body, r.stamp = h.base, b[batchBytes:], time.UnixMicro(h.time).UTC()
	for r.at < r.next {
		r.shift()
	}
	return nil
}

// shift takes the first record off the body.
func (r *Reader) shift() []byte {
	n := recordOverhead + binary.LittleEndian.Uint32(r.body)
	payload := r.body[recordOverhead:n]
	r.body = r.body[n:]
	r.at++
	return payload
}

// collect takes records from the body and says whether maxBytes are reached.
func (r *Reader) collect(out *harvest, maxBytes int) (full bool) {
	for len(r.body) > 0 {
		n := int(binary.LittleEndian.Uint32(r.body))
		if len(out.records) > 0 && out.bytes+n > maxBytes {
			return true
		}
		out.records = append(out.records, Record{Offset: r.next, Time: r.stamp, Payload: r.shift()})
		out.bytes += n
		r.next++
	}
	return out.bytes >= maxBytes
}

// harvest gathers records that still lie in the reader's buffer.
type harvest struct {
	records []Record
	bytes   int
}

// own copies the payloads out of the buffer, all into one piece of memory.
func (h harvest) own() []Record {
	arena := make([]byte, 0, h.bytes)
	for i, rec := range h.records {
		from := len(arena)
		arena = append(arena, rec.Payload...)
		h.records[i].Payload = arena[from:len(arena):len(arena)]
	}
	return h.records
}

// openSegment opens a segment for reading.
func (l *Log) openSegment(s *segment) (disk.File, error) {
	f, err := l.opts.FS.OpenFile(s.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return f, nil
}

// damage puts a place to what is wrong with a segment's bytes; other failures it leaves alone.
func (l *Log) damage(s *segment, pos int64, err error) error {
	if isFormatError(err) {
		return &CorruptionError{File: s.path, Offset: pos, Err: err}
	}
	return fmt.Errorf("%s at byte %d: %w", s.path, pos, err)
}
