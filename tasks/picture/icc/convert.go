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
		table = new([256]uint8)
		for v := range table {
			r, g, b := p.rgb(uint8(v), uint8(v), uint8(v))
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
	const round = 1<<15 + margin<<16
	blues, reds := m.Planes[1].Row(row), m.Planes[2].Row(row)
	w, h := m.Chroma()
	top, bottom := row*h, min(row*h+h, m.Height)
	for i := range blues {
		cb, cr := int(blues[i])-128, int(reds[i])-128
		red := (*curveEntries)(p.in[0][(finer*91881*cr+round)>>16:])
		green := (*curveEntries)(p.in[1][(finer*(-22554*cb-46802*cr)+round)>>16:])
		blue := (*curveEntries)(p.in[2][(finer*116130*cb+round)>>16:])
		left, right := i*w, min(i*w+w, m.Width)
		var r, g, b int64
		for y := top; y < bottom; y++ {
			light := m.Planes[0].Pix[y*m.Planes[0].Stride+left:][:right-left]
			for x, v := range light {
				sum := red[finer*int(v)] + green[finer*int(v)] + blue[finer*int(v)]
				pr, pg, pb := int64(out[lane(sum)]), int64(out[lane(sum>>laneBits)]), int64(out[lane(sum>>(2*laneBits))])
				light[x] = uint8((19595*pr + 38470*pg + 7471*pb + half<<16) >> (16 + codeBits))
				r, g, b = r+pr, g+pg, b+pb
			}
		}
		n := (right - left) * (bottom - top)
		blues[i] = centred(-11056*r-21712*g+32768*b, n)
		reds[i] = centred(32768*r-27440*g-5328*b, n)
	}
}

// curveEntries is the part of a channel's entries that one colour sample's pixels use.
type curveEntries [255*finer + 1]int64

// lane takes the lowest lane of a sum, clipped to the range of the encoding table.
func lane(sum int64) int {
	return max(0, min(int(sum>>extraBits&laneMask)-zero, white))
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
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		for row := m.Pix[m.PixOffset(m.Rect.Min.X, y):][:4*m.Rect.Dx()]; len(row) > 0; row = row[4:] {
			row[0], row[1], row[2] = p.rgb(row[0], row[1], row[2])
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
func (p *Profile) rgb(r, g, b uint8) (uint8, uint8, uint8) {
	if p.grey != nil {
		return p.grey[r], p.grey[g], p.grey[b]
	}
	out := encoded()
	sum := p.in[0][margin+finer*int(r)] + p.in[1][margin+finer*int(g)] + p.in[2][margin+finer*int(b)]
	code := func(sum int64) uint8 { return uint8((int(out[lane(sum)]) + half) >> codeBits) }
	return code(sum), code(sum >> laneBits), code(sum >> (2 * laneBits))
}
