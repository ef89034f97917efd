package picture

import (
	"image"

	"casepress/tasks/picture/planar"
)

// planesOf returns the planes of a picture that was decoded to planes of full
// range, or of the range that films use if limited is true. It returns nil for any
// other kind of picture.
func planesOf(img image.Image, limited bool) *planar.Image {
	var light, colour *[256]byte
	if limited {
		light, colour = &expandLight, &expandColour
	}
	switch img := img.(type) {
	case *image.Gray:
		m := planar.New(img.Rect.Dx(), img.Rect.Dy(), 0, 0)
		copyPlane(&m.Planes[0], img.Pix, img.Stride, light)
		return m
	case *image.YCbCr:
		x, y := chroma(img.SubsampleRatio)
		if x == 0 || img.Rect.Min != (image.Point{}) {
			return nil
		}
		m := planar.New(img.Rect.Dx(), img.Rect.Dy(), x, y)
		copyPlane(&m.Planes[0], img.Y, img.YStride, light)
		copyPlane(&m.Planes[1], img.Cb, img.CStride, colour)
		copyPlane(&m.Planes[2], img.Cr, img.CStride, colour)
		return m
	}
	return nil
}

func chroma(r image.YCbCrSubsampleRatio) (x, y int) {
	switch r {
	case image.YCbCrSubsampleRatio444:
		return 1, 1
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 0, 0
}

// copyPlane copies samples, through table if there is one.
func copyPlane(dst *planar.Plane, pix []byte, stride int, table *[256]byte) {
	for y := range dst.Height {
		row, src := dst.Row(y), pix[y*stride:]
		if table == nil {
			copy(row, src[:len(row)])
			continue
		}
		for x, v := range src[:len(row)] {
			row[x] = table[v]
		}
	}
}

// expandLight and expandColour bring samples of the range that films use, and WebP
// with them (16 to 235 and 16 to 240), to the full one that JPEG uses. image.YCbCr
// means the full one, whatever the decoder put into it.
var expandLight, expandColour = expand(16, 219, 0), expand(128, 224, 128)

// expand maps zero to base and a span of samples to 255.
func expand(zero, span, base int) (table [256]byte) {
	for i := range table {
		v := (2*(i-zero)*255 + span) // twice the value and a half, over twice the span
		if v < 0 {
			v -= 2*span - 1 // rounds down
		}
		table[i] = byte(max(0, min(base+v/(2*span), 255)))
	}
	return table
}

// expandRange does the same in place, for a picture with transparency.
func expandRange(img *image.YCbCr) {
	for i, v := range img.Y {
		img.Y[i] = expandLight[v]
	}
	for _, plane := range [][]byte{img.Cb, img.Cr} {
		for i, v := range plane {
			plane[i] = expandColour[v]
		}
	}
}
