//go:build unix

package disk_test

import (
	"bytes"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
)

// BenchmarkOriginal receives an original and reads it once, as a worker does, with
// CPU time beside the clock's.
func BenchmarkOriginal(b *testing.B) {
	for name, o := range map[string]blobdisk.Options{"keep": {}, "vault": {Originals: blob.Vault, Keys: keys(b, newKey(b))}} {
		for _, size := range []int{100 << 10, 4 << 20} {
			b.Run(fmt.Sprintf("%s/size=%dKiB", name, size>>10), func(b *testing.B) {
				s := openWith(b, b.TempDir(), disk.OS, o)
				content := blobtest.Random(1, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					g, err := s.Stage(b.Context(), bytes.NewReader(content))
					require.NoError(b, err)
					_, err = io.Copy(io.Discard, g.Open())
					require.NoError(b, err)
					require.NoError(b, g.Discard())
				}
				b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
