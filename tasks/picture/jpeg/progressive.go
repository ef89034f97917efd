package jpeg

import "math/bits"

// acRow reads a row of blocks of a scan of AC (T.81, G.1.2.2 and G.1.2.3).
func (d *decoder) acRow(y int) {
	s, m := &d.scan, &d.scan.members[0]
	c := &d.coeffs[m.index]
	b := band{from: s.from, to: s.to, low: s.low, places: d.places, table: m.ac}
	for x := range s.across {
		if !d.ready() {
			continue
		}
		at := y*c.across + x
		b.values, b.nonzero = c.values[at*c.area:(at+1)*c.area], &c.nonzero[at]
		switch {
		case s.high > 0:
			d.bits.refine(&b, &s.run)
		case s.run > 0:
			s.run--
			continue // no data, so nothing to settle
		default:
			s.run = d.bits.first(&b)
		}
		d.settle()
	}
}

// band is the part of a block that a scan of AC is about.
type band struct {
	from, to int
	low      uint
	places   *places
	table    *huffman
	values   []int16
	nonzero  *uint64
}

// first reads a block's band for the first time and returns how many blocks after it
// are zero.
func (r *bitReader) first(b *band) (run int) {
	acc, n := r.acc, r.n
	nonzero := *b.nonzero
	t := b.table
	for k := b.from; k <= b.to; k++ {
		if n < 32 {
			r.acc, r.n = acc, n
			r.refill()
			acc, n = r.acc, r.n
		}
		e := t.look[acc>>(64-lookBits)]
		skip, value, used := int(e>>8&255), int16(e>>16), uint(e&codeBits)
		if e&codeLong != 0 {
			skip, value, used, run = t.longProgressive(e, acc, &r.bad)
		}
		acc <<= used & 63
		n -= used
		k += skip
		if k > b.to {
			r.bad = r.bad || k < blockEnd
			break
		}
		if value != 0 {
			nonzero |= 1 << k
			if to := int(b.places.to[k]); to < len(b.values) {
				b.values[to] = clamp16(int32(value) << b.low)
			}
		}
	}
	*b.nonzero = nonzero
	r.acc, r.n = acc, n
	return run
}

// longProgressive is longAC for a scan where symbols of no size end a run of blocks:
// run is how many blocks after this one it has (T.81, G.1.2.2).
func (t *huffman) longProgressive(e code, acc uint64, bad *bool) (skip int, value int16, used uint, run int) {
	symbol, length := byte(e>>8), uint(e&codeBits)
	if length == 0 {
		symbol, length = t.symbol(acc)
	}
	if size := uint(symbol >> 4); length != 0 && symbol&15 == 0 && size < 15 {
		return blockEnd, 0, length + size, 1<<size + int(acc<<length>>32>>(32-size)) - 1
	}
	skip, value, used = t.longAC(e, acc, bad)
	return skip, value, used, 0
}

// refine reads one more bit of each coefficient of a band that is not zero, and those
// that become so. run is how many blocks, this one included, have none that do.
func (r *bitReader) refine(b *band, run *int) {
	k := b.from
	for *run == 0 && k <= b.to {
		if r.n < 32 {
			r.refill()
		}
		e := b.table.look[r.acc>>(64-lookBits)]
		skip, value, used := int(e>>8&255), int16(e>>16), uint(e&codeBits)
		after := 0
		if e&codeLong != 0 {
			skip, value, used, after = b.table.longProgressive(e, r.acc, &r.bad)
		}
		r.acc <<= used & 63
		r.n -= used
		if skip >= blockEnd {
			*run = after + 1
			break
		}
		r.bad = r.bad || value > 1 || value < -1
		k = r.refineTo(b, k, skip, value)
	}
	if *run > 0 {
		*run--
		r.corrections(b, *b.nonzero&span(k, b.to+1))
	}
}

// refineTo goes to the zero coefficient behind skip others, correcting those on the way
// that are not zero, puts value there and returns the position behind it.
func (r *bitReader) refineTo(b *band, k, skip int, value int16) int {
	zero := ^*b.nonzero & span(k, b.to+1)
	for ; skip > 0 && zero != 0; skip-- {
		zero &= zero - 1
	}
	at := b.to + 1
	if zero != 0 {
		at = bits.TrailingZeros64(zero)
	}
	r.corrections(b, *b.nonzero&span(k, at))
	if at > b.to {
		r.bad = true
		return at
	}
	if value != 0 {
		*b.nonzero |= 1 << at
		if to := int(b.places.to[at]); to < len(b.values) {
			b.values[to] = clamp16(int32(value) << b.low)
		}
	}
	return at + 1
}

// span is the set of positions from … to-1.
func span(from, to int) uint64 { return 1<<to - 1<<from }

// corrections reads a bit for each coefficient in which and moves away from zero those
// whose bit is set.
func (r *bitReader) corrections(b *band, which uint64) {
	for which != 0 {
		count := min(bits.OnesCount64(which), 32)
		set := uint64(r.bits(uint(count))) << (64 - count)
		for ; count > 0; count-- {
			if set == 0 { // the rest of these stays
				for ; count > 0; count-- {
					which &= which - 1
				}
				break
			}
			k := bits.TrailingZeros64(which)
			which &= which - 1
			if to := int(b.places.to[k]); int64(set) < 0 && to < len(b.values) {
				if b.values[to] >= 0 {
					b.values[to] += 1 << b.low
				} else {
					b.values[to] -= 1 << b.low
				}
			}
			set <<= 1
		}
	}
}
