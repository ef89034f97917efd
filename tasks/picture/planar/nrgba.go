package planar

import "image"

// FromNRGBA makes planes from an opaque picture, with the equations of image/color:
// alpha is not looked at. x and y, 1, 2 or 4, say how many pixels a colour sample is
// wide and high; its colour is their mean. Both 0 give the brightness alone.
func FromNRGBA(src *image.NRGBA, x, y int) *Image {
	m := New(src.Rect.Dx(), src.Rect.Dy(), x, y)
	for row := range m.Height {
		light, p := m.Planes[0].Row(row), src.Pix[row*src.Stride:]
		for i := range light {
			light[i] = brightness(p[4*i], p[4*i+1], p[4*i+2])
		}
	}
	for row := 0; x > 0 && row < m.Planes[1].Height; row++ {
		blue, red := m.Planes[1].Row(row), m.Planes[2].Row(row)
		for i := range blue {
			blue[i], red[i] = colour(src, i*x, row*y, min(i*x+x, m.Width), min(row*y+y, m.Height))
		}
	}
	return m
}

// brightness is the Y of color.RGBToYCbCr.
func brightness(r, g, b uint8) uint8 {
	return uint8((19595*int32(r) + 38470*int32(g) + 7471*int32(b) + 1<<15) >> 16)
}

// colour is the Cb and Cr of the mean of a rectangle of pixels.
func colour(src *image.NRGBA, left, top, right, bottom int) (blue, red uint8) {
	var r, g, b int32
	for y := top; y < bottom; y++ {
		for p := src.Pix[y*src.Stride+4*left:][:4*(right-left)]; len(p) > 0; p = p[4:] {
			r, g, b = r+int32(p[0]), g+int32(p[1]), b+int32(p[2])
		}
	}
	n := int32((right - left) * (bottom - top))
	return centred((-11056*r - 21712*g + 32768*b) / n), centred((32768*r - 27440*g - 5328*b) / n)
}

// centred brings a difference of 16 bits of fraction to 128 as its zero.
func centred(v int32) uint8 { return uint8(max(0, min((v+257<<15)>>16, 255))) }
