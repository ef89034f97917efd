package jpeg

// step is what a look-up finds for coefficients that nobody needs: how many positions
// and bits the codes that start within the next lookBits bits take up together.
//
//	ends the block(1) | 0(4) … | positions(7) | bits(5)
//
// The end of a block counts as one position. 0 is a code longer than lookBits.
type step uint16

const (
	stepBits      = 31
	stepPositions = 127
	stepEnd       = 1 << 15
)

func (t *huffman) buildSteps(symbols *[lookSize]uint16) {
	for i := range t.step {
		t.step[i] = newStep(uint(i), symbols)
	}
}

func newStep(window uint, symbols *[lookSize]uint16) step {
	bits, positions := uint(0), uint(0)
	for bits < lookBits {
		s := symbols[window<<bits&(lookSize-1)]
		codeBits, size, skip := uint(s&255), uint(s>>8&15), uint(s>>12)
		if codeBits == 0 || bits+codeBits > lookBits {
			break
		}
		if size == 0 && skip != 15 {
			return step(bits+codeBits) | step(positions+1)<<5 | stepEnd
		}
		if positions+skip+1 > stepPositions-1 {
			break
		}
		bits, positions = bits+codeBits+size, positions+skip+1
	}
	return step(bits) | step(positions)<<5
}
