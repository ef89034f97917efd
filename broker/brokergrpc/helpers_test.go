package brokergrpc_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

func open(t testing.TB, dir string, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// openTopic opens a broker with the topic "cases".
func openTopic(t testing.TB, dir string, o broker.Options) *broker.Broker {
	t.Helper()
	b := open(t, dir, o)
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	return b
}

func subscribe(t testing.TB, b *broker.Broker, group string, o broker.SubscribeOptions) *broker.Subscription {
	t.Helper()
	s, err := b.Subscribe("cases", group, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// receive takes exactly n deliveries.
func receive(t testing.TB, s *broker.Subscription, n int) (ds []broker.Delivery) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(ds) < n {
		more, err := s.Receive(ctx, n-len(ds))
		require.NoError(t, err)
		require.NotEmpty(t, more)
		ds = append(ds, more...)
	}
	return ds
}

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

const never = 10_000 * time.Hour
