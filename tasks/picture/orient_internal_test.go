package picture

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/pixels"
)

// noise is a picture of random pixels, some of them transparent.
func noise(rng *rand.Rand, width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = byte(rng.Uint32())
		if i%4 == 3 && rng.IntN(3) > 0 {
			img.Pix[i] = 255 * byte(rng.IntN(2))
		}
	}
	return img
}

func TestOrient(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, size := range [][2]int{{1, 1}, {5, 3}, {1, 40}, {70, 33}, {32, 64}} {
		img := noise(rng, size[0], size[1])
		w, h := size[0], size[1]
		from := map[int]func(x, y int) (int, int){ // where the pixel of the result comes from
			1: func(x, y int) (int, int) { return x, y },
			2: func(x, y int) (int, int) { return w - 1 - x, y },
			3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
			4: func(x, y int) (int, int) { return x, h - 1 - y },
			5: func(x, y int) (int, int) { return y, x },
			6: func(x, y int) (int, int) { return y, h - 1 - x },
			7: func(x, y int) (int, int) { return w - 1 - y, h - 1 - x },
			8: func(x, y int) (int, int) { return w - 1 - y, x },
			9: func(x, y int) (int, int) { return x, y },
		}
		for orientation, from := range from {
			got := orient(img, orientation)
			for y := range got.Rect.Dy() {
				for x := range got.Rect.Dx() {
					require.Equal(t, img.NRGBAAt(from(x, y)), got.NRGBAAt(x, y), "%d of %v at %d, %d", orientation, size, x, y)
				}
			}
			require.Equal(t, w*h, got.Rect.Dx()*got.Rect.Dy())
		}
	}
}

// TestScaledAsByImaging holds the scaler of package pixels to the library that did this before: pictures that were made
// then have the same bytes when they are made again.
func TestScaledAsByImaging(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		img := noise(rng, 1+rng.IntN(200), 1+rng.IntN(200))
		w, h := 1+rng.IntN(img.Rect.Dx()), 1+rng.IntN(img.Rect.Dy())
		want := imaging.Resize(imaging.Resize(img, w, img.Rect.Dy(), imaging.Lanczos), w, h, imaging.Lanczos)
		scaler := pixels.NewScaler(img.Rect.Dx(), img.Rect.Dy(), w, h)
		for y := range img.Rect.Dy() {
			scaler.Add(img.Pix[y*img.Stride:])
		}
		require.Equal(t, want.Pix, scaler.Image().Pix, "%v to %d x %d", img.Rect, w, h)
	}
}
