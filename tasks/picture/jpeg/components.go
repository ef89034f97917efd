package jpeg

import (
	"context"
	"fmt"
	"image/color"
	"slices"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/planar"
)

// Components is a picture whose components are each of a size of their own: CMYK, RGB, or
// colours that are sampled in ways that planes cannot hold.
type Components struct {
	// Width and Height are the picture's, reduced as was asked.
	Width, Height int

	transform Transform
	planes    []planar.Plane
	at        [][]int32
}

// DecodeComponents is Decode for whatever is [Header.Decodable]. Its memory is not kept for later
// pictures. It holds at most [Header.Cost] bytes besides data.
func DecodeComponents(ctx context.Context, data []byte, eighths int) (c *Components, r Report, err error) {
	h, err := ReadHeader(container.Memory(data))
	if err != nil {
		return nil, r, err
	}
	if !h.Decodable() || !slices.Contains(scales[:], eighths) {
		return nil, r, fmt.Errorf("decode at %d/8: %w", eighths, ErrUnsupported)
	}
	d := decoders.Get().(*decoder)
	defer d.release()
	d.start(ctx, h, eighths)
	d.plain = true
	if err := d.decode(data); err != nil {
		return nil, r, fmt.Errorf("decode: %w", err)
	}
	c = &Components{
		Width: reduced(h.Width, eighths), Height: reduced(h.Height, eighths),
		transform: h.Transform, planes: d.planes,
	}
	c.columns()
	return c, Report{d.damage.err(), d.trailing}, nil
}

// plainPlanes sets aside a plane for each component.
func (h *Header) plainPlanes(size int) []planar.Plane {
	const align = 32
	planes := make([]planar.Plane, len(h.components))
	hMost, vMost := 1, 1
	for _, c := range h.components {
		hMost, vMost = max(hMost, c.h), max(vMost, c.v)
	}
	for i, c := range h.components {
		w, ht := reduced(ceil(h.Width*c.h, hMost), size), reduced(ceil(h.Height*c.v, vMost), size)
		stride := (c.wide*size + align - 1) &^ (align - 1)
		planes[i] = planar.Plane{Stride: stride, Width: w, Height: ht, Pix: make([]byte, stride*ht+align)}
	}
	return planes
}

// columns finds where in its row the sample of a pixel is, for each component.
func (c *Components) columns() {
	c.at = make([][]int32, len(c.planes))
	for i, p := range c.planes {
		c.at[i] = make([]int32, c.Width)
		for x := range c.at[i] {
			c.at[i][x] = int32(min(x*p.Width/c.Width, p.Width-1))
		}
	}
}

// Row writes row y in RGB and opaque, four bytes a pixel. Each pixel takes the nearest sample of every
// component.
func (c *Components) Row(dst []byte, y int) {
	var rows [4][]byte
	for i := range c.planes {
		p := &c.planes[i]
		rows[i] = p.Row(min(y*p.Height/c.Height, p.Height-1))
	}
	for x := range c.Width {
		var s [4]byte
		for i := range c.planes {
			s[i] = rows[i][c.at[i][x]]
		}
		r, g, b := c.rgb(s)
		d := dst[4*x:][:4:4]
		d[0], d[1], d[2], d[3] = r, g, b, 255
	}
}

// rgb is the colour of a pixel. Inks are multiplied, as there is no profile for them. 255 means no
// ink, as Adobe's programs write it and others after them, with Adobe's segment or without; with
// YCCK it is the inks that were turned into Y, Cb and Cr.
func (c *Components) rgb(s [4]byte) (r, g, b byte) {
	switch c.transform {
	case Grey:
		return s[0], s[0], s[0]
	case RGB:
		return s[0], s[1], s[2]
	case YCbCr:
		return color.YCbCrToRGB(s[0], s[1], s[2])
	case YCCK:
		r, g, b = color.YCbCrToRGB(s[0], s[1], s[2])
		s = [4]byte{255 - r, 255 - g, 255 - b, s[3]}
	}
	over := func(v byte) byte { return byte((uint(v)*uint(s[3]) + 127) / 255) }
	return over(s[0]), over(s[1]), over(s[2])
}
