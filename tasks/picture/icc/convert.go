package icc

import (
	"context"
	"fmt"
	"image"
	"math/bits"

	"casepress/tasks/picture/planar"
)

// Convert brings a picture to sRGB in place. A colour sample's colour is taken for that
// of all its pixels, and made again as the mean of theirs. A colour profile on a grey
// picture is taken for equal red, green and blue; the other way round is
// ErrUnsupported, and nothing is changed. It returns ctx's error soon after ctx ends,
// with the picture converted in part.
func (p *Profile) Convert(ctx context.Context, m *planar.Image) error {
	if len(m.Planes) == 1 {
		return p.convertGrey(ctx, m)
	}
	if p.grey != nil {
		return fmt.Errorf("%w: a grey profile on a picture with colours", ErrUnsupported)
	}
	out := encoded()
	for row := range m.Planes[1].Height {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.convertRow(m, row, out)
	}
	return nil
}

func (p *Profile) convertGrey(ctx context.Context, m *planar.Image) error {
	table := p.grey
	if table == nil {
		out := encoded()
		table = new([256]uint8)
		for v := range table {
			r, g, b := p.rgb(out, uint8(v), uint8(v), uint8(v))
			table[v] = uint8((299*int(r) + 587*int(g) + 114*int(b) + 500) / 1000)
		}
	}
	for y := range m.Height {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := m.Planes[0].Row(y)
		for x, v := range row {
			row[x] = table[v]
		}
	}
	return nil
}

// convertRow converts a row of colour samples and the pixels under them. The equations
// between YCbCr and RGB are those of JFIF, with 16 bits of fraction as in image/color.
func (p *Profile) convertRow(m *planar.Image, row int, out *[white + 1]uint16) {
	blues, reds := m.Planes[1].Row(row), m.Planes[2].Row(row)
	w, h := m.Chroma()
	top, bottom := row*h, min(row*h+h, m.Height)
	light, stride := m.Planes[0].Pix[top*m.Planes[0].Stride:], m.Planes[0].Stride
	for i := range blues {
		t := p.tint(int(blues[i])-128, int(reds[i])-128)
		left, right := i*w, min(i*w+w, m.Width)
		var r, g, b int64
		if right-left == 2 && bottom-top == 2 {
			r, g, b = t.four((*[2]uint8)(light[left:]), (*[2]uint8)(light[left+stride:]), out)
		} else {
			r, g, b = t.any(light[left:], stride, right-left, bottom-top, out)
		}
		n := (right - left) * (bottom - top)
		blues[i] = centred(-11056*r-21712*g+32768*b, n)
		reds[i] = centred(32768*r-27440*g-5328*b, n)
	}
}

// tint is the entries of pixels of one Cb and Cr, by their Y.
type tint struct{ red, green, blue *[255*finer + 1]int64 }

func (p *Profile) tint(cb, cr int) tint {
	const round = 1<<15 + margin<<16
	return tint{
		red:   (*[255*finer + 1]int64)(p.in[0][(finer*91881*cr+round)>>16:]),
		green: (*[255*finer + 1]int64)(p.in[1][(finer*(-22554*cb-46802*cr)+round)>>16:]),
		blue:  (*[255*finer + 1]int64)(p.in[2][(finer*116130*cb+round)>>16:]),
	}
}

// four converts two by two pixels, the most frequent case, and returns the sums of
// their encoded values.
func (t tint) four(upper, lower *[2]uint8, out *[white + 1]uint16) (r, g, b int64) {
	r, g, b = values(out, inRange(t.sum(upper[0])))
	upper[0] = luma(r, g, b)
	x, y, z := values(out, inRange(t.sum(upper[1])))
	upper[1] = luma(x, y, z)
	r, g, b = r+x, g+y, b+z
	x, y, z = values(out, inRange(t.sum(lower[0])))
	lower[0] = luma(x, y, z)
	r, g, b = r+x, g+y, b+z
	x, y, z = values(out, inRange(t.sum(lower[1])))
	lower[1] = luma(x, y, z)
	return r + x, g + y, b + z
}

// any is four for any number of pixels.
func (t tint) any(light []uint8, stride, width, height int, out *[white + 1]uint16) (r, g, b int64) {
	for y := range height {
		row := light[y*stride:][:width]
		for i, v := range row {
			x, y, z := values(out, inRange(t.sum(v)))
			row[i] = luma(x, y, z)
			r, g, b = r+x, g+y, b+z
		}
	}
	return r, g, b
}

func (t tint) sum(v uint8) int64 {
	return t.red[finer*int(v)] + t.green[finer*int(v)] + t.blue[finer*int(v)]
}

func luma(r, g, b int64) uint8 {
	return uint8((19595*r + 38470*g + 7471*b + half<<16) >> (16 + codeBits))
}

// centred is the mean of n differences, brought to 128 as its zero.
func centred(sum int64, n int) uint8 {
	if n&(n-1) == 0 {
		sum >>= bits.TrailingZeros(uint(n))
	} else {
		sum /= int64(n)
	}
	return uint8(max(0, min((sum+128<<(16+codeBits)+half<<16)>>(16+codeBits), 255)))
}

// ConvertNRGBA brings a picture to sRGB in place; alpha stays. A grey profile is
// ErrUnsupported unless every pixel is grey, and then nothing is changed. It returns
// ctx's error soon after ctx ends, with the picture converted in part.
func (p *Profile) ConvertNRGBA(ctx context.Context, m *image.NRGBA) error {
	if p.grey != nil && !isGrey(m) {
		return fmt.Errorf("%w: a grey profile on a picture with colours", ErrUnsupported)
	}
	out := encoded()
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		for row := m.Pix[m.PixOffset(m.Rect.Min.X, y):][:4*m.Rect.Dx()]; len(row) > 0; row = row[4:] {
			row[0], row[1], row[2] = p.rgb(out, row[0], row[1], row[2])
		}
	}
	return nil
}

func isGrey(m *image.NRGBA) bool {
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		for row := m.Pix[m.PixOffset(m.Rect.Min.X, y):][:4*m.Rect.Dx()]; len(row) > 0; row = row[4:] {
			if row[0] != row[1] || row[0] != row[2] {
				return false
			}
		}
	}
	return true
}

// rgb converts one colour.
func (p *Profile) rgb(out *[white + 1]uint16, r, g, b uint8) (uint8, uint8, uint8) {
	if p.grey != nil {
		return p.grey[r], p.grey[g], p.grey[b]
	}
	sum := p.in[0][margin+finer*int(r)] + p.in[1][margin+finer*int(g)] + p.in[2][margin+finer*int(b)]
	x, y, z := values(out, inRange(sum))
	return uint8((x + half) >> codeBits), uint8((y + half) >> codeBits), uint8((z + half) >> codeBits)
}
