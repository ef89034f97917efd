package quality

import (
	"math"
	"runtime"
	"sync"
)

// Shrink returns s resampled by Lanczos3 to width x height, in float64 throughout, clamped to 0 and 255 at the very
// end. X and Y say how many pixels of the small picture one sample of the result covers, so that chroma stays where
// luma is: scaleX and scaleY are large pixels for one small pixel.
func (s Samples) Shrink(width, height, x, y int, scaleX, scaleY float64) Plane {
	across := taps(s.Width, width, scaleX, s.X, x)
	down := taps(s.Height, height, scaleY, s.Y, y)
	wide := Plane{make([]float64, width*s.Height), width, s.Height}
	rows(s.Height, func(row int) {
		src := s.Pix[row*s.Stride:][:s.Width]
		for i, t := range across {
			sum := 0.0
			for k, w := range t.weights {
				sum += w * float64(src[t.first+k])
			}
			wide.Pix[row*width+i] = sum
		}
	})
	out := Plane{make([]float64, width*height), width, height}
	rows(height, func(row int) {
		dst := out.Pix[row*width:][:width]
		for k, w := range down[row].weights {
			for i, v := range wide.Pix[(down[row].first+k)*width:][:width] {
				dst[i] += w * v
			}
		}
		for i, v := range dst {
			dst[i] = min(max(v, 0), 255)
		}
	})
	return out
}

// rows calls do for each row, on all processors.
func rows(n int, do func(row int)) {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for row := w; row < n; row += workers {
				do(row)
			}
		})
	}
	wg.Wait()
}

// tap is where one sample of the result comes from.
type tap struct {
	first   int
	weights []float64
}

// taps returns the weights for n samples out of size. A sample of the source covers from pixels of the large picture,
// one of the result covers to of the small one; samples lie in the middle of what they cover.
func taps(size, n int, scale float64, from, to int) []tap {
	step := scale * float64(to) / float64(from) // samples of the source for one of the result
	stretch := max(step, 1)
	out := make([]tap, n)
	for i := range out {
		centre := (float64(i)+0.5)*step - 0.5
		first := max(0, int(math.Ceil(centre-3*stretch)))
		last := min(size-1, int(math.Floor(centre+3*stretch)))
		weights, sum := make([]float64, max(0, last-first+1)), 0.0
		for k := range weights {
			weights[k] = lanczos3((float64(first+k) - centre) / stretch)
			sum += weights[k]
		}
		for k := range weights {
			weights[k] /= sum
		}
		out[i] = tap{first, weights}
	}
	return out
}

func lanczos3(x float64) float64 {
	switch {
	case x == 0:
		return 1
	case math.Abs(x) >= 3:
		return 0
	}
	return 3 * math.Sin(math.Pi*x) * math.Sin(math.Pi*x/3) / (math.Pi * math.Pi * x * x)
}
