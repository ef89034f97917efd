//go:build unix

package picture_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"casepress/tasks/picture"
)

// BenchmarkProcessReal tells the processor time a picture of the real photos, which a
// busy machine changes less than the time on the clock.
func BenchmarkProcessReal(b *testing.B) {
	files, err := filepath.Glob(realPhotos + "/[0-9]*")
	if err != nil || len(files) == 0 {
		b.Skip("the large photos are not here")
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(filepath.Base(name), func(b *testing.B) {
			before := processorTime()
			for b.Loop() {
				_, _ = picture.Process(b.Context(), bytes.NewReader(data), int64(len(data)), nil, picture.Options{}) // bombs fail at once
			}
			b.ReportMetric(float64((processorTime()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
