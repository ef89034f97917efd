package quality

import (
	"errors"
	"math"
)

// ErrSize says that two planes cannot be compared as they are not of one size.
var ErrSize = errors.New("planes of different sizes")

// PSNR returns the peak signal-to-noise ratio of got against want in dB, +Inf if they are equal.
func PSNR(want Plane, got Samples) (float64, error) {
	if want.Width != got.Width || want.Height != got.Height {
		return 0, ErrSize
	}
	sum := 0.0
	for y := range want.Height {
		for x, v := range want.Pix[y*want.Width:][:want.Width] {
			d := v - float64(got.Pix[y*got.Stride+x])
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255*float64(len(want.Pix))/sum), nil
}

// SSIM returns the mean structural similarity of got to want after Wang, Bovik, Sheikh and Simoncelli (2004): a
// Gaussian window of 11 x 11 with sigma 1.5 at every place where it fits wholly, K1 0.01, K2 0.03.
func SSIM(want Plane, got Samples) (float64, error) {
	if want.Width != got.Width || want.Height != got.Height || want.Width < window || want.Height < window {
		return 0, ErrSize
	}
	const c1, c2 = (0.01 * 255) * (0.01 * 255), (0.03 * 255) * (0.03 * 255)
	a, b := want, Plane{make([]float64, len(want.Pix)), want.Width, want.Height}
	for y := range b.Height {
		for x := range b.Width {
			b.Pix[y*b.Width+x] = float64(got.Pix[y*got.Stride+x])
		}
	}
	meanA, meanB := blur(a, a, false), blur(b, b, false)
	aa, bb, ab := blur(a, a, true), blur(b, b, true), blur(a, b, true)
	sum := 0.0
	for i, ma := range meanA {
		mb := meanB[i]
		varA, varB, cov := aa[i]-ma*ma, bb[i]-mb*mb, ab[i]-ma*mb
		sum += (2*ma*mb + c1) * (2*cov + c2) / ((ma*ma + mb*mb + c1) * (varA + varB + c2))
	}
	return sum / float64(len(meanA)), nil
}

const window = 11

// gaussian are the weights of the window in one direction.
var gaussian = func() (g [window]float64) {
	sum := 0.0
	for i := range g {
		d := float64(i - window/2)
		g[i] = math.Exp(-d * d / (2 * 1.5 * 1.5))
		sum += g[i]
	}
	for i := range g {
		g[i] /= sum
	}
	return g
}()

// blur returns the window's mean of a, or of a times b, at every place where the window fits.
func blur(a, b Plane, product bool) []float64 {
	w, h := a.Width-window+1, a.Height-window+1
	wide := make([]float64, w*a.Height)
	rows(a.Height, func(y int) {
		row := make([]float64, a.Width)
		copy(row, a.Pix[y*a.Width:])
		if product {
			for x := range row {
				row[x] *= b.Pix[y*a.Width+x]
			}
		}
		for x := range w {
			for k, g := range gaussian {
				wide[y*w+x] += g * row[x+k]
			}
		}
	})
	out := make([]float64, w*h)
	rows(h, func(y int) {
		for k, g := range gaussian {
			for x, v := range wide[(y+k)*w:][:w] {
				out[y*w+x] += g * v
			}
		}
	})
	return out
}
