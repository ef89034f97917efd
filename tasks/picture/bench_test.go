package picture_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// camera returns a 12-megapixel JPEG of about 4 MB: waves, so that there are edges,
// and grain, so that it does not compress away.
func camera(b *testing.B) []byte {
	b.Helper()
	const w, h = 4032, 3024
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	seed := uint32(7)
	for y := range h {
		row := 60 * math.Sin(float64(y)/90)
		for x := range w {
			seed = seed*1664525 + 1013904223
			img.Y[y*img.YStride+x] = uint8(128 + row*math.Cos(float64(x)/70) + float64(seed>>28) - 8)
		}
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = uint8(110+i/4096%40), uint8(120+i%2016/60)
	}
	var buf bytes.Buffer
	require.NoError(b, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 92}))
	return buf.Bytes()
}

func BenchmarkProcess12MP(b *testing.B) {
	jpg := camera(b)
	b.SetBytes(int64(len(jpg)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := picture.Process(b.Context(), bytes.NewReader(jpg), int64(len(jpg)), nil, picture.Options{})
		require.NoError(b, err)
	}
}

func BenchmarkInspect12MP(b *testing.B) {
	jpg := withSegments(camera(b), segment(0xe1, make([]byte, 60000)), segment(0xe2, make([]byte, 60000)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := picture.Inspect(b.Context(), bytes.NewReader(jpg), int64(len(jpg)))
		require.NoError(b, err)
	}
}
