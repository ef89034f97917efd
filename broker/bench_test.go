package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
)

// inParallel divides b.N calls of do among n goroutines and reports calls per second.
func inParallel(b *testing.B, n int, do func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	if err := failed.Load(); err != nil {
		require.NoError(b, *err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkPublish publishes messages of 1 KiB. "log" is the bare commit log beneath, in the same run.
func BenchmarkPublish(b *testing.B) {
	for _, producers := range []int{1, 16, 128, 1024} {
		b.Run(fmt.Sprintf("producers=%d/log", producers), func(b *testing.B) {
			l, err := commitlog.Open(b.TempDir(), commitlog.Options{})
			require.NoError(b, err)
			payload := make([]byte, 1024)
			inParallel(b, producers, func() error {
				_, err := l.Append(context.Background(), payload)
				return err
			})
			require.NoError(b, l.Close())
		})
		for _, ids := range []bool{false, true} {
			b.Run(fmt.Sprintf("producers=%d/ids=%v", producers, ids), func(b *testing.B) {
				benchmarkPublish(b, producers, ids)
			})
		}
	}
}

func benchmarkPublish(b *testing.B, producers int, ids bool) {
	br := openTopic(b, b.TempDir(), broker.Options{})
	payload := make([]byte, 1024)
	var next atomic.Int64
	b.ReportAllocs()
	inParallel(b, producers, func() error {
		m := broker.Message{Payload: payload}
		if ids {
			m.ID = strconv.FormatInt(next.Add(1), 10)
		}
		_, err := br.Publish(context.Background(), "cases", m)
		return err
	})
}

func BenchmarkConsumeAndAck(b *testing.B) {
	for _, c := range []struct{ consumers, max int }{{1, 1}, {1, 64}, {64, 1}, {64, 16}} {
		b.Run(fmt.Sprintf("consumers=%d/max=%d", c.consumers, c.max), func(b *testing.B) {
			br := openTopic(b, b.TempDir(), broker.Options{})
			fill(b, br, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			drain(b, br, c.consumers, c.max)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// fill publishes n messages of 1 KiB.
func fill(b *testing.B, br *broker.Broker, n int) {
	b.Helper()
	batch := make([]broker.Message, 1000)
	for i := range batch {
		batch[i].Payload = make([]byte, 1024)
	}
	for left := n; left > 0; left -= len(batch) {
		_, err := br.Publish(b.Context(), "cases", batch[:min(left, len(batch))]...)
		require.NoError(b, err)
	}
}

// drain receives and acknowledges b.N messages with so many members, each asking for up to most at a time.
func drain(b *testing.B, br *broker.Broker, members, most int) {
	b.Helper()
	ctx, done := context.WithCancel(b.Context())
	defer done()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range members {
		s := subscribe(b, br, "g", broker.SubscribeOptions{})
		wg.Go(func() {
			for {
				ds, err := s.Receive(ctx, most)
				if err != nil {
					return
				}
				for _, d := range ds {
					if d.Ack() != nil {
						return
					}
				}
				if left.Add(-int64(len(ds))) <= 0 {
					done()
					return
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(b, left.Load(), int64(0))
	require.NoError(b, br.Flush(b.Context()))
}

// BenchmarkEndToEnd publishes one message at a time and takes the time until Publish returns, which is one durable
// write, and until a consumer that waited has it.
func BenchmarkEndToEnd(b *testing.B) {
	br := openTopic(b, b.TempDir(), broker.Options{})
	s := subscribe(b, br, "g", broker.SubscribeOptions{})
	handled := make(chan time.Time, 1)
	go func() {
		for {
			ds, err := s.Receive(b.Context(), 1)
			if err != nil {
				return
			}
			handled <- time.Now()
			_ = ds[0].Ack()
		}
	}()
	var published, received []time.Duration
	m := broker.Message{Payload: make([]byte, 1024)}
	for b.Loop() {
		start := time.Now()
		_, err := br.Publish(b.Context(), "cases", m)
		require.NoError(b, err)
		published = append(published, time.Since(start))
		received = append(received, (<-handled).Sub(start))
	}
	b.ReportMetric(median(published), "p50-published-µs")
	b.ReportMetric(median(received), "p50-received-µs")
}

func median(latencies []time.Duration) float64 {
	slices.Sort(latencies)
	return float64(latencies[len(latencies)/2].Nanoseconds()) / 1e3
}
