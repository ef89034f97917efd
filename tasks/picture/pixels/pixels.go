// Package pixels implements pictures of four samples a pixel (red, green, blue and
// transparency, not multiplied by it): it scales them down and turns them. What is photographed
// is scaled as planes instead, by package planar, at a fraction of the cost; here is what has
// transparency or sharp edges.
//
// It promises the same bytes on every machine that has the same math.Sin, with vectors and
// without, and that nothing works beside the goroutine that calls. It never reads or writes a
// file format.
package pixels

import (
	"encoding/binary"
	"image"
)

// Size is how many bytes a pixel has.
const Size = 4

// Orient turns and mirrors img upright from an EXIF orientation: 2 is mirrored left to right, 3
// turned by half, 4 mirrored top to bottom; 5 to 8 have rows and columns swapped: 5 no more than
// that, 6 to be turned clockwise, 7 swapped the other way round, 8 to be turned back. img begins
// at (0, 0). It is returned as it is when there is nothing to do (1, or a number that EXIF does
// not know), and never changed.
func Orient(img *image.NRGBA, orientation int) *image.NRGBA {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	right, bottom := Size*(width-1), img.Stride*(height-1)
	var first, across, down int // where in img the first pixel is, and one more column and row of the result
	switch orientation {
	case 2:
		first, across, down = right, -Size, img.Stride
	case 3:
		first, across, down = bottom+right, -Size, -img.Stride
	case 4:
		first, across, down = bottom, Size, -img.Stride
	case 5:
		first, across, down = 0, img.Stride, Size
	case 6:
		first, across, down = bottom, -img.Stride, Size
	case 7:
		first, across, down = bottom+right, -img.Stride, -Size
	case 8:
		first, across, down = right, img.Stride, -Size
	default:
		return img
	}
	if orientation >= 5 {
		width, height = height, width
	}
	dst := image.NewNRGBA(image.Rect(0, 0, width, height))
	const tile = 32 // pixels a side, whose lines of cache are all in reach at once
	for top := 0; top < height; top += tile {
		for left := 0; left < width; left += tile {
			for y := top; y < min(top+tile, height); y++ {
				from := first + y*down + left*across
				for row := dst.Pix[y*dst.Stride:][Size*left : Size*min(left+tile, width)]; len(row) > 0; row = row[Size:] {
					binary.NativeEndian.PutUint32(row, binary.NativeEndian.Uint32(img.Pix[from:]))
					from += across
				}
			}
		}
	}
	return dst
}
