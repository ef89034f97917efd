package picture

import (
	"errors"
	"fmt"
	"image"
	"image/color"
)

// settle returns img as a type that the resizer reads without ever panicking: it
// works in goroutines of its own, where nobody could recover. canvas is the size
// that the header promised; only a GIF's frame may be smaller than it.
func settle(img image.Image, canvas image.Rectangle) (image.Image, error) {
	if img.Bounds().Empty() {
		return nil, errors.New("no pixels")
	}
	if p, ok := img.(*image.Paletted); ok {
		return unpalette(p, canvas), nil
	}
	if img.Bounds() != canvas {
		return nil, fmt.Errorf("decoded %v, header said %v", img.Bounds(), canvas)
	}
	switch img := img.(type) {
	case *image.NYCbCrA: // WebP alone decodes to it
		expandRange(&img.YCbCr)
		return flatten(img), nil
	case *image.NRGBA, *image.NRGBA64, *image.RGBA, *image.RGBA64, *image.Gray, *image.Gray16, *image.YCbCr, *image.CMYK:
		return img, nil
	}
	return nil, fmt.Errorf("unexpected pixels %T", img)
}

// flatten returns the pixels of a picture in planes with transparency.
func flatten(img *image.NYCbCrA) *image.NRGBA {
	dst := image.NewNRGBA(img.Rect)
	for y := range img.Rect.Dy() {
		row := dst.Pix[y*dst.Stride:]
		for x := range img.Rect.Dx() {
			c := img.NYCbCrAAt(x, y)
			r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = r, g, b, c.A
		}
	}
	return dst
}

// unpalette draws p onto a transparent canvas. An index beyond the palette, which
// resizers are known to die of, is a transparent pixel.
func unpalette(p *image.Paletted, canvas image.Rectangle) *image.NRGBA {
	var table [256]color.NRGBA
	for i, c := range p.Palette[:min(len(p.Palette), 256)] {
		table[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
	}
	dst := image.NewNRGBA(canvas)
	area := p.Rect.Intersect(canvas)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		row := p.Pix[p.PixOffset(area.Min.X, y):][:area.Dx()]
		out := dst.Pix[dst.PixOffset(area.Min.X, y):][:4*area.Dx()]
		for x, index := range row {
			c := table[index]
			out[4*x], out[4*x+1], out[4*x+2], out[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
	return dst
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
