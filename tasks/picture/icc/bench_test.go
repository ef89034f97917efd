package icc_test

import (
	"image"
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

// BenchmarkConvert converts noise of muted colours, 1600 x 1200 at 4:2:0. Planes that
// have been converted are converted again: that changes no table's cost.
func BenchmarkConvert(b *testing.B) {
	p, rng := parse(b, colour(displayP3, srgbCurve)), rand.New(rand.NewPCG(1, 2))
	m := planar.New(1600, 1200, 2, 2)
	for i := range m.Planes {
		for at := range m.Planes[i].Pix {
			m.Planes[i].Pix[at] = uint8(100 + rng.IntN(60))
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
	for at := range m.Pix {
		m.Pix[at] = uint8(100 + rng.IntN(60))
	}
	measure(b, func() {
		if err := p.ConvertNRGBA(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	})
}
