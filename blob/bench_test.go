package blob_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/disk"
)

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{100 << 10, 4 << 20} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("size=%dKiB/writers=%d", size>>10, writers), func(b *testing.B) {
				benchmarkPut(b, size, writers)
			})
		}
	}
}

func benchmarkPut(b *testing.B, size, writers int) {
	s := open(b, b.TempDir(), disk.OS)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range writers {
		wg.Go(func() {
			content := make([]byte, size)
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				binary.LittleEndian.PutUint64(content, uint64(n))
				if _, _, err := s.Put(b.Context(), bytes.NewReader(content)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blobs/s")
}

func BenchmarkOpenEmpty(b *testing.B) {
	for b.Loop() {
		_, err := blob.Open(b.TempDir(), disk.OS)
		require.NoError(b, err)
	}
}

func BenchmarkReopen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		_, err := blob.Open(dir, disk.OS)
		require.NoError(b, err)
	}
}

// BenchmarkOriginal receives an original and reads it once, as a worker does, with
// CPU time beside the clock's.
func BenchmarkOriginal(b *testing.B) {
	for name, o := range map[string]blob.Options{"keep": {}, "vault": {Originals: blob.Vault, Keys: keys(b, newKey(b))}} {
		for _, size := range []int{100 << 10, 4 << 20} {
			b.Run(fmt.Sprintf("%s/size=%dKiB", name, size>>10), func(b *testing.B) {
				s := openWith(b, b.TempDir(), disk.OS, o)
				content := random(1, size)
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
