package icc_test

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"casepress/tasks/picture/icc"
	"casepress/tasks/picture/planar"
)

// measure also reports the fastest turn, which a busy machine disturbs least.
func measure(b *testing.B, f func()) {
	b.ReportAllocs()
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(best.Seconds()*1000, "min-ms")
}

func BenchmarkParse(b *testing.B) {
	data := colour(displayP3, srgbCurve)
	measure(b, func() {
		if _, err := icc.Parse(data); err != nil {
			b.Fatal(err)
		}
	})
}

// texture is much like a photograph: slow changes and a little noise.
func texture(rng *rand.Rand, x, y int) uint8 {
	return uint8(128 + 50*math.Sin(float64(x)/90) + 40*math.Sin(float64(y)/70) + 6*rng.Float64())
}

// BenchmarkConvert converts 1600 x 1200 at 4:2:0, the same planes again and again: that
// changes no table's cost.
func BenchmarkConvert(b *testing.B) {
	p, rng := parse(b, colour(displayP3, srgbCurve)), rand.New(rand.NewPCG(1, 2))
	m := planar.New(1600, 1200, 2, 2)
	for i := range m.Planes {
		for y := range m.Planes[i].Height {
			for x := range m.Planes[i].Row(y) {
				v := texture(rng, x, y)
				if i > 0 {
					v = v/4 + 96
				}
				m.Planes[i].Row(y)[x] = v
			}
		}
	}
	measure(b, func() {
		if err := p.Convert(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkConvertNRGBA(b *testing.B) {
	p, rng := parse(b, colour(displayP3, srgbCurve)), rand.New(rand.NewPCG(1, 2))
	m := image.NewNRGBA(image.Rect(0, 0, 1600, 1200))
	for i := range m.Pix {
		m.Pix[i] = texture(rng, i/4%1600, i/4/1600)
	}
	measure(b, func() {
		if err := p.ConvertNRGBA(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	})
}
