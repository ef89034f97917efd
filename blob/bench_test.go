package blob_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

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
	s, err := blob.Open(b.TempDir(), disk.OS)
	require.NoError(b, err)
	var n atomic.Uint64
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(writers) // times GOMAXPROCS, corrected by the caller's -cpu
	b.RunParallel(func(pb *testing.PB) {
		content := make([]byte, size)
		for pb.Next() {
			binary.LittleEndian.PutUint64(content, n.Add(1))
			_, _, err := s.Put(b.Context(), bytes.NewReader(content))
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
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
