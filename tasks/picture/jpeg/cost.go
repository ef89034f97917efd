package jpeg

import (
	"slices"
	"unsafe"
)

// Cost is the number of bytes that Decode at a scale of eighths holds at its peak, the
// image that it returns included and data excluded.
func (h Header) Cost(eighths int) int64 {
	const (
		pooled = 8        // planes and coefficients may be up to an eighth larger than asked for
		align  = 32       // of rows of samples
		fixed  = 64 << 10 // what is small
	)
	if !h.Decodable() || !slices.Contains(scales[:], eighths) {
		return 0
	}
	size := int64(eighths) // of a block
	var planes, rows int64
	for _, c := range h.components {
		width, height := int64(c.wide)*size, int64(c.high)*size
		stride := (width + align - 1) &^ (align - 1)
		planes += stride*height + align
		rows = max(rows, stride*size) + int64(c.across)
		blocks := int64(c.across) * int64(c.down)
		if h.Progressive {
			planes += blocks * (2*size*size + 8)
		} else {
			rows += 2*(int64(c.across)*size*size+blockSpan)*int64(c.v) + int64(c.across*c.v)
		}
	}
	return planes + planes/pooled + rows + int64(unsafe.Sizeof(decoder{})) + fixed
}
