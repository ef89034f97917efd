package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

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

func publish(t testing.TB, b *broker.Broker, payloads ...string) (first uint64) {
	t.Helper()
	var msgs []broker.Message
	for _, p := range payloads {
		msgs = append(msgs, broker.Message{Payload: []byte(p)})
	}
	first, err := b.Publish(t.Context(), "cases", msgs...)
	require.NoError(t, err)
	return first
}

// publishN publishes the payloads "0" to "n-1".
func publishN(t testing.TB, b *broker.Broker, n int) {
	t.Helper()
	var payloads []string
	for i := range n {
		payloads = append(payloads, fmt.Sprint(i))
	}
	publish(t, b, payloads...)
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

// nothing requires that the subscription has nothing to hand out right now.
func nothing(t testing.TB, s *broker.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	ds, err := s.Receive(ctx, 100)
	require.ErrorIs(t, err, context.DeadlineExceeded, "received %v", payloads(ds))
}

func payloads(ds []broker.Delivery) (p []string) {
	for _, d := range ds {
		p = append(p, string(d.Payload))
	}
	return p
}

func TestPublishReceiveAck(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	publish(t, b, "a", "b", "c")
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	ds := receive(t, s, 3)
	require.Equal(t, []string{"a", "b", "c"}, payloads(ds))
	for i, d := range ds {
		require.Equal(t, uint64(i), d.Offset)
		require.Equal(t, 1, d.Count)
		require.Equal(t, "cases", d.Topic)
		require.WithinDuration(t, time.Now(), d.Time, time.Minute)
		require.NoError(t, d.Ack())
	}
	nothing(t, s)
	info, err := b.Group("cases", "g")
	require.NoError(t, err)
	require.Equal(t, broker.GroupInfo{Topic: "cases", Group: "g", Start: 3, Next: 3, End: 3, Members: 1}, info)
}

func TestReceiveWaitsForPublish(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	got := make(chan []broker.Delivery)
	go func() {
		ds, _ := s.Receive(t.Context(), 1)
		got <- ds
	}()
	publish(t, b, "late")
	require.Equal(t, []string{"late"}, payloads(<-got))
}

// TestNamesThatDifferOnlyInCase would share a folder on some file systems. Topics that are there already stay.
func TestNamesThatDifferOnlyInCase(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{})
	for _, name := range []string{"Cases", "cases.Dead", "CASES.dead"} {
		err := b.CreateTopic(t.Context(), name)
		require.ErrorIs(t, err, broker.ErrInvalid)
		require.ErrorContains(t, err, "only in case")
	}
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	require.NoError(t, b.CreateTopic(t.Context(), "cases.dead"))
	require.NoError(t, b.Close())
	require.NoError(t, os.CopyFS(filepath.Join(dir, "CASES"), os.DirFS(filepath.Join(dir, "cases"))))
	b = open(t, dir, broker.Options{})
	require.Equal(t, []string{"CASES", "cases", "cases.dead"}, b.Topics())
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
}
