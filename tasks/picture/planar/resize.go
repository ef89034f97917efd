package planar

import (
	"context"
	"errors"
	"fmt"
)

// ErrLarger says that a resize would have enlarged the picture, or that a target is
// grey where the picture is not, or the other way round.
var ErrLarger = errors.New("planar: target does not fit the picture")

// Resize returns the picture at most width x height large, never enlarged, by
// Lanczos3. The result has colour at half the size both ways (4:2:0) or is grey as m
// is; m stays. The only error is ctx's.
func (m *Image) Resize(ctx context.Context, width, height int) (*Image, error) {
	x, y := 2, 2
	if len(m.Planes) == 1 {
		x, y = 0, 0
	}
	dst := New(min(width, m.Width), min(height, m.Height), x, y)
	if err := m.ResizeTo(ctx, dst); err != nil {
		dst.Release()
		return nil, err
	}
	return dst, nil
}

// ResizeTo fills dst with the picture at dst's size and colour sampling. Colour
// planes are made from m's straight to their own size, up or down. It returns
// ErrLarger if dst does not fit, and ctx's error soon after ctx ends; dst then holds
// nothing of use.
func (m *Image) ResizeTo(ctx context.Context, dst *Image) error {
	if dst.Width > m.Width || dst.Height > m.Height || len(dst.Planes) != len(m.Planes) {
		return fmt.Errorf("%w: %dx%d to %dx%d", ErrLarger, m.Width, m.Height, dst.Width, dst.Height)
	}
	var r resizer
	for i := range m.Planes {
		h, v := axes(m, dst, i)
		if err := r.plane(ctx, &dst.Planes[i], &m.Planes[i], h, v); err != nil {
			return err
		}
	}
	return nil
}

// axes says how plane i of dst lies on that of m.
func axes(m, dst *Image, i int) (h, v axis) {
	h = axis{from: m.Planes[i].Width, to: dst.Planes[i].Width, num: m.across.num, den: m.across.den * dst.Width}
	v = axis{from: m.Planes[i].Height, to: dst.Planes[i].Height, num: m.down.num, den: m.down.den * dst.Height}
	if i > 0 {
		h.num, h.den = h.num*dst.x, h.den*m.x
		v.num, v.den = v.num*dst.y, v.den*m.y
	}
	return h, v
}

// resizer keeps what the planes of one picture can share: Cb's filters serve Cr too.
type resizer struct {
	across, down axis
	h            groups
	v            filter
	lines        [2][]int16
	pairs        []int64
}

// plane resizes one plane, a row or two of the result after the other: the input's
// rows are summed up into a line of 16-bit samples, and that line is resized into
// place. Nothing larger than the lines is ever kept between the two.
func (r *resizer) plane(ctx context.Context, dst, src *Plane, across, down axis) error {
	r.prepare(across, down)
	same := across.identity() && down.identity()
	for y := 0; y < dst.Height; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if same {
			copy(dst.Row(y), src.Row(y))
			y++
			continue
		}
		y += r.rows(dst, src, y)
	}
	return nil
}

func (r *resizer) prepare(across, down axis) {
	if across != r.across {
		r.across, r.h = across, group(across.lanczos())
		for i := range r.lines {
			r.lines[i] = make([]int16, across.from+2*align)
		}
		r.pairs = nil
	}
	if down != r.down {
		r.down, r.v = down, down.lanczos()
	}
}

func (a axis) identity() bool { return a.from == a.to && a.num == a.den }
