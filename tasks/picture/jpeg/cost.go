package jpeg

import "unsafe"

// Cost is the number of bytes that Decode by d holds at its peak, the image that it
// returns included and data excluded.
func (h Header) Cost(d int) int64 {
	const (
		pooled = 8        // planes and coefficients may be up to an eighth larger than asked for
		align  = 32       // of rows of samples
		fixed  = 64 << 10 // what is small
	)
	if !h.Supported() || d < 1 {
		return 0
	}
	area := int64(8/d) * int64(8/d)
	var planes, rows int64
	for _, c := range h.components {
		width, height := int64(reduced(c.wide*8, d)), int64(reduced(c.high*8, d))
		stride := (width + align - 1) &^ (align - 1)
		planes += stride*height + align
		rows = max(rows, stride*8/int64(d)) + int64(c.across)
		blocks := int64(c.across) * int64(c.down)
		if h.Progressive {
			planes += blocks * (2*area + 8)
		} else {
			rows += 2*(int64(c.across)*area+blockSpan)*int64(c.v) + int64(c.across*c.v)
		}
	}
	return planes + planes/pooled + rows + int64(unsafe.Sizeof(decoder{})) + fixed
}
