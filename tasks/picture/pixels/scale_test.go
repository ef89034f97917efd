package pixels

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainly scales along one axis as the formula says, pixel by pixel: each pixel of the result is the mean of those around
// its centre, weighted by the kernel and by how opaque they are.
func plainly(src *image.NRGBA, to int, across bool) *image.NRGBA {
	from, others := src.Rect.Dy(), src.Rect.Dx()
	dst := image.NewNRGBA(image.Rect(0, 0, others, to))
	if across {
		from, others = others, from
		dst = image.NewNRGBA(image.Rect(0, 0, to, others))
	}
	at := func(img *image.NRGBA, i, other int) []byte {
		if across {
			return img.Pix[img.PixOffset(i, other):][:4]
		}
		return img.Pix[img.PixOffset(other, i):][:4]
	}
	step := float64(from) / float64(to)
	reach := math.Ceil(step * 3)
	for i := range to {
		centre := float64((float64(i)+0.5)*step) - 0.5
		begin, end := max(int(math.Ceil(centre-reach)), 0), min(int(math.Floor(centre+reach)), from-1)
		sum := 0.0
		for u := begin; u <= end; u++ {
			sum += kernel((float64(u) - centre) / step)
		}
		for other := range others {
			var c [4]float64
			for u := begin; u <= end; u++ {
				p := at(src, u, other)
				aw := float64(float64(p[3]) * (kernel((float64(u)-centre)/step) / sum))
				for k := range 3 {
					c[k] += float64(float64(p[k]) * aw)
				}
				c[3] += aw
			}
			out := at(dst, i, other)
			for k := range 4 {
				v := c[k]
				if k < 3 {
					v *= 1 / c[3]
				}
				if c[3] != 0 {
					out[k] = byte(max(0, min(math.Floor(v+0.5), 255)))
				}
			}
		}
	}
	return dst
}

// noise is a picture of random pixels: opaque, with transparency, with much of it, or with rows of each kind.
func noise(rng *rand.Rand, width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	kind := rng.IntN(4)
	for y := range height {
		for x := range width {
			p := img.Pix[img.PixOffset(x, y):][:4]
			for i := range p {
				p[i] = byte(rng.Uint32())
				if rng.IntN(8) == 0 {
					p[i] = 255 * byte(rng.IntN(2))
				}
			}
			if kind == 0 || kind == 1 && y%5 > 0 || kind == 2 && rng.IntN(2) == 0 {
				p[3] = 255 * byte(1-kind/2)
			}
		}
	}
	return img
}

func scaled(img *image.NRGBA, width, height int) *image.NRGBA {
	s := NewScaler(img.Rect.Dx(), img.Rect.Dy(), width, height)
	for y := range img.Rect.Dy() {
		s.Add(img.Pix[y*img.Stride:])
	}
	return s.Image()
}

func TestScalerIsTheFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		img := noise(rng, 1+rng.IntN(130), 1+rng.IntN(130))
		w, h := 1+rng.IntN(img.Rect.Dx()), 1+rng.IntN(img.Rect.Dy())
		want := img
		if w < img.Rect.Dx() {
			want = plainly(want, w, true)
		}
		if h < img.Rect.Dy() {
			want = plainly(want, h, false)
		}
		require.Equal(t, want, scaled(img, w, h), "%v to %d x %d", img.Rect, w, h)
	}
}

// TestScalerKeepsWhatIsEven scales pictures of one colour: neither rounding nor the edges change it.
func TestScalerKeepsWhatIsEven(t *testing.T) {
	for _, p := range [][4]byte{{0, 0, 0, 255}, {255, 255, 255, 255}, {1, 128, 254, 255}, {7, 9, 200, 3}, {0, 0, 0, 0}} {
		img := image.NewNRGBA(image.Rect(0, 0, 301, 97))
		for i := range img.Pix {
			img.Pix[i] = p[i%4]
		}
		for _, size := range [][2]int{{300, 96}, {301, 50}, {17, 97}, {1, 1}, {100, 3}} {
			got := scaled(img, size[0], size[1])
			for i, v := range got.Pix {
				require.Equal(t, p[i%4], v, "%v at %d of %v", p, i, size)
			}
		}
	}
}

// TestScalerHoldsFewRows looks at what a long picture's scaler holds.
func TestScalerHoldsFewRows(t *testing.T) {
	for _, c := range []struct{ from, to int }{{20000, 1600}, {3, 2}, {20000, 1}, {1700, 1600}, {1, 1}} {
		s := NewScaler(100, c.from, 50, c.to)
		held := int64(len(s.window) + len(s.opaque) + 8*len(s.line))
		for _, f := range []*filter{s.across, s.down} {
			if f != nil {
				held += int64(8*len(f.weights) + 8*len(f.opaque) + 8*len(f.inverse) + 4*len(f.starts))
			}
		}
		require.LessOrEqual(t, held, Memory(100, c.from, 50, c.to), "%d to %d", c.from, c.to)
	}
	require.Less(t, Memory(100, 20000, 50, 1600), int64(4<<20))
}
