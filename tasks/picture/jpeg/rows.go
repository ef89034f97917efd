package jpeg

import (
	"fmt"

	"casepress/tasks/picture/planar"
)

// blockRows holds the coefficients of a component in a row of MCUs: v rows of blocks of
// area coefficients. Behind each row is room for what block may write beyond the last.
type blockRows struct {
	area, across, pitch int
	coefficients        []int16
	last                []uint8 // the last position of each block that may not be zero
}

func (r *blockRows) allocate(c component, size int) {
	r.area, r.across = size*size, c.across
	r.pitch = r.across*r.area + blockSpan
	r.coefficients = grown(r.coefficients, r.pitch*c.v)
	r.last = grown(r.last, r.across*c.v)
}

// block is block x of row y. Blocks of a row must be filled from left to right, as each
// may spill into the first coefficient of the next.
func (r *blockRows) block(y, x int) *[blockSpan]int16 {
	return (*[blockSpan]int16)(r.coefficients[y*r.pitch+x*r.area:])
}

func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// emit turns a component's rows of blocks in MCU row y into samples.
func (d *decoder) emit(m *scanMember, y int) {
	c := &d.header.components[m.index]
	row := &d.rows[m.index]
	for i := range m.v {
		at := y*m.v + i
		if at >= c.high {
			return // only there to fill the MCU
		}
		d.transform(m.index, at, row.coefficients[i*row.pitch:], row.last[i*row.across:])
	}
}

// transform makes the samples of the blocks in row y of a component.
func (d *decoder) transform(index, y int, coefficients []int16, last []uint8) {
	c := &d.header.components[index]
	plane := &d.planes[index]
	top := y * d.size
	if top+d.size <= plane.Height {
		d.inverse(plane.Pix[top*plane.Stride:], plane.Stride, coefficients, last, c)
		return
	}
	d.strip = grown(d.strip, plane.Stride*d.size)
	d.inverse(d.strip, plane.Stride, coefficients, last, c)
	if top < plane.Height {
		copy(plane.Pix[top*plane.Stride:plane.Height*plane.Stride], d.strip)
	}
}

func (d *decoder) inverse(dst []byte, stride int, coefficients []int16, last []uint8, c *component) {
	q := &d.quant[c.table]
	switch d.size {
	case 8:
		inverse8(dst, stride, coefficients, last[:c.wide], q)
	case 6:
		inverseSix(dst, stride, coefficients, last[:c.wide], q)
	case 4:
		inverse4(dst, stride, coefficients, last[:c.wide], q)
	case 2:
		inverse2(dst, stride, coefficients, c.wide, q)
	default:
		inverse1(dst, coefficients[:c.wide], q[0])
	}
}

// inverseSix looks after the end of the row: strides are no multiples of 6, so that the last
// block may reach beyond.
func inverseSix(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	n := min(len(last), stride/6)
	inverse6(dst, stride, coefficients, last[:n], q)
	if n == len(last) {
		return
	}
	var cut [36]byte
	inverse6Go(cut[:], 6, coefficients[36*n:], last[n:], q)
	for y := range 6 {
		copy(dst[y*stride+6*n:(y+1)*stride], cut[6*y:])
	}
}

// finish makes whole what no scan has filled.
func (d *decoder) finish() error {
	if !d.damage.salvaged {
		return fmt.Errorf("no picture data: %w", ErrFormat)
	}
	if d.header.Progressive {
		return d.finishProgressive()
	}
	for i := range d.planes {
		if !d.done[i] {
			d.damage.ended = true
			fill(&d.planes[i])
		}
	}
	return nil
}

func fill(p *planar.Plane) {
	for i := range p.Pix[:p.Stride*p.Height] {
		p.Pix[i] = 128
	}
}
