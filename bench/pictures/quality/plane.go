// Package quality keeps how far a small picture lies from what its large original should have become: peak
// signal-to-noise ratio and structural similarity against a reference made in float64, without loss. It is slow, and
// never in the path of a measurement of time.
package quality

import (
	"fmt"
	"image"
)

// A Samples is one 8-bit plane of a decoded picture. Every sample covers X x Y pixels of the picture.
type Samples struct {
	Pix           []byte
	Stride        int
	Width, Height int
	X, Y          int
}

// A Plane is one plane of a reference: 0 to 255, not rounded, rows without a gap.
type Plane struct {
	Pix           []float64
	Width, Height int
}

// Planes returns Y, Cb and Cr of a decoded JPEG, or Y alone of a grey one.
func Planes(img image.Image) ([]Samples, error) {
	size := img.Bounds().Size()
	switch m := img.(type) {
	case *image.Gray:
		return []Samples{{m.Pix, m.Stride, size.X, size.Y, 1, 1}}, nil
	case *image.YCbCr:
		x, y := subsampling(m.SubsampleRatio)
		w, h := (size.X+x-1)/x, (size.Y+y-1)/y
		return []Samples{
			{m.Y, m.YStride, size.X, size.Y, 1, 1},
			{m.Cb, m.CStride, w, h, x, y},
			{m.Cr, m.CStride, w, h, x, y},
		}, nil
	}
	return nil, fmt.Errorf("planes of %T", img)
}

func subsampling(r image.YCbCrSubsampleRatio) (x, y int) {
	switch r {
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
	return 1, 1
}

// Upright turns and mirrors a plane as EXIF orientation o, 1 to 8, asks.
func (p Plane) Upright(o int) Plane {
	w, h := p.Width, p.Height
	if o >= 5 {
		w, h = h, w
	}
	out := Plane{make([]float64, w*h), w, h}
	for y := range h {
		for x := range w {
			sx, sy := x, y
			switch o {
			case 2:
				sx = w - 1 - x
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sy = h - 1 - y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, w-1-x
			case 7:
				sx, sy = h-1-y, w-1-x
			case 8:
				sx, sy = h-1-y, x
			}
			out.Pix[y*w+x] = p.Pix[sy*p.Width+sx]
		}
	}
	return out
}
