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
// set, and the last column first if columns is. It goes by tiles whose lines of cache
// are all in reach at once.
func transpose(dst, src *Plane, rows, columns bool) {
	const tile = 64
	for top := 0; top < src.Height; top += tile {
		for left := 0; left < src.Width; left += tile {
			right, bottom := min(left+tile, src.Width), min(top+tile, src.Height)
			for x := left; x < right; x += 8 {
				for y := top; y < bottom; y += 8 {
					if y+8 <= src.Height && x+8 <= src.Width {
						transpose8(dst, src, x, y, rows, columns)
					} else {
						transposeEdge(dst, src, x, y, rows, columns)
					}
				}
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

// transpose8 does a block of 8x8 samples, a row in a word: it swaps the block's
// quarters, then the quarters of those, then single samples.
func transpose8(dst, src *Plane, x, y int, rows, columns bool) {
	from, down := y*src.Stride+x, src.Stride
	to, across := x*dst.Stride+y, dst.Stride
	if rows {
		from, down = from+7*down, -down
		to += src.Height - 8 - 2*y
	}
	if columns {
		to, across = to+(src.Width-1-2*x)*across, -across
	}
	load := func(i int) uint64 { return binary.LittleEndian.Uint64(src.Pix[from+i*down:]) }
	a, b, c, d := load(0), load(1), load(2), load(3)
	e, f, g, h := load(4), load(5), load(6), load(7)

	a, e = swap(a, e, 32, 0x00000000_ffffffff)
	b, f = swap(b, f, 32, 0x00000000_ffffffff)
	c, g = swap(c, g, 32, 0x00000000_ffffffff)
	d, h = swap(d, h, 32, 0x00000000_ffffffff)
	a, c = swap(a, c, 16, 0x0000ffff_0000ffff)
	b, d = swap(b, d, 16, 0x0000ffff_0000ffff)
	e, g = swap(e, g, 16, 0x0000ffff_0000ffff)
	f, h = swap(f, h, 16, 0x0000ffff_0000ffff)
	a, b = swap(a, b, 8, 0x00ff00ff_00ff00ff)
	c, d = swap(c, d, 8, 0x00ff00ff_00ff00ff)
	e, f = swap(e, f, 8, 0x00ff00ff_00ff00ff)
	g, h = swap(g, h, 8, 0x00ff00ff_00ff00ff)

	store := func(i int, v uint64) { binary.LittleEndian.PutUint64(dst.Pix[to+i*across:], v) }
	store(0, a)
	store(1, b)
	store(2, c)
	store(3, d)
	store(4, e)
	store(5, f)
	store(6, g)
	store(7, h)
}

// swap exchanges the high parts of upper with the low parts of lower.
func swap(upper, lower uint64, shift uint, mask uint64) (uint64, uint64) {
	t := (upper>>shift ^ lower) & mask
	return upper ^ t<<shift, lower ^ t
}
