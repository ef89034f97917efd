package commitlog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
)

var producerCounts = []int{1, 16, 128, 1024}

// produce shares b.N sends between n goroutines.
func produce(b *testing.B, n int, send func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := send(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkAppend is to be compared with BenchmarkFloor of the same run.
func BenchmarkAppend(b *testing.B) {
	for _, n := range producerCounts {
		b.Run(fmt.Sprintf("producers=%d", n), func(b *testing.B) {
			l := mustOpen(b, b.TempDir(), commitlog.Options{})
			payload := make([]byte, 1024)
			b.SetBytes(1024)
			produce(b, n, func() error {
				_, err := l.Append(context.Background(), payload)
				return err
			})
			require.NoError(b, l.Close())
		})
	}
}

// BenchmarkFloor is what the machine can do at most: one zeroed file written over and over, two buffers,
// a write and a fdatasync for all that gathered. No format, no checksum, no index, no new segments.
func BenchmarkFloor(b *testing.B) {
	for _, n := range producerCounts {
		b.Run(fmt.Sprintf("producers=%d", n), func(b *testing.B) {
			f := newFloor(b)
			payload := make([]byte, 1024)
			b.SetBytes(1024)
			produce(b, n, func() error { return f.append(payload) })
			f.close(b)
		})
	}
}

const floorBytes = 64 << 20

type floor struct {
	mu       sync.Mutex
	filling  []byte
	done     chan struct{}
	wake     chan struct{}
	finished chan struct{}
	file     disk.File
	err      error
}

func newFloor(b *testing.B) *floor {
	file, err := disk.OS.OpenFile(filepath.Join(b.TempDir(), "floor"), os.O_RDWR|os.O_CREATE, 0o644)
	require.NoError(b, err)
	for pos := int64(0); pos < floorBytes; pos += 1 << 20 {
		_, err := file.WriteAt(make([]byte, 1<<20), pos)
		require.NoError(b, err)
	}
	require.NoError(b, file.Sync())
	f := &floor{file: file, done: make(chan struct{}), wake: make(chan struct{}, 1), finished: make(chan struct{})}
	go f.commits()
	return f
}

func (f *floor) append(p []byte) error {
	f.mu.Lock()
	first := len(f.filling) == 0
	f.filling = append(f.filling, p...)
	done := f.done
	f.mu.Unlock()
	if first {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	<-done
	return f.err
}

func (f *floor) commits() {
	defer close(f.finished)
	var spare []byte
	pos := int64(0)
	for range f.wake {
		f.mu.Lock()
		buf, done := f.filling, f.done
		f.filling, f.done = spare[:0], make(chan struct{})
		f.mu.Unlock()
		if pos+int64(len(buf)) > floorBytes {
			pos = 0
		}
		if _, err := f.file.WriteAt(buf, pos); err != nil {
			f.err = err
		}
		if err := f.file.Sync(); err != nil {
			f.err = err
		}
		pos += int64(len(buf))
		spare = buf
		close(done)
	}
}

func (f *floor) close(b *testing.B) {
	close(f.wake)
	<-f.finished
	require.NoError(b, f.file.Close())
}

// fillLog makes a log of n records of size bytes.
func fillLog(b *testing.B, dir string, n, size int) *commitlog.Log {
	l := mustOpen(b, dir, commitlog.Options{})
	batch := make([][]byte, min(1000, 3<<20/size))
	for i := range batch {
		batch[i] = make([]byte, size)
	}
	for range n / len(batch) {
		_, err := l.Append(context.Background(), batch...)
		require.NoError(b, err)
	}
	return l
}

// BenchmarkOpen shows how the time to open grows with the log; sealed segments cost one index each.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			require.NoError(b, fillLog(b, dir, n, 1024).Close())
			for b.Loop() {
				l := mustOpen(b, dir, commitlog.Options{})
				require.NoError(b, l.Close())
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 1024, 100 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			const total = 32 << 20
			l := fillLog(b, b.TempDir(), total/size, size)
			defer l.Close()
			b.SetBytes(int64(size))
			b.ResetTimer()
			n := 0
			for next := uint64(0); n < b.N; {
				records, err := l.Read(next, 256<<10)
				require.NoError(b, err)
				n += len(records)
				next += uint64(len(records))
				if next == l.End() {
					next = 0
				}
			}
		})
	}
}

// BenchmarkSeek reads one record at a time from all over the log, by offset and by time.
func BenchmarkSeek(b *testing.B) {
	l := fillLog(b, b.TempDir(), 1_000_000, 256)
	defer l.Close()
	b.Run("by offset", func(b *testing.B) {
		for i := uint64(0); b.Loop(); i++ {
			_, err := l.Read(i*7919*1013%l.End(), 1)
			require.NoError(b, err)
		}
	})
	segments := l.Segments()
	first, last := segments[0].First, segments[len(segments)-1].Last
	b.Run("by time", func(b *testing.B) {
		for i := time.Duration(0); b.Loop(); i++ {
			_, err := l.OffsetAt(first.Add(i * 7919 * time.Microsecond % last.Sub(first)))
			require.NoError(b, err)
		}
	})
}

// BenchmarkTail appends while a reader follows, and tells how often it had to go to the disk for a thousand records.
func BenchmarkTail(b *testing.B) {
	for _, n := range producerCounts {
		b.Run(fmt.Sprintf("producers=%d", n), func(b *testing.B) {
			fsys := disktest.NewFault(disk.OS)
			l := mustOpen(b, b.TempDir(), commitlog.Options{FS: fsys})
			var follower sync.WaitGroup
			follower.Go(func() {
				r := l.NewReader(0)
				defer r.Close()
				for r.Offset() < uint64(b.N) && l.Wait(context.Background(), r.Offset()) == nil {
					if _, err := r.Next(512 << 10); err != nil {
						b.Error(err)
						return
					}
				}
			})
			before := fsys.Count(disktest.OpRead)
			payload := make([]byte, 1024)
			produce(b, n, func() error {
				_, err := l.Append(context.Background(), payload)
				return err
			})
			follower.Wait()
			require.NoError(b, l.Close())
			b.ReportMetric(float64(fsys.Count(disktest.OpRead)-before)/float64(b.N)*1000, "reads/1000")
		})
	}
}
