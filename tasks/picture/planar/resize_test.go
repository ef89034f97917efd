package planar_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/planar"
)

// paint fills each plane from a picture of pixel coordinates: a colour sample has the
// value at its centre.
func paint(m *planar.Image, at func(plane int, x, y float64) float64) {
	cx, cy := m.Chroma()
	for i := range m.Planes {
		w, h := 1, 1
		if i > 0 {
			w, h = cx, cy
		}
		p := &m.Planes[i]
		for y := range p.Height {
			for x := range p.Row(y) {
				v := at(i, (float64(x)+0.5)*float64(w), (float64(y)+0.5)*float64(h))
				p.Row(y)[x] = uint8(math.Round(max(0, min(v, 255))))
			}
		}
	}
}

func noise(m *planar.Image) {
	rng := rand.New(rand.NewPCG(1, 2))
	paint(m, func(int, float64, float64) float64 { return rng.Float64() * 255 })
}

// lanczos3 is the resize of one plane in floating point, written from the definition,
// edges going on for ever. ratio is the size of an output sample in input samples.
func lanczos3(p *planar.Plane, width, height int, rx, ry float64) [][]float64 {
	out := make([][]float64, height)
	for y := range out {
		line := make([]float64, p.Width)
		first, weights := weigh(float64(y), ry)
		for k, w := range weights {
			for x, v := range p.Row(max(0, min(first+k, p.Height-1))) {
				line[x] += w * float64(v)
			}
		}
		out[y] = make([]float64, width)
		for x := range out[y] {
			first, weights := weigh(float64(x), rx)
			for k, w := range weights {
				out[y][x] += w * line[max(0, min(first+k, p.Width-1))]
			}
		}
	}
	return out
}

// weigh returns the first input sample that output sample i is made from, and the
// weights from there on.
func weigh(i, ratio float64) (first int, weights []float64) {
	centre, stretch := (i+0.5)*ratio-0.5, max(ratio, 1)
	first = int(math.Floor(centre - 3*stretch))
	sum := 0.0
	for k := first; float64(k) <= centre+3*stretch; k++ {
		x, w := (float64(k)-centre)/stretch, 1.0
		if x != 0 {
			w = 3 * math.Sin(math.Pi*x) * math.Sin(math.Pi*x/3) / (math.Pi * math.Pi * x * x)
		}
		if math.Abs(x) >= 3 {
			w = 0
		}
		weights, sum = append(weights, w), sum+w
	}
	for k := range weights {
		weights[k] /= sum
	}
	return first, weights
}

// TestResizeIsLanczos compares with the definition, on noise, which is the worst case.
func TestResizeIsLanczos(t *testing.T) {
	for name, c := range map[string]struct{ w, h, x, y, tw, th, tx, ty int }{
		"photo to full size":   {252, 189, 2, 2, 200, 150, 2, 2},
		"24 MP":                {225, 150, 2, 2, 120, 80, 2, 2},
		"thumbnail":            {200, 150, 2, 2, 40, 30, 2, 2},
		"4:2:2, odd":           {255, 191, 2, 1, 129, 97, 2, 2},
		"4:4:4 kept":           {201, 100, 1, 1, 101, 50, 1, 1},
		"4:1:1, chroma grows":  {203, 101, 4, 1, 180, 90, 1, 1},
		"chroma alone changes": {64, 63, 1, 2, 64, 63, 2, 2},
		"grey":                 {333, 77, 0, 0, 100, 23, 0, 0},
		"to one pixel":         {97, 55, 2, 2, 1, 1, 2, 2},
		"panorama":             {2000, 20, 2, 2, 160, 2, 2, 2},
		"one column":           {1, 300, 2, 2, 1, 20, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := planar.New(c.w, c.h, c.x, c.y), planar.New(c.tw, c.th, c.tx, c.ty)
			noise(src)
			require.NoError(t, src.ResizeTo(t.Context(), dst))
			for i := range dst.Planes {
				rx, ry := float64(c.w)/float64(c.tw), float64(c.h)/float64(c.th)
				if i > 0 {
					rx, ry = rx*float64(c.tx)/float64(c.x), ry*float64(c.ty)/float64(c.y)
				}
				requireNear(t, lanczos3(&src.Planes[i], dst.Planes[i].Width, dst.Planes[i].Height, rx, ry), &dst.Planes[i])
			}
		})
	}
}

// requireNear allows the rounding to a whole sample and a little for the weights'.
func requireNear(t *testing.T, want [][]float64, p *planar.Plane) {
	t.Helper()
	for y := range want {
		for x, v := range p.Row(y) {
			if off := max(0, min(want[y][x], 255)) - float64(v); math.Abs(off) > 0.6 {
				require.Failf(t, "not Lanczos", "off by %v at %d, %d", off, x, y)
			}
		}
	}
}

