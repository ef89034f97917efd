package jpeg

import "encoding/binary"

// places leads from a position in zigzag order to one in a block of n x n coefficients,
// column by column, and for those not needed to n*n. It has room for positions beyond
// a block, so that ends of blocks and damaged runs need no test.
type places struct {
	n    int
	keep int    // the last position that is needed
	need uint64 // the positions that are
	upTo uint64 // those up to the last one that is
	to   [256]uint8
}

var placesBySize = func() (all [9]*places) {
	for _, n := range scales {
		p := &places{n: n}
		for i := range p.to {
			p.to[i] = uint8(n * n)
		}
		for k, natural := range zigzagOrder {
			if u, v := int(natural&7), int(natural>>3); u < n && v < n {
				p.to[k], p.keep = uint8(u*n+v), k
				p.need |= 1 << k
				p.upTo = span(0, k+1)
			}
		}
		all[n] = p
	}
	return all
}()

// blockSpan is what a block's coefficients are addressed in: 64 and the one behind
// them, rounded up to save the bounds checks.
const blockSpan = 128

// block reads a block of a sequential scan into b, of which the first n*n are zero, and
// returns the difference of its DC, which it does not store, and the last position that
// may not be zero.
//
// It is one long function as everything that a code needs must stay in registers, and
// says the same four times as to ask after each code whether bits are left takes a fifth
// longer.
func (r *bitReader) block(dc, ac *huffman, b *[blockSpan]int16, p *places) (diff int32, last int) {
	acc, n, pos, win := r.acc, r.n, r.pos, r.win[:]
	acc |= binary.BigEndian.Uint64(win[pos:]) >> (n & 63)
	pos += int((63 - n) >> 3)
	n |= 56
	e := dc.look[acc>>(64-lookBits)]
	if e&codeLong == 0 {
		diff = int32(e) >> 16
		acc <<= e & codeBits
		n -= uint(e & codeBits)
	} else {
		var used uint
		diff, used = dc.long(acc, &r.bad)
		acc <<= used & 63
		n -= used
	}
	k := 1
	for k <= p.keep {
		acc |= binary.BigEndian.Uint64(win[pos:]) >> (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := ac.look[acc>>(64-lookBits)]
		if e&codeLong == 0 { // four codes of 11 bits for one load of 56
			acc <<= e & codeBits
			n -= uint(e & codeBits)
			k += int(e >> 8 & 255)
			b[p.to[uint8(k)]&(blockSpan-1)] = int16(e >> 16)
			k++
			if e = ac.look[acc>>(64-lookBits)]; k > p.keep || e&codeLong != 0 {
				continue
			}
			acc <<= e & codeBits
			n -= uint(e & codeBits)
			k += int(e >> 8 & 255)
			b[p.to[uint8(k)]&(blockSpan-1)] = int16(e >> 16)
			k++
			if e = ac.look[acc>>(64-lookBits)]; k > p.keep || e&codeLong != 0 {
				continue
			}
			acc <<= e & codeBits
			n -= uint(e & codeBits)
			k += int(e >> 8 & 255)
			b[p.to[uint8(k)]&(blockSpan-1)] = int16(e >> 16)
			k++
			if e = ac.look[acc>>(64-lookBits)]; k > p.keep || e&codeLong != 0 {
				continue
			}
			acc <<= e & codeBits
			n -= uint(e & codeBits)
			k += int(e >> 8 & 255)
			b[p.to[uint8(k)]&(blockSpan-1)] = int16(e >> 16)
			k++
			continue
		}
		skip, value, used := ac.longAC(e, acc, &r.bad)
		acc <<= used & 63
		n -= used
		k += skip
		b[p.to[uint8(k)]&(blockSpan-1)] = value
		k++
	}
	last = k - 1
	if k > blockEnd {
		last = k - blockEnd - 2
	}
	for k < 64 {
		if n < 32 {
			acc |= binary.BigEndian.Uint64(win[pos:]) >> (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		s := ac.step[acc>>(64-lookBits)]
		if to := k + int(s>>5&stepPositions); s != 0 && to <= 64 {
			acc <<= s & stepBits
			n -= uint(s & stepBits)
			k = to + int(s>>15)<<7
			continue
		}
		skip, _, used := ac.longAC(ac.look[acc>>(64-lookBits)], acc, &r.bad)
		acc <<= used & 63
		n -= used
		k += skip + 1
	}
	if k > 64 && k <= blockEnd {
		r.bad = true // coefficients beyond the block
	}
	r.acc, r.n, r.pos = acc, n, pos
	return diff, min(last, p.keep)
}

// long reads a difference of DC whose code or value is too long for one look-up.
func (t *huffman) long(acc uint64, bad *bool) (diff int32, used uint) {
	size, bits := t.symbol(acc)
	if bits == 0 || size > 16 {
		*bad = true
		return 0, 16
	}
	return extend(uint32(acc<<bits>>32>>(32-size)), uint(size)), bits + uint(size)
}

// longAC does the same for a coefficient of which e was found; a code that the table
// does not have ends the block.
func (t *huffman) longAC(e code, acc uint64, bad *bool) (skip int, value int16, used uint) {
	if e&codeLong == 0 { // a short one after all
		return int(e >> 8 & 255), int16(e >> 16), uint(e & codeBits)
	}
	symbol, bits := byte(e>>8), uint(e&codeBits)
	if bits == 0 {
		symbol, bits = t.symbol(acc)
	}
	size := uint(symbol & 15)
	switch {
	case bits == 0:
		*bad = true
		return blockEnd, 0, 16
	case size == 0 && symbol != 0xf0:
		return blockEnd, 0, bits
	}
	return int(symbol >> 4), int16(extend(uint32(acc<<bits>>32>>(32-size)), size)), bits + size
}
