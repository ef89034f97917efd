//go:build unix

package pdf_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/pdf"
)

// BenchmarkRender makes a cover with Chinese notes and pages of distinct pictures
// of 1600 x 1200, about 340 kB each, from files into a file. It tells the CPU time,
// which other work on the machine does not change, and the greatest memory of the
// process so far; for that of one size, run that one alone.
func BenchmarkRender(b *testing.B) {
	for _, n := range []int{0, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			folder := b.TempDir()
			var images []pdf.Image
			for i := range n {
				name := filepath.Join(folder, fmt.Sprint(i))
				require.NoError(b, os.WriteFile(name, grain(b, uint32(i)), 0o600))
				img := shown(nil, fmt.Sprint("IMG", i), 1600, 1200)
				img.Open = func() (io.ReadCloser, error) { return os.Open(name) }
				images = append(images, img)
			}
			d := document(images...)
			d.Notes = strings.Repeat("患者喆堃旻赟，体温36.8℃，WBC 6.2×10⁹/L。主诉：右前臂皮疹三天，伴轻度瘙痒。", 10)
			out, err := os.Create(filepath.Join(folder, "file.pdf"))
			require.NoError(b, err)
			defer out.Close()
			b.ReportAllocs()
			before, _ := usage(b)
			var size int64
			for b.Loop() {
				_, err := out.Seek(0, io.SeekStart)
				require.NoError(b, err)
				info, err := pdf.Render(out, d)
				require.NoError(b, err)
				size = info.Bytes
			}
			after, peak := usage(b)
			b.ReportMetric(float64((after-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(peak)/1e6, "peak-MB")
			b.ReportMetric(float64(size)/1e6, "pdf-MB")
		})
	}
}

// usage returns the CPU time and the greatest memory of the process so far.
func usage(b *testing.B) (cpu time.Duration, peakBytes int64) {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), int64(u.Maxrss) << 10
}

func grain(b *testing.B, seed uint32) []byte {
	b.Helper()
	img := image.NewGray(image.Rect(0, 0, 1600, 1200))
	for i := range img.Pix {
		seed = seed*1664525 + 1013904223
		img.Pix[i] = uint8(128 + seed>>27*3/4)
	}
	var buf bytes.Buffer
	require.NoError(b, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 80}))
	return buf.Bytes()
}
