package jpeg

import (
	"encoding/binary"
	"math/bits"
)

// refine reads one more bit of each coefficient of a band that is not zero, and those
// that become so. run is how many blocks, this one included, have none that do; it
// returns how many there are after this one.
//
// A code stands for a number of zero coefficients to pass over and the one behind them;
// between the code and the next there is a bit for each coefficient on the way that is
// not zero. Which are is known from a set, so none needs to be looked at.
func (r *bitReader) refine(b *band, run int) int {
	acc, n, pos, win := r.acc, r.n, r.pos, r.win[:]
	before := *b.nonzero & span(b.from, b.to+1)
	zero := span(b.from, b.to+1) &^ before
	var fresh uint64 // those that become something else
	var odd int16    // is more than 1 if a value is neither 1 nor -1
	for run == 0 && (zero|before) != 0 {
		if n < 32 {
			acc |= binary.BigEndian.Uint64(win[pos:]) >> (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		e := b.table.look[acc>>(64-lookBits)]
		skip, value, used := int(e>>8&255), int16(e>>16), uint(e&codeBits)
		if e&codeLong != 0 {
			skip, value, used, run = b.table.longProgressive(e, acc, &r.bad)
		}
		acc <<= used & 63
		n -= used
		if skip >= blockEnd {
			run++
			break
		}
		// Most skip few; a loop for all would be guessed wrong at most ends.
		if next := zero & (zero - 1); skip > 0 {
			zero = next
		}
		if next := zero & (zero - 1); skip > 1 {
			zero = next
		}
		if next := zero & (zero - 1); skip > 2 {
			zero = next
		}
		for ; skip > 3; skip-- {
			zero &= zero - 1
		}
		landing := zero & -zero // none if there are not as many
		zero &= zero - 1
		passed := before & (landing - 1)
		before &^= passed
		if passed != 0 {
			count := uint(bits.OnesCount64(passed))
			if count > n {
				acc |= binary.BigEndian.Uint64(win[pos:]) >> (n & 63)
				pos += int((63 - n) >> 3)
				n |= 56
			}
			if count > n { // very many: in two
				r.acc, r.n, r.pos = acc, n, pos
				r.corrections(b, passed)
				acc, n, pos = r.acc, r.n, r.pos
			} else {
				b.correct(passed, acc, count)
				acc <<= count & 63
				n -= count
			}
		}
		if landing == 0 {
			r.bad = true
			break
		}
		if value != 0 {
			odd |= value * value
			fresh |= landing
			if to := int(b.places.to[uint8(bits.TrailingZeros64(landing))]); to < len(b.values) {
				b.values[to] = value << (b.low & 15)
			}
		}
	}
	*b.nonzero |= fresh
	r.bad = r.bad || odd > 1 || odd < 0
	r.acc, r.n, r.pos = acc, n, pos
	if run == 0 {
		return 0
	}
	r.corrections(b, before)
	return run - 1
}

// span is the set of positions from … to-1.
func span(from, to int) uint64 { return 1<<to - 1<<from }

// corrections reads the bits for the coefficients in which.
func (r *bitReader) corrections(b *band, which uint64) {
	for which != 0 {
		part := which
		if bits.OnesCount64(which) > 32 {
			part = which & (1<<32 - 1)
		}
		count := uint(bits.OnesCount64(part))
		if r.n < count {
			r.refill()
		}
		b.correct(part, r.acc, count)
		r.acc <<= count
		r.n -= count
		which &^= part
	}
}

// correct moves away from zero those coefficients in which whose bit is set in the
// first count bits of acc.
func (b *band) correct(which, acc uint64, count uint) {
	which &= b.places.upTo // of the others only the bits count
	set := acc &^ (1<<(64-count) - 1)
	for ; which != 0 && set != 0; set <<= 1 {
		k := bits.TrailingZeros64(which)
		which &= which - 1
		if to := int(b.places.to[uint8(k)]); to < len(b.values) {
			v := b.values[to]
			b.values[to] = v + (v>>15|1)*int16(set>>63)<<(b.low&15)
		}
	}
}
