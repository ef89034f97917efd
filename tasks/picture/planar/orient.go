package planar

import "encoding/binary"

// Orient turns the picture upright from an EXIF orientation. It takes m over: m is
// returned when there is nothing to do (1, or a number that EXIF does not know), and
// otherwise released, so only the result is used and released afterwards. Turning by
// a quarter swaps the sampling of the colour planes too. Where a side is not a
// multiple of the sampling, the colour of a mirrored picture may sit off by part of
// one pixel.
func (m *Image) Orient(orientation int) *Image {
	if orientation < 2 || orientation > 8 {
		return m
	}
	width, height, x, y := m.Width, m.Height, m.x, m.y
	if orientation >= 5 {
		width, height, x, y = height, width, y, x
	}
	dst := New(width, height, x, y)
	for i := range m.Planes {
		turn(&dst.Planes[i], &m.Planes[i], orientation)
	}
	m.Release()
	return dst
}

// turn does one plane. EXIF's 2 is mirrored left to right, 3 turned by half, 4
// mirrored top to bottom; 5 to 8 have rows and columns swapped: 5 no more than that,
// 6 to be turned clockwise, 7 swapped the other way round, 8 to be turned back.
func turn(dst, src *Plane, orientation int) {
	switch orientation {
	case 2:
		mirror(dst, src, false)
	case 3:
		mirror(dst, src, true)
	case 4:
		for y := range src.Height {
			copy(dst.Row(src.Height-1-y), src.Row(y))
		}
	case 5:
		transpose(dst, src, false, false)
	case 6:
		transpose(dst, src, true, false)
	case 7:
		transpose(dst, src, true, true)
	case 8:
		transpose(dst, src, false, true)
	}
}

// mirror reverses each row, and the order of the rows if flip.
func mirror(dst, src *Plane, flip bool) {
	for y := range src.Height {
		from, to := src.Row(y), dst.Row(y)
		if flip {
			to = dst.Row(src.Height - 1 - y)
		}
		last := len(from) - 1
		for x, v := range from {
			to[last-x] = v
		}
	}
}

// transpose writes the columns of src as rows of dst: from the bottom up if rows is
// set, and the last column first if columns is.
func transpose(dst, src *Plane, rows, columns bool) {
	for y := 0; y < src.Height; y += 8 {
		for x := 0; x < src.Width; x += 8 {
			if y+8 <= src.Height && x+8 <= src.Width {
				transpose8(dst, src, x, y, rows, columns)
			} else {
				transposeEdge(dst, src, x, y, rows, columns)
			}
		}
	}
}

func transposeEdge(dst, src *Plane, x0, y0 int, rows, columns bool) {
	for y := y0; y < min(y0+8, src.Height); y++ {
		for x := x0; x < min(x0+8, src.Width); x++ {
			to, at := x, y
			if columns {
				to = src.Width - 1 - x
			}
			if rows {
				at = src.Height - 1 - y
			}
			dst.Pix[to*dst.Stride+at] = src.Pix[y*src.Stride+x]
		}
	}
}

// transpose8 does a block of 8x8 samples, a row in a word.
func transpose8(dst, src *Plane, x, y int, rows, columns bool) {
	var b [8]uint64
	for i := range b {
		from := y + i
		if rows {
			from = y + 7 - i
		}
		b[i] = binary.LittleEndian.Uint64(src.Pix[from*src.Stride+x:])
	}
	swapBlocks(&b)
	at := y
	if rows {
		at = src.Height - 8 - y
	}
	for i, v := range b {
		to := x + i
		if columns {
			to = src.Width - 1 - to
		}
		binary.LittleEndian.PutUint64(dst.Pix[to*dst.Stride+at:], v)
	}
}

// swapBlocks transposes an 8x8 matrix of bytes by swapping its quarters, then the
// quarters of those, then single bytes.
func swapBlocks(b *[8]uint64) {
	for i := range 4 {
		swap(&b[i], &b[i+4], 32, 0x00000000_ffffffff)
	}
	for _, i := range [4]int{0, 1, 4, 5} {
		swap(&b[i], &b[i+2], 16, 0x0000ffff_0000ffff)
	}
	for i := 0; i < 8; i += 2 {
		swap(&b[i], &b[i+1], 8, 0x00ff00ff_00ff00ff)
	}
}

// swap exchanges the high parts of upper with the low parts of lower.
func swap(upper, lower *uint64, shift uint, mask uint64) {
	t := (*upper>>shift ^ *lower) & mask
	*upper ^= t << shift
	*lower ^= t
}
