package jpeg

// acRow reads a row of blocks of a scan of AC (T.81, G.1.2.2 and G.1.2.3).
func (d *decoder) acRow(y int) {
	s, m := &d.scan, &d.scan.members[0]
	c := &d.coeffs[m.index]
	b := band{from: s.from, to: s.to, low: s.low, places: d.places, table: m.ac}
	for x := 0; x < s.across; x++ {
		if n := d.withoutData(c.nonzero[y*c.across+x : y*c.across+s.across]); n > 0 {
			s.run, s.left, x = s.run-n, s.left-n, x+n-1
			continue
		}
		if !d.ready() {
			continue
		}
		at := y*c.across + x
		b.values, b.nonzero = c.values[at*c.area:(at+1)*c.area], &c.nonzero[at]
		if s.high > 0 {
			s.run = d.bits.refine(&b, s.run)
		} else {
			s.run = d.bits.first(&b)
		}
		d.acceptMCU()
	}
}

// withoutData counts the next blocks of a run that have no data: nothing to begin, and
// nothing to refine either.
func (d *decoder) withoutData(nonzero []uint64) int {
	s := &d.scan
	if s.run == 0 || s.lost > 0 || s.over {
		return 0
	}
	most := min(s.run, len(nonzero), s.left)
	if s.high == 0 {
		return most
	}
	for i, set := range nonzero[:most] {
		if set&span(s.from, s.to+1) != 0 {
			return i
		}
	}
	return most
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
