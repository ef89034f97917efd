package picture

import (
	"errors"
	"fmt"
	"image"
	"image/color"

	"github.com/disintegration/imaging"

	"casepress/tasks/picture/jpeg"
)

// This file alone knows imaging, which nobody maintains any more: what reaches it are plain
// pixels of the promised size. It works in goroutines of its own, where nobody could recover
// from a panic.

// bands is a decoded picture that is handed on in bands of rows, so that what must be converted
// never stands there whole, and that scaling can be stopped between two.
type bands struct {
	width, height int
	// rows returns rows from y0 up to y1 as one of the types that imaging reads itself.
	// The error is about reading them.
	rows func(y0, y1 int) (image.Image, error)
}

// bandPixels is about how many pixels a band has.
const bandPixels = 1 << 20

// bandsOf returns the bands of img. canvas is the size that the header promised; only a GIF's
// frame may be smaller than it.
func bandsOf(img image.Image, canvas image.Rectangle) (bands, error) {
	b := bands{width: canvas.Dx(), height: canvas.Dy()}
	if img.Bounds().Empty() || canvas.Empty() {
		return b, errors.New("no pixels")
	}
	if p, ok := img.(*image.Paletted); ok {
		table := paletteOf(p)
		b.rows = func(y0, y1 int) (image.Image, error) { return palettedRows(p, &table, canvas, y0, y1), nil }
		return b, nil
	}
	if img.Bounds() != canvas {
		return b, fmt.Errorf("decoded %v, header said %v", img.Bounds(), canvas)
	}
	switch img := img.(type) {
	case *image.NYCbCrA: // WebP alone decodes to it
		expandRange(&img.YCbCr)
		alpha := &image.Gray{Pix: img.A, Stride: img.AStride, Rect: img.Rect}
		return transparentBands(&img.YCbCr, alpha), nil
	case *image.NRGBA, *image.NRGBA64, *image.RGBA, *image.RGBA64, *image.Gray, *image.Gray16, *image.YCbCr, *image.CMYK:
		part := img.(interface {
			SubImage(r image.Rectangle) image.Image
		})
		b.rows = func(y0, y1 int) (image.Image, error) { return part.SubImage(image.Rect(0, y0, canvas.Dx(), y1)), nil }
		return b, nil
	}
	return b, fmt.Errorf("unexpected pixels %T", img)
}

// componentBands returns the bands of a JPEG's components.
func componentBands(c *jpeg.Components) bands {
	return bands{c.Width, c.Height, func(y0, y1 int) (image.Image, error) { return c.Rows(y0, y1), nil }}
}

// transparentBands returns the bands of a picture in planes with transparency of its size.
func transparentBands(img *image.YCbCr, alpha *image.Gray) bands {
	w := img.Rect.Dx()
	return bands{w, img.Rect.Dy(), func(y0, y1 int) (image.Image, error) {
		dst := image.NewNRGBA(image.Rect(0, 0, w, y1-y0))
		for y := y0; y < y1; y++ {
			row, a := dst.Pix[(y-y0)*dst.Stride:], alpha.Pix[y*alpha.Stride:]
			for x := range w {
				c, at := img.COffset(x, y), y*img.YStride+x
				r, g, b := color.YCbCrToRGB(img.Y[at], img.Cb[c], img.Cr[c])
				row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = r, g, b, a[x]
			}
		}
		return dst, nil
	}}
}

func paletteOf(p *image.Paletted) (table [256]color.NRGBA) {
	for i, c := range p.Palette[:min(len(p.Palette), 256)] {
		table[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
	}
	return table
}

// palettedRows draws rows of p on a transparent canvas. An index beyond the palette, which
// resizers are known to die of, is a transparent pixel.
func palettedRows(p *image.Paletted, table *[256]color.NRGBA, canvas image.Rectangle, y0, y1 int) *image.NRGBA {
	dst := image.NewNRGBA(image.Rect(0, 0, canvas.Dx(), y1-y0))
	area := p.Rect.Intersect(image.Rect(canvas.Min.X, y0, canvas.Max.X, y1))
	for y := area.Min.Y; y < area.Max.Y; y++ {
		row := p.Pix[p.PixOffset(area.Min.X, y):][:area.Dx()]
		out := dst.Pix[dst.PixOffset(area.Min.X, y-y0):][:4*area.Dx()]
		for x, index := range row {
			c := table[index]
			out[4*x], out[4*x+1], out[4*x+2], out[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
	return dst
}

// scale brings b to w x h pixels, no more than it has. Scaling comes before turning: there are
// fewer pixels to turn. It scales across band by band, then down. The error is the context's.
func (j *job) scale(b bands, w, h int) (*image.NRGBA, error) {
	step := max(8, bandPixels/b.width&^7) // whole blocks of the coarsest colour
	squeezed := image.NewNRGBA(image.Rect(0, 0, w, b.height))
	for y := 0; y < b.height; y += step {
		if err := j.ended(); err != nil {
			return nil, err
		}
		n := min(step, b.height-y)
		rows, err := b.rows(y, y+n)
		if err != nil {
			return nil, err
		}
		band := imaging.Resize(rows, w, n, imaging.Lanczos)
		copy(squeezed.Pix[y*squeezed.Stride:], band.Pix)
	}
	if h == b.height {
		return squeezed, nil
	}
	return imaging.Resize(squeezed, w, h, imaging.Lanczos), j.ended()
}

// fitSize is the size that a picture of w x h has once it fits within side,
// rounded, never below one pixel and never above its own size.
func fitSize(w, h, side int) (int, int) {
	long := max(w, h)
	if long <= side {
		return w, h
	}
	scale := func(n int) int { return max(1, int((int64(n)*int64(side)*2+int64(long))/(2*int64(long)))) }
	return scale(w), scale(h)
}

// orient turns and mirrors img as an EXIF orientation asks.
func orient(img *image.NRGBA, orientation int) *image.NRGBA {
	switch orientation {
	case 2:
		return imaging.FlipH(img)
	case 3:
		return imaging.Rotate180(img)
	case 4:
		return imaging.FlipV(img)
	case 5:
		return imaging.Transpose(img)
	case 6:
		return imaging.Rotate270(img) // imaging turns counter-clockwise
	case 7:
		return imaging.Transverse(img)
	case 8:
		return imaging.Rotate90(img)
	}
	return img
}

// overWhite blends img over white in place and returns it.
func overWhite(img *image.NRGBA) *image.NRGBA {
	for i := 0; i+3 < len(img.Pix); i += 4 {
		a := uint32(img.Pix[i+3])
		if a == 255 {
			continue
		}
		for c := i; c < i+3; c++ {
			img.Pix[c] = uint8((uint32(img.Pix[c])*a + 255*(255-a) + 127) / 255)
		}
		img.Pix[i+3] = 255
	}
	return img
}
