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

// BenchmarkRender10 makes a cover with Chinese notes and ten pages of distinct
// pictures of 1600 x 1200, about 250 kB each.
func BenchmarkRender10(b *testing.B) {
	var images []report.Image
	for i := range 10 {
		images = append(images, shown(grain(b, uint32(i)), fmt.Sprint("IMG", i), 1600, 1200))
	}
	d := document(images...)
	d.Notes = strings.Repeat("患者喆堃旻赟，体温36.8℃，WBC 6.2×10⁹/L。主诉：右前臂皮疹三天，伴轻度瘙痒。", 10)
	b.ReportAllocs()
	for b.Loop() {
		_, err := report.Render(io.Discard, d)
		require.NoError(b, err)
	}
}

func grain(b *testing.B, seed uint32) []byte {
	b.Helper()
	img := image.NewGray(image.Rect(0, 0, 1600, 1200))
	for i := range img.Pix {
		seed = seed*1664525 + 1013904223
		img.Pix[i] = uint8(128 + seed>>29)
	}
	var buf bytes.Buffer
	require.NoError(b, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 80}))
	return buf.Bytes()
}