// TestResizeKeepsEvenAreas is what keeps a white page white.
func TestResizeKeepsEvenAreas(t *testing.T) {
	for _, size := range [][4]int{{300, 200, 160, 107}, {800, 40, 160, 8}, {64, 64, 63, 1}, {7, 5, 3, 2}, {2, 2, 1, 1}} {
		for _, v := range []uint8{0, 1, 77, 128, 254, 255} {
			src := planar.New(size[0], size[1], 1, 1)
			paint(src, func(int, float64, float64) float64 { return float64(v) })
			dst, err := src.Resize(t.Context(), size[2], size[3])
			require.NoError(t, err)
			for i := range dst.Planes {
				for y := range dst.Planes[i].Height {
					row := dst.Planes[i].Row(y)
					require.Equal(t, bytes.Repeat([]byte{v}, len(row)), row)
				}
			}
			dst.Release()
			src.Release()
		}
	}
}

// TestResizeKeepsColourInPlace paints a slope in all planes: if colour were sited
// elsewhere than at the centre of its pixels, it would come out shifted.
func TestResizeKeepsColourInPlace(t *testing.T) {
	slope := func(scale float64) func(int, float64, float64) float64 {
		return func(_ int, x, y float64) float64 { return 20 + scale*(0.3*x+0.2*y) }
	}
	for _, sampling := range [][2]int{{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}, {4, 4}} {
		src := planar.New(301, 203, sampling[0], sampling[1])
		paint(src, slope(1))
		dst, err := src.Resize(t.Context(), 150, 101)
		require.NoError(t, err)
		want := planar.New(150, 101, 2, 2)
		paint(want, slope(301.0/150))
		for i := range dst.Planes {
			for y := 6; y < dst.Planes[i].Height-6; y++ {
				for x := 6; x < dst.Planes[i].Width-6; x++ {
					a, b := want.Planes[i].Row(y)[x], dst.Planes[i].Row(y)[x]
					if max(a, b)-min(a, b) > 1 {
						require.Failf(t, "moved", "plane %d of %v at %d, %d: want %d, got %d", i, sampling, x, y, a, b)
					}
				}
			}
		}
	}
}

func TestResizeNeverEnlarges(t *testing.T) {
	src := planar.New(30, 20, 2, 2)
	noise(src)
	same, err := src.Resize(t.Context(), 60, 60)
	require.NoError(t, err)
	require.Equal(t, []int{30, 20}, []int{same.Width, same.Height})
	for i := range src.Planes {
		for y := range src.Planes[i].Height {
			require.Equal(t, src.Planes[i].Row(y), same.Planes[i].Row(y))
		}
	}
	require.ErrorIs(t, src.ResizeTo(t.Context(), planar.New(31, 20, 2, 2)), planar.ErrLarger)
	require.ErrorIs(t, src.ResizeTo(t.Context(), planar.New(15, 10, 0, 0)), planar.ErrLarger)
}

func TestResizeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	src := planar.New(300, 200, 2, 2)
	_, err := src.Resize(ctx, 100, 100)
	require.ErrorIs(t, err, context.Canceled)
}

// TestResizeOfReducedPictures: whatever a picture was reduced by when it was decoded,
// each of its parts ends up where it belongs, although the samples reach over the
// edges.
func TestResizeOfReducedPictures(t *testing.T) {
	const width, height = 127, 95
	for _, n := range []int{1, 2, 4, 6, 8} {
		for _, c := range []struct{ x, y int }{{0, 0}, {1, 1}, {2, 1}, {2, 2}} {
			src := planar.New((width*n+7)/8, (height*n+7)/8, c.x, c.y)
			src.Reduced(width, height, n, 8)
			pixels := func(samples float64) float64 { return samples * 8 / float64(n) }
			paint(src, func(_ int, x, y float64) float64 { return pixels(x) + pixels(y) })
			dst := planar.New(min(11, src.Width), min(9, src.Height), c.x, c.y)
			require.NoError(t, src.ResizeTo(t.Context(), dst))
			for i := range dst.Planes {
				p := &dst.Planes[i]
				w, h := float64(width)/float64(dst.Width), float64(height)/float64(dst.Height)
				if i > 0 {
					w, h = w*float64(c.x), h*float64(c.y)
				}
				for y := 3; y < p.Height-3; y++ {
					for x := 3; x < p.Width-3; x++ {
						require.InDelta(t, (float64(x)+0.5)*w+(float64(y)+0.5)*h, float64(p.Row(y)[x]), 0.7, "n=%d plane %d at %d, %d", n, i, x, y)
					}
				}
			}
		}
	}
}
