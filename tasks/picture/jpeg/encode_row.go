package jpeg

import "casepress/tasks/picture/planar"

// blockRow is a row of a plane's 8x8 blocks, transformed and quantised. It has room
// for an even number of them, since fdct takes two at a time.
type blockRow struct {
	coefficients []int16  // 64 of a block, in the order of fdct
	nonzero      []uint64 // one of a block; bit i: coefficient i is not 0
	blocks       int      // 0 below the plane
}

// transform fills r with the blocks of p from line top on. Blocks that reach beyond
// the plane are filled with its last column and line.
func (r *blockRow) transform(p planar.Plane, top int, q *quantiser) {
	r.blocks = 0
	if top >= p.Height {
		return
	}
	r.blocks = (p.Width + 7) / 8
	whole := p.Width / 16
	if top+8 > p.Height {
		whole = 0
	}
	if whole > 0 {
		fdct(r.coefficients, r.nonzero, p.Pix[top*p.Stride:], p.Stride, whole, q)
	}
	for pair := whole; 2*pair < r.blocks; pair++ {
		var patch [8 * 16]byte
		cut(&patch, p, 16*pair, top)
		fdct(r.coefficients[pair*128:], r.nonzero[pair*2:], patch[:], 16, 1, q)
	}
}

// cut copies the 16 x 8 samples at (left, top), repeating p's last column and line
// where they reach beyond it.
func cut(patch *[8 * 16]byte, p planar.Plane, left, top int) {
	inside := min(16, p.Width-left)
	for y := range 8 {
		line := patch[16*y : 16*y+16]
		from := min(top+y, p.Height-1)*p.Stride + left
		copy(line, p.Pix[from:from+inside])
		for x := inside; x < 16; x++ {
			line[x] = line[inside-1]
		}
	}
}
