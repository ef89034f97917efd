package disk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	blobdisk "casepress/blob/disk"
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
		_, err := blobdisk.Open(b.TempDir(), disk.OS, blobdisk.Options{})
		require.NoError(b, err)
	}
}

func BenchmarkReopen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		_, err := blobdisk.Open(dir, disk.OS, blobdisk.Options{})
		require.NoError(b, err)
	}
}
