package jpeg_test

import (
	"bytes"
	"context"
	"image"
	stdjpeg "image/jpeg"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/planar"
)

// photo reads one of the large pictures that are not part of the sources; without
// them the test is skipped.
func photo(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("../../../../shared/photos", name))
	if err != nil {
		tb.Skip(err)
	}
	return data
}

// decode decodes and keeps of the report what is missing.
func decode(ctx context.Context, data []byte, eighths int) (m *planar.Image, damage, err error) {
	m, report, err := jpeg.Decode(ctx, data, eighths)
	return m, report.Damage, err
}

// planeBytes is what the planes of a picture take.
func planeBytes(m *planar.Image) (n int64) {
	for _, p := range m.Planes {
		n += int64(len(p.Pix))
	}
	return n
}

func decoded(tb testing.TB, data []byte, eighths int) *planar.Image {
	tb.Helper()
	m, damage, err := decode(tb.Context(), data, eighths)
	require.NoError(tb, err)
	require.NoError(tb, damage)
	tb.Cleanup(m.Release)
	return m
}

// stdSamples decodes with image/jpeg.
func stdSamples(tb testing.TB, data []byte) (planes []planar.Plane) {
	tb.Helper()
	m, err := stdjpeg.Decode(bytes.NewReader(data))
	require.NoError(tb, err)
	return samplesOf(m)
}

func samplesOf(m image.Image) []planar.Plane {
	switch m := m.(type) {
	case *image.Gray:
		return []planar.Plane{{Pix: m.Pix, Stride: m.Stride, Width: m.Rect.Dx(), Height: m.Rect.Dy()}}
	case *image.YCbCr:
		w, h := m.Rect.Dx(), m.Rect.Dy()
		x, y := 1, 1
		switch m.SubsampleRatio {
		case image.YCbCrSubsampleRatio422:
			x = 2
		case image.YCbCrSubsampleRatio420:
			x, y = 2, 2
		case image.YCbCrSubsampleRatio440:
			y = 2
		case image.YCbCrSubsampleRatio411:
			x = 4
		case image.YCbCrSubsampleRatio410:
			x, y = 4, 2
		}
		cw, ch := (w+x-1)/x, (h+y-1)/y
		return []planar.Plane{
			{Pix: m.Y, Stride: m.YStride, Width: w, Height: h},
			{Pix: m.Cb, Stride: m.CStride, Width: cw, Height: ch},
			{Pix: m.Cr, Stride: m.CStride, Width: cw, Height: ch},
		}
	}
	return nil
}

// furthest is the greatest difference between samples of two lists of planes.
func furthest(tb testing.TB, a, b []planar.Plane) (most int) {
	tb.Helper()
	require.Len(tb, b, len(a))
	for i := range a {
		require.Equal(tb, a[i].Width, b[i].Width)
		require.Equal(tb, a[i].Height, b[i].Height)
		for y := range a[i].Height {
			ra, rb := a[i].Pix[y*a[i].Stride:][:a[i].Width], b[i].Pix[y*b[i].Stride:][:b[i].Width]
			for x := range ra {
				most = max(most, int(ra[x])-int(rb[x]), int(rb[x])-int(ra[x]))
			}
		}
	}
	return most
}

func TestPhotosAsStd(t *testing.T) {
	for _, name := range []string{"01_iphonexs_12mp_o6_p3.jpg", "08_progressive_12mp.jpg"} {
		t.Run(name, func(t *testing.T) {
			data := photo(t, name)
			require.LessOrEqual(t, furthest(t, decoded(t, data, 8).Planes, stdSamples(t, data)), 1)
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"02_note10_12mp_o6.jpg", "08_progressive_12mp.jpg"} {
		for _, eighths := range scales {
			b.Run(name[3:8]+"/"+string(rune('0'+eighths)), func(b *testing.B) {
				data := photo(b, name)
				start, n := cpuTime(b), 0
				for b.Loop() {
					n++
					m, damage, err := decode(b.Context(), data, eighths)
					if err != nil || damage != nil {
						b.Fatal(err, damage)
					}
					m.Release()
				}
				b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/1000/float64(n), "cpu-ms/op")
			})
		}
	}
}

// cpuTime is what the process has used: on a busy machine the clock tells nothing.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
