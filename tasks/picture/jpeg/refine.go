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
		for ; skip > 0; skip-- {
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
			r.bad = r.bad || value > 1 || value < -1
			*b.nonzero |= landing
			if to := int(b.places.to[bits.TrailingZeros64(landing)]); to < len(b.values) {
				b.values[to] = value << b.low
			}
		}
	}
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
		if int64(set) >= 0 {
			continue
		}
		if to := int(b.places.to[k]); to < len(b.values) {
			if b.values[to] >= 0 {
				b.values[to] += 1 << b.low
			} else {
				b.values[to] -= 1 << b.low
			}
		}
	}
}
