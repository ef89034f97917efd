package planar_test

import (
	"fmt"
	"image"
	"testing"
	"time"

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

func BenchmarkResize(b *testing.B) {
	for _, s := range [][4]int{{2016, 1512, 1600, 1200}, {3000, 2000, 1600, 1067}, {1600, 1200, 320, 240}, {4032, 3024, 1600, 1200}} {
		b.Run(fmt.Sprintf("%dx%d to %dx%d", s[0], s[1], s[2], s[3]), func(b *testing.B) {
			src, dst := planar.New(s[0], s[1], 2, 2), planar.New(s[2], s[3], 2, 2)
			noise(src)
			measure(b, func() {
				if err := src.ResizeTo(b.Context(), dst); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func BenchmarkOrient(b *testing.B) {
	for _, o := range []int{2, 3, 4, 6} {
		b.Run(fmt.Sprint(o), func(b *testing.B) {
			m := planar.New(1600, 1200, 2, 2)
			noise(m)
			measure(b, func() { m = m.Orient(o) })
		})
	}
}

func BenchmarkFromNRGBA(b *testing.B) {
	src := image.NewNRGBA(image.Rect(0, 0, 1600, 1200))
	measure(b, func() { planar.FromNRGBA(src, 2, 2).Release() })
}
