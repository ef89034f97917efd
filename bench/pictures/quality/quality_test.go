package quality_test

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/bench/pictures/quality"
)

func flat(w, h int, v float64) quality.Plane {
	p := quality.Plane{Pix: make([]float64, w*h), Width: w, Height: h}
	for i := range p.Pix {
		p.Pix[i] = v
	}
	return p
}

// samples rounds a plane.
func samples(p quality.Plane) quality.Samples {
	s := quality.Samples{Pix: make([]byte, len(p.Pix)), Stride: p.Width, Width: p.Width, Height: p.Height, X: 1, Y: 1}
	for i, v := range p.Pix {
		s.Pix[i] = byte(v + 0.5)
	}
	return s
}

func noise(w, h int, seed uint64) quality.Plane {
	r, p := rand.New(rand.NewPCG(seed, 1)), flat(w, h, 0)
	for i := range p.Pix {
		p.Pix[i] = float64(r.IntN(256))
	}
	return p
}

func TestPSNR(t *testing.T) {
	tests := []struct {
		name      string
		want, got float64
		dB        float64
	}{
		{"equal", 100, 100, math.Inf(1)},
		{"one level", 100, 101, 48.130803608679},
		{"ten levels", 100, 90, 28.130803608679},
		{"black for white", 255, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dB, err := quality.PSNR(flat(20, 30, tt.want), samples(flat(20, 30, tt.got)))
			require.NoError(t, err)
			if math.IsInf(tt.dB, 1) {
				require.Equal(t, tt.dB, dB)
				return
			}
			require.InDelta(t, tt.dB, dB, 1e-9)
		})
	}
	_, err := quality.PSNR(flat(20, 30, 0), samples(flat(30, 20, 0)))
	require.ErrorIs(t, err, quality.ErrSize)
}

func TestSSIM(t *testing.T) {
	same := noise(40, 30, 1)
	got, err := quality.SSIM(same, samples(same))
	require.NoError(t, err)
	require.InDelta(t, 1, got, 1e-12)

	// Of flat planes only the luminance term is left.
	got, err = quality.SSIM(flat(20, 20, 100), samples(flat(20, 20, 120)))
	require.NoError(t, err)
	require.InDelta(t, (2*100*120+6.5025)/(100*100+120*120+6.5025), got, 1e-9)

	a, b := noise(17, 13, 2), noise(17, 13, 3)
	got, err = quality.SSIM(a, samples(b))
	require.NoError(t, err)
	require.InDelta(t, ssimByDefinition(a, b), got, 1e-9)

	_, err = quality.SSIM(flat(10, 40, 1), samples(flat(10, 40, 1)))
	require.ErrorIs(t, err, quality.ErrSize, "smaller than the window")
}

// ssimByDefinition is the formula of the paper, window by window in two dimensions.
func ssimByDefinition(a, b quality.Plane) float64 {
	var weights [11][11]float64
	total := 0.0
	for y := range weights {
		for x := range weights[y] {
			weights[y][x] = math.Exp(-float64((x-5)*(x-5)+(y-5)*(y-5)) / 4.5)
			total += weights[y][x]
		}
	}
	sum, places := 0.0, 0
	for top := range a.Height - 10 {
		for left := range a.Width - 10 {
			mean := func(f func(i int) float64) (m float64) {
				for y := range weights {
					for x, w := range weights[y] {
						m += w / total * f((top+y)*a.Width+left+x)
					}
				}
				return m
			}
			ma, mb := mean(func(i int) float64 { return a.Pix[i] }), mean(func(i int) float64 { return b.Pix[i] })
			va := mean(func(i int) float64 { return (a.Pix[i] - ma) * (a.Pix[i] - ma) })
			vb := mean(func(i int) float64 { return (b.Pix[i] - mb) * (b.Pix[i] - mb) })
			cov := mean(func(i int) float64 { return (a.Pix[i] - ma) * (b.Pix[i] - mb) })
			sum += (2*ma*mb + 6.5025) * (2*cov + 58.5225) / ((ma*ma + mb*mb + 6.5025) * (va + vb + 58.5225))
			places++
		}
	}
	return sum / float64(places)
}

func TestShrinkKeepsWhatItMust(t *testing.T) {
	t.Run("the same size is the same picture", func(t *testing.T) {
		p := noise(31, 17, 4)
		require.InDeltaSlice(t, p.Pix, samples(p).Shrink(31, 17, 1, 1, 1, 1).Pix, 1e-9)
	})
	t.Run("flat stays flat", func(t *testing.T) {
		got := samples(flat(100, 70, 77)).Shrink(33, 23, 1, 1, 100./33, 70./23)
		require.InDeltaSlice(t, flat(33, 23, 77).Pix, got.Pix, 1e-9)
	})
	t.Run("a slope keeps its place, chroma as well as luma", func(t *testing.T) {
		slope := flat(240, 20, 0)
		for i := range slope.Pix {
			slope.Pix[i] = float64(i % 240)
		}
		luma := samples(slope)
		chroma := luma
		chroma.X, chroma.Y = 2, 2 // of a picture of 480 x 40
		small := luma.Shrink(96, 8, 1, 1, 2.5, 2.5)
		halved := chroma.Shrink(96, 8, 2, 2, 2.5, 2.5)
		for x := 10; x < 86; x++ {
			require.InDelta(t, (float64(x)+0.5)*2.5-0.5, small.Pix[4*96+x], 0.05)
			require.InDelta(t, small.Pix[4*96+x], halved.Pix[4*96+x], 1e-9)
		}
	})
}

func TestUpright(t *testing.T) {
	// 1 2 3
	// 4 5 6
	p := quality.Plane{Pix: []float64{1, 2, 3, 4, 5, 6}, Width: 3, Height: 2}
	for o, want := range map[int][]float64{
		1: {1, 2, 3, 4, 5, 6}, 2: {3, 2, 1, 6, 5, 4}, 3: {6, 5, 4, 3, 2, 1}, 4: {4, 5, 6, 1, 2, 3},
		5: {1, 4, 2, 5, 3, 6}, 6: {4, 1, 5, 2, 6, 3}, 7: {6, 3, 5, 2, 4, 1}, 8: {3, 6, 2, 5, 1, 4},
	} {
		got := p.Upright(o)
		require.Equal(t, want, got.Pix, "orientation %d", o)
		require.Equal(t, o >= 5, got.Width == 2)
	}
}

func TestPlanes(t *testing.T) {
	planes, err := quality.Planes(image.NewYCbCr(image.Rect(0, 0, 33, 21), image.YCbCrSubsampleRatio420))
	require.NoError(t, err)
	require.Len(t, planes, 3)
	require.Equal(t, []int{17, 11, 2, 2}, []int{planes[1].Width, planes[1].Height, planes[1].X, planes[1].Y})
	_, err = quality.Planes(image.NewRGBA(image.Rect(0, 0, 1, 1)))
	require.Error(t, err)
}
