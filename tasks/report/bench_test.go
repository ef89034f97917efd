package report_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/report"
)

// BenchmarkRender makes a cover with Chinese notes and pages of distinct pictures
// of 1600 x 1200, about 340 kB each.
func BenchmarkRender(b *testing.B) {
	for _, n := range []int{0, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			jpg := grain(b, uint32(n))
			var images []report.Image
			for i := range n {
				images = append(images, shown(jpg, fmt.Sprint("IMG", i), 1600, 1200))
			}
			d := document(images...)
			d.Notes = strings.Repeat("患者喆堃旻赟，体温36.8℃，WBC 6.2×10⁹/L。主诉：右前臂皮疹三天，伴轻度瘙痒。", 10)
			b.ReportAllocs()
			for b.Loop() {
				_, err := report.Render(io.Discard, d)
				require.NoError(b, err)
			}
		})
	}
}

func grain(b *testing.B, seed uint32) []byte {
	b.Helper()
	img := image.NewGray(image.Rect(0, 0, 1600, 1200))
	for i := range img.Pix {
		seed = seed*1664525 + 1013904223
		img.Pix[i] = uint8(128 + seed>>28)
	}
	var buf bytes.Buffer
	require.NoError(b, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 80}))
	return buf.Bytes()
}
