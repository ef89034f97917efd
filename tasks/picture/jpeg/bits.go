package jpeg

import (
	"bytes"
	"encoding/binary"

	"casepress/tasks/picture/container"
)

const (
	windowSize = 32 << 10
	// windowNeed bounds the bytes of one MCU: 48 blocks of 64 codes of 16 + 16 bits.
	windowNeed  = 48*64*4 + 64
	windowSlack = windowNeed + 64
)

// bitReader reads the bits of entropy-coded data up to the next marker. It keeps a
// window of the data without the stuffed zeros, so that eight bytes may be loaded
// anywhere; behind the last byte the window holds zeros for as long as an MCU can read.
//
//	win:   | read | pos … | end … zeros |
//	acc:   n bits, the next one on top; below them bits that the next load repeats
type bitReader struct {
	data     []byte
	at       int // the next byte of data to go into the window
	pos      int // the next byte of the window to go into acc
	end      int
	dirty    int // from here on the window holds zeros
	acc      uint64
	n        uint
	ended    bool  // data[at:] starts with a marker, or is empty
	restarts bool  // restart markers end the window; else they are stepped over
	bad      bool  // a code that no table has, or coefficients beyond the block
	stray    int   // markers where there should be data
	ahead    []int // where in the window those are that have not been come to yet
	win      [windowSize + windowSlack]byte
}

// start puts the reader at data[at:], the first byte of entropy-coded data.
func (r *bitReader) start(data []byte, at int) {
	r.data, r.at = data, at
	r.pos, r.end, r.acc, r.n = 0, 0, 0, 0
	r.ended, r.bad, r.ahead = false, false, r.ahead[:0]
	r.fill()
}

// ensure fills the window if an MCU might read beyond it.
func (r *bitReader) ensure() {
	if r.end-r.pos < windowNeed && !r.ended {
		r.fill()
	}
}

func (r *bitReader) fill() {
	r.end = copy(r.win[:], r.win[r.pos:max(r.pos, r.end)])
	r.passStray(r.pos)
	r.pos = 0
	for r.end < windowSize && !r.ended {
		r.fillTo(r.data[r.at:min(len(r.data), r.at+windowSize-r.end)])
	}
	r.dirty = max(r.dirty, r.end)
	if r.ended && r.dirty > r.end { // short intervals leave little to clear
		clear(r.win[r.end:r.dirty])
		r.dirty = r.end
	}
}

// fillTo takes the bytes up to the first FF of chunk, and what stands there.
func (r *bitReader) fillTo(chunk []byte) {
	i := bytes.IndexByte(chunk, 0xff)
	if i < 0 {
		r.end += copy(r.win[r.end:], chunk)
		r.at += len(chunk)
		r.ended = r.at == len(r.data)
		return
	}
	r.end += copy(r.win[r.end:], chunk[:i])
	r.at += i
	if r.at+1 >= len(r.data) {
		r.at, r.ended = len(r.data), true
		return
	}
	r.special(r.data[r.at+1])
}

// special handles FF and the byte after it.
func (r *bitReader) special(next byte) {
	switch {
	case next == 0:
		r.put(2)
	case next == 0xff: // a fill byte
		r.at++
	case next < container.MarkerSOF0: // reserved: damage rather than a marker
		r.addStray()
		r.put(1)
	case container.IsRestart(next) && !r.restarts:
		r.addStray()
		r.at += 2
	default:
		r.ended = true
	}
}

// addStray notes a stray marker. Whether it is damage shows when the data around it are read:
// behind the last MCU it is not.
func (r *bitReader) addStray() {
	const most = 256
	if len(r.ahead) == most {
		r.stray++
		return
	}
	r.ahead = append(r.ahead, r.end)
}

// passStray counts the stray markers in the first n bytes of the window, which are done with.
func (r *bitReader) passStray(n int) {
	left := r.ahead[:0]
	for _, at := range r.ahead {
		if at < n {
			r.stray++
		} else {
			left = append(left, at-n)
		}
	}
	r.ahead = left
}

// passRead counts the stray markers in front of the end of what was read, which it returns.
func (r *bitReader) passRead() (read int) {
	read = (r.pos*8 - int(r.n) + 7) / 8
	r.passStray(read)
	return read
}

// unread says that bytes are left behind what was read.
func (r *bitReader) unread() bool {
	read := r.passRead()
	return !r.ended || r.end > read || len(r.ahead) > 0
}

// put takes an FF that stands for itself, written in n bytes.
func (r *bitReader) put(n int) {
	r.win[r.end] = 0xff
	r.end++
	r.at += n
}

// overrun says that more bits were read than there were.
func (r *bitReader) overrun() bool { return r.ended && r.pos*8-int(r.n) > r.end*8 }

// refill makes n at least 56.
func (r *bitReader) refill() {
	r.acc |= binary.BigEndian.Uint64(r.win[r.pos:]) >> (r.n & 63)
	r.pos += int((63 - r.n) >> 3)
	r.n |= 56
}

// bits reads count bits, 0 to 32.
func (r *bitReader) bits(count uint) uint32 {
	if r.n < 32 {
		r.refill()
	}
	v := uint32(r.acc >> 32 >> (32 - count))
	r.acc <<= count
	r.n -= count
	return v
}
