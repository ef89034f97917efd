package commitlog

import (
	"errors"
	"sort"
	"sync"
	"time"
)

// These bound what is kept between calls of Read: the readers, with a file each, and their buffers.
const (
	maxIdle       = 4
	maxIdleBuffer = 64 << 10
)

// Read returns records from offset on: at least one if offset is below End, nil if not, and no more
// payload than maxBytes unless the first record alone is larger. Errors are those of Reader.Next.
// Readers in sequence are recognised; who reads a lot may hold a Reader instead.
func (l *Log) Read(offset uint64, maxBytes int) ([]Record, error) {
	r := l.idle.take(offset)
	if r == nil {
		r = l.NewReader(offset)
	}
	r.Seek(offset)
	records, err := r.Next(maxBytes)
	if e := l.idle.put(r); err == nil {
		err = e
	}
	return records, err
}

// idleReaders are kept between calls of Read.
type idleReaders struct {
	mu      sync.Mutex
	readers []*Reader // the longest unused first
	closed  bool
}

// take prefers the reader that stands at offset already.
func (p *idleReaders) take(offset uint64) *Reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.readers) == 0 {
		return nil
	}
	i := 0
	for j, r := range p.readers {
		if r.next == offset {
			i = j
		}
	}
	r := p.readers[i]
	p.readers = append(p.readers[:i], p.readers[i+1:]...)
	return r
}

func (p *idleReaders) put(r *Reader) error {
	if cap(r.win.buf) > maxIdleBuffer {
		r.body, r.seg, r.win.buf = nil, nil, nil // one huge batch must not be kept for ever
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.readers) == maxIdle {
		return r.Close()
	}
	p.readers = append(p.readers, r)
	return nil
}

// clear lets go of all readers.
func (p *idleReaders) clear() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	for _, r := range p.readers {
		err = errors.Join(err, r.Close())
	}
	p.readers = nil
	return err
}

// close is clear, and keeps no reader from then on.
func (p *idleReaders) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	return p.clear()
}

// holding returns the segment that holds an offset in [Start, End); state is locked.
func (l *Log) holding(offset uint64) *segment {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].end > offset })
	return l.segments[i]
}

// OffsetAt returns the offset behind the last record stamped before t: so that of the first one stamped t or later, End if
// there is none. A record that was stamped while the clock was ahead is passed over like those before t as soon as a later
// one is stamped before t.
// The error is *CorruptionError, ErrClosed or a failure to read.
func (l *Log) OffsetAt(t time.Time) (uint64, error) {
	stamp := t.UnixMicro()
	if time.UnixMicro(stamp).Before(t) {
		stamp++
	}
	for {
		v, err := l.viewTime(stamp)
		if err != nil || v.seg == nil {
			return v.end, err
		}
		offset, err := l.firstAt(v, stamp)
		if err == nil || !l.gone(v.seg) {
			return offset, err
		}
	}
}

// viewTime returns the view of the segment that holds the record asked for; none, and the record's offset, if it is the
// first of a segment, or the log's end.
func (l *Log) viewTime(t int64) (view, error) {
	l.state.RLock()
	defer l.state.RUnlock()
	if l.shut {
		return view{}, ErrClosed
	}
	for i := len(l.segments) - 1; i >= 0; i-- { // the stamps ascend within a segment only
		s := l.segments[i]
		switch {
		case s.end == s.base || s.first >= t:
		case s.last < t:
			return view{end: s.end}, nil
		default:
			return view{seg: s, end: s.end, size: s.size, pos: s.seekTime(t)}, nil
		}
	}
	return view{end: l.segments[0].base}, nil
}

func (l *Log) firstAt(v view, t int64) (uint64, error) {
	f, err := l.openSegment(v.seg)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := window{file: f}
	for pos := v.pos; ; {
		h, _, err := w.batch(pos, v.size, v.seg.salt)
		if err != nil {
			return 0, l.damage(v.seg, pos, err)
		}
		if h.count > 0 && h.time >= t {
			return h.base, nil
		}
		pos += h.size()
	}
}
