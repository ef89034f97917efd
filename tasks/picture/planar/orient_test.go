package planar_test

import (
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/planar"
)

// upright says where a stored sample of a w x h plane is shown, from the EXIF
// standard's words on what row 0 and column 0 of the stored picture are.
var upright = map[int]func(x, y, w, h int) (int, int){
	1: func(x, y, w, h int) (int, int) { return x, y },                 // top, left
	2: func(x, y, w, h int) (int, int) { return w - 1 - x, y },         // top, right
	3: func(x, y, w, h int) (int, int) { return w - 1 - x, h - 1 - y }, // bottom, right
	4: func(x, y, w, h int) (int, int) { return x, h - 1 - y },         // bottom, left
	5: func(x, y, w, h int) (int, int) { return y, x },                 // left, top
	6: func(x, y, w, h int) (int, int) { return h - 1 - y, x },         // right, top
	7: func(x, y, w, h int) (int, int) { return h - 1 - y, w - 1 - x }, // right, bottom
	8: func(x, y, w, h int) (int, int) { return y, w - 1 - x },         // left, bottom
}

func TestOrient(t *testing.T) {
	for o, place := range upright {
		for _, s := range [][4]int{{37, 21, 2, 1}, {64, 48, 2, 2}, {1, 9, 1, 1}, {17, 8, 4, 1}, {40, 40, 0, 0}} {
			t.Run(fmt.Sprint(o, s), func(t *testing.T) {
				m, copied := planar.New(s[0], s[1], s[2], s[3]), planar.New(s[0], s[1], s[2], s[3])
				noise(m)
				noise(copied)
				got := m.Orient(o)
				defer got.Release()
				x, y := got.Chroma()
				width, height := s[0], s[1]
				if o >= 5 {
					x, y, width, height = y, x, height, width
				}
				require.Equal(t, []int{s[0], s[1], s[2], s[3]}, reorder(o, got.Width, got.Height, x, y))
				require.Equal(t, []int{width, height}, []int{got.Width, got.Height})
				for i := range got.Planes {
					p := &copied.Planes[i]
					for sy := range p.Height {
						for sx, v := range p.Row(sy) {
							dx, dy := place(sx, sy, p.Width, p.Height)
							require.Equal(t, v, got.Planes[i].Row(dy)[dx])
						}
					}
				}
			})
		}
	}
}

// reorder brings a size back to that of the stored picture.
func reorder(o, width, height, x, y int) []int {
	if o >= 5 {
		width, height = height, width
	}
	return []int{width, height, x, y}
}

func TestOrientLeavesUnknownAlone(t *testing.T) {
	m := planar.New(8, 8, 2, 2)
	for _, o := range []int{-1, 0, 1, 9} {
		require.Same(t, m, m.Orient(o))
	}
}

func TestFromNRGBA(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	src := image.NewNRGBA(image.Rect(3, 5, 3+37, 5+23))
	for i := range src.Pix {
		src.Pix[i] = uint8(rng.Uint32())
	}
	for _, s := range [][2]int{{1, 1}, {2, 2}, {2, 1}, {0, 0}} {
		m := planar.FromNRGBA(src, s[0], s[1])
		for y := range 23 {
			for x := range 37 {
				c := src.NRGBAAt(3+x, 5+y)
				light, blue, red := color.RGBToYCbCr(c.R, c.G, c.B)
				require.Equal(t, light, m.Planes[0].Row(y)[x])
				if s == [2]int{1, 1} {
					require.Equal(t, []uint8{blue, red}, []uint8{m.Planes[1].Row(y)[x], m.Planes[2].Row(y)[x]})
				}
			}
		}
		if s[0] == 2 {
			requireMeans(t, src, m)
		}
	}
}

// requireMeans holds each colour sample to the mean of its pixels' colours.
func requireMeans(t *testing.T, src *image.NRGBA, m *planar.Image) {
	t.Helper()
	cx, cy := m.Chroma()
	for y := range m.Planes[1].Height {
		for x := range m.Planes[1].Width {
			var blue, red, n float64
			for py := y * cy; py < min(y*cy+cy, m.Height); py++ {
				for px := x * cx; px < min(x*cx+cx, m.Width); px++ {
					c := src.NRGBAAt(src.Rect.Min.X+px, src.Rect.Min.Y+py)
					_, b, r := color.RGBToYCbCr(c.R, c.G, c.B)
					blue, red, n = blue+float64(b), red+float64(r), n+1
				}
			}
			require.InDelta(t, blue/n, m.Planes[1].Row(y)[x], 1)
			require.InDelta(t, red/n, m.Planes[2].Row(y)[x], 1)
		}
	}
}

// TestReleaseGivesBack holds an image's memory to one owner at a time.
func TestReleaseGivesBack(t *testing.T) {
	m := planar.New(100, 100, 2, 2)
	m.Release()
	m.Release()
	require.Empty(t, m.Planes)
	a, b := planar.New(100, 100, 2, 2), planar.New(100, 100, 2, 2)
	a.Planes[0].Row(0)[0] = 1
	b.Planes[0].Row(0)[0] = 2
	require.Equal(t, uint8(1), a.Planes[0].Row(0)[0])
}
