package jpeg

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"sync"
)

// coefficients keeps a component of a progressive picture until its last scan: of each
// block the area coefficients that are needed, and which of all 64 are not zero.
type coefficients struct {
	area    int
	across  int // blocks in a row
	values  []int16
	nonzero []uint64 // a bit for each position in zigzag order; that of DC is not used
	seen    bool     // a scan of DC was read
	// toCome are the lower bits that scans have not given yet, of each position in zigzag order.
	toCome [64]uint8
	broken bool // a scan of AC was cut short: what refines it makes no sense
}

// coefficientPool keeps the storage of pictures for those after them, up to
// largestStore bytes each.
var coefficientPool sync.Pool

const largestStore = 16 << 20

type coefficientStore struct {
	values  []int16
	nonzero []uint64
}

func (c *coefficients) allocate(of component, size int) {
	c.area, c.across = size*size, of.across
	blocks := of.across * of.down
	for k := range c.toCome {
		c.toCome[k] = math.MaxUint8
	}
	store, _ := coefficientPool.Get().(*coefficientStore)
	if store == nil || !fits(cap(store.nonzero), blocks) || !fits(cap(store.values), blocks*c.area) {
		c.values, c.nonzero = make([]int16, blocks*c.area), make([]uint64, blocks)
		return
	}
	c.values, c.nonzero = store.values[:blocks*c.area], store.nonzero[:blocks]
	clear(c.values)
	clear(c.nonzero)
}

// fits says whether storage for have serves for want without holding much more.
func fits(have, want int) bool { return have >= want && have <= want+want/8 }

func (c *coefficients) release() {
	if c.values != nil && 2*cap(c.values)+8*cap(c.nonzero) <= largestStore {
		coefficientPool.Put(&coefficientStore{c.values, c.nonzero})
	}
	*c = coefficients{}
}

// checkProgression refuses scans that T.81, G.1.1.1 has no meaning for.
func (d *decoder) checkProgression() error {
	s := &d.scan
	switch {
	case s.from > s.to, s.to > 63, s.from == 0 && s.to != 0, s.from > 0 && len(s.members) > 1,
		s.low > 13, s.high > 0 && s.high != s.low+1:
		return fmt.Errorf("scan of %d to %d, %d, %d: %w", s.from, s.to, s.high, s.low, ErrFormat)
	}
	return nil
}

// runProgressive reads a scan into the coefficients. Scans of nothing that is needed,
// now or to tell which coefficients are zero later, are stepped over.
func (d *decoder) runProgressive() error {
	s := &d.scan
	for _, m := range s.members {
		d.coeffs[m.index].given(s)
	}
	before := d.damage.missing
	if ac := &d.coeffs[s.members[0].index]; s.from > 0 && (d.size == 1 || s.high > 0 && ac.broken) {
		return nil
	}
	for y := range s.down {
		if d.ctx.Err() != nil {
			return context.Cause(d.ctx)
		}
		if s.from == 0 {
			d.dcRow(y)
		} else {
			d.acRow(y)
		}
		if s.over {
			d.damage.missing += int64(s.down-y-1) * int64(s.across)
			break
		}
	}
	if s.run > 0 && !s.over {
		d.damage.places++ // a run beyond the last block
	}
	for _, m := range s.members {
		c := &d.coeffs[m.index]
		c.seen = c.seen || s.from == 0
		c.broken = c.broken || s.from > 0 && s.over
	}
	if !s.first() { // what is missing of it is detail
		d.damage.ended = d.damage.ended || d.damage.missing > before
		d.damage.missing = before
	}
	d.bits.passRead()
	d.closeScan(s.first())
	return nil
}

// given takes down which bits a scan gives. One that goes on where no scan has ended gives none: what lies between is
// missing.
func (c *coefficients) given(s *scan) {
	for k := s.from; k <= s.to; k++ {
		if s.high == 0 || uint(c.toCome[k]) == s.high {
			c.toCome[k] = uint8(s.low)
		}
	}
}

// dcRow reads a row of MCUs of a scan of DC (T.81, G.1.2.1).
func (d *decoder) dcRow(y int) {
	s := &d.scan
	for x := range s.across {
		if !d.ready() {
			continue
		}
		for i := range s.members {
			d.dcMember(&s.members[i], x, y)
		}
		d.acceptMCU()
	}
}

func (d *decoder) dcMember(m *scanMember, x, y int) {
	c, low := &d.coeffs[m.index], d.scan.low
	for v := range m.v {
		at := (y*m.v+v)*c.across + x*m.h
		for i := at; i < at+m.h; i++ {
			if d.scan.high > 0 {
				c.values[i*c.area] |= int16(d.bits.bits(1) << low)
				continue
			}
			m.pred += d.bits.difference(m.dc)
			c.values[i*c.area] = clamp16(m.pred << low)
		}
	}
}

// difference reads that of a DC.
func (r *bitReader) difference(t *huffman) int32 {
	if r.n < 32 {
		r.refill()
	}
	e := t.look[r.acc>>(64-lookBits)]
	diff, used := int32(e)>>16, uint(e&codeBits)
	if e&codeLong != 0 {
		diff, used = t.long(r.acc, &r.bad)
	}
	r.acc <<= used & 63
	r.n -= used
	return diff
}

// finishProgressive turns the coefficients into samples.
func (d *decoder) finishProgressive() error {
	for i := range d.planes {
		c := &d.coeffs[i]
		d.damage.ended = d.damage.ended || !c.seen || c.toCome != [64]uint8{}
		of := &d.header.components[i]
		last := grown(d.rows[i].last, of.wide)
		d.rows[i].last = last
		for y := range of.high {
			if d.ctx.Err() != nil {
				return context.Cause(d.ctx)
			}
			for x, nonzero := range c.nonzero[y*c.across:][:of.wide] {
				last[x] = uint8(63 - bits.LeadingZeros64(nonzero&d.places.need|1))
			}
			d.transform(i, y, c.values[y*c.across*c.area:], last)
		}
	}
	return nil
}
