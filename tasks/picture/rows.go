package picture

import (
	"errors"
	"fmt"
	"image"
	"image/color"

	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/pixels"
)

// rows is a decoded picture that is handed on row by row, so that what must be converted never
// stands there whole, and that scaling can be stopped between two.
type rows struct {
	width, height int
	// row returns row y, of four bytes a pixel as in an image.NRGBA, and may use buffer, which is of that
	// length, for it. Rows are asked for from top to bottom. The error is about reading them.
	row func(y int, buffer []byte) ([]byte, error)
}

// rowsOf returns the rows of img. canvas is the size that the header promised; only a GIF's
// frame may be smaller than it.
func rowsOf(img image.Image, canvas image.Rectangle) (rows, error) {
	r := rows{width: canvas.Dx(), height: canvas.Dy()}
	if img.Bounds().Empty() || canvas.Empty() {
		return r, errors.New("no pixels")
	}
	if p, ok := img.(*image.Paletted); ok {
		return palettedRows(p, canvas), nil
	}
	if img.Bounds() != canvas || canvas.Min != (image.Point{}) {
		return r, fmt.Errorf("decoded %v, header said %v", img.Bounds(), canvas)
	}
	switch img := img.(type) {
	case *image.NYCbCrA: // WebP alone decodes to it
		expandRange(&img.YCbCr)
		return transparentRows(&img.YCbCr, &image.Gray{Pix: img.A, Stride: img.AStride, Rect: img.Rect}), nil
	case *image.NRGBA:
		r.row = func(y int, _ []byte) ([]byte, error) { return img.Pix[y*img.Stride:][:pixels.Size*r.width], nil }
	case *image.NRGBA64:
		r.row = converted(img.Pix, img.Stride, 8, halves)
	case *image.RGBA:
		r.row = converted(img.Pix, img.Stride, 4, divided)
	case *image.RGBA64:
		r.row = converted(img.Pix, img.Stride, 8, dividedHalves)
	case *image.Gray:
		r.row = converted(img.Pix, img.Stride, 1, grey)
	case *image.Gray16:
		r.row = converted(img.Pix, img.Stride, 2, greyHalves)
	default:
		return r, fmt.Errorf("unexpected pixels %T", img)
	}
	return r, nil
}

// converted returns rows of pixels of size bytes, which convert brings to four.
func converted(pix []byte, stride, size int, convert func(dst, src []byte)) func(int, []byte) ([]byte, error) {
	return func(y int, buffer []byte) ([]byte, error) {
		convert(buffer, pix[y*stride:][:len(buffer)/pixels.Size*size])
		return buffer, nil
	}
}

// halves takes the upper half of each sample.
func halves(dst, src []byte) {
	for i := range dst {
		dst[i] = src[2*i]
	}
}

// divided undoes the multiplication by transparency.
func divided(dst, src []byte) {
	src = src[:len(dst)]
	for i := 0; i+3 < len(dst); i += 4 {
		d, s := dst[i:][:4:4], src[i:][:4:4]
		switch a := uint16(s[3]); a {
		case 255:
			copy(d, s)
		case 0:
			clear(d)
		default:
			d[0], d[1], d[2], d[3] = byte(uint16(s[0])*255/a), byte(uint16(s[1])*255/a), byte(uint16(s[2])*255/a), s[3]
		}
	}
}

// dividedHalves does the same to samples of 16 bits. Those of which the upper half says wholly transparent or opaque are.
func dividedHalves(dst, src []byte) {
	for i := 0; i+3 < len(dst); i += 4 {
		d, s := dst[i:][:4:4], src[2*i:][:8:8]
		switch s[6] {
		case 255:
			halves(d, s)
		case 0:
			clear(d)
		default:
			a := uint32(s[6])<<8 | uint32(s[7])
			for c := range 3 {
				d[c] = byte((uint32(s[2*c])<<8 | uint32(s[2*c+1])) * 0xffff / a >> 8)
			}
			d[3] = s[6]
		}
	}
}

func grey(dst, src []byte) {
	for i, v := range src {
		d := dst[4*i:][:4:4]
		d[0], d[1], d[2], d[3] = v, v, v, 255
	}
}

func greyHalves(dst, src []byte) {
	for i := 0; i+3 < len(dst); i += 4 {
		d, v := dst[i:][:4:4], src[i/2]
		d[0], d[1], d[2], d[3] = v, v, v, 255
	}
}

// componentRows returns the rows of a JPEG's components.
func componentRows(c *jpeg.Components) rows {
	return rows{c.Width, c.Height, func(y int, buffer []byte) ([]byte, error) {
		c.Row(buffer, y)
		return buffer, nil
	}}
}

// transparentRows returns the rows of a picture in planes with transparency of its size.
func transparentRows(img *image.YCbCr, alpha *image.Gray) rows {
	return rows{img.Rect.Dx(), img.Rect.Dy(), func(y int, buffer []byte) ([]byte, error) {
		a := alpha.Pix[y*alpha.Stride:][:len(buffer)/pixels.Size]
		for x := range a {
			c, at := img.COffset(x, y), y*img.YStride+x
			r, g, b := color.YCbCrToRGB(img.Y[at], img.Cb[c], img.Cr[c])
			d := buffer[4*x:][:4:4]
			d[0], d[1], d[2], d[3] = r, g, b, a[x]
		}
		return buffer, nil
	}}
}

// palettedRows draws p on a transparent canvas. An index beyond the palette is a transparent pixel.
func palettedRows(p *image.Paletted, canvas image.Rectangle) rows {
	var table [256][4]byte
	for i, c := range p.Palette[:min(len(p.Palette), 256)] {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		table[i] = [4]byte{n.R, n.G, n.B, n.A}
	}
	area := p.Rect.Intersect(canvas)
	return rows{canvas.Dx(), canvas.Dy(), func(y int, buffer []byte) ([]byte, error) {
		if y += canvas.Min.Y; y < area.Min.Y || y >= area.Max.Y || area.Dx() < canvas.Dx() {
			clear(buffer)
		}
		if y >= area.Min.Y && y < area.Max.Y {
			out := buffer[4*(area.Min.X-canvas.Min.X):]
			for x, index := range p.Pix[p.PixOffset(area.Min.X, y):][:area.Dx()] {
				copy(out[4*x:][:4], table[index][:])
			}
		}
		return buffer, nil
	}}
}

// scale brings r to w x h pixels, no more than it has. Scaling comes before turning: there are
// fewer pixels to turn. The error is the context's or that of reading.
func (j *job) scale(r rows, w, h int) (*image.NRGBA, error) {
	scaler := pixels.NewScaler(r.width, r.height, w, h)
	buffer := make([]byte, pixels.Size*r.width)
	between := max(1, pixelsBetween/r.width)
	for y := range r.height {
		if y%between == 0 {
			if err := j.ended(); err != nil {
				return nil, err
			}
		}
		row, err := r.row(y, buffer)
		if err != nil {
			return nil, err
		}
		scaler.Add(row)
	}
	return scaler.Image(), j.ended()
}

// pixelsBetween is about how many pixels there are between two looks at the context.
const pixelsBetween = 1 << 18

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
