package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"casepress/kafka/kafkatest"
)

// realKafka is a real Apache Kafka.
type realKafka struct{ *kafkatest.Kafka }

// ListenAddrs is where it answers.
func (k *realKafka) ListenAddrs() []string { return []string{k.Addr} }

func newRealKafka(t testing.TB) *realKafka {
	t.Helper()
	k := &realKafka{kafkatest.Start(t)}
	k.untilReady()
	return k
}

// start starts the broker, and returns when it answers.
func (k *realKafka) start() {
	k.Helper()
	k.Start()
	k.untilReady()
}

func (k *realKafka) untilReady() {
	k.Helper()
	cl := newClient(k, k)
	require.Eventually(k, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return cl.Ping(ctx) == nil
	}, 2*patience, 100*time.Millisecond, "Kafka does not answer")
}

func (k *realKafka) createTopic(partitions int32) {
	k.Helper()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 30_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	request.Topics = append(request.Topics, t)
	answer, err := request.RequestWith(context.Background(), newClient(k, k))
	require.NoError(k, err)
	require.NoError(k, kerr.ErrorForCode(answer.Topics[0].ErrorCode))
}

// TestRealKafka carries events to a real Kafka and from there into the rows of two processes, while the broker is killed
// twice, the processes come and go, and a poison message lies in between. Nothing is lost, and the order of each patient is kept.
func TestRealKafka(t *testing.T) {
	k := newRealKafka(t)
	k.createTopic(6)
	const patients, each = 12, 60
	c := newCasepress(t)
	relay(t, c, k, quiet)
	first, second := t.TempDir(), t.TempDir()
	a := follow(t, k, first)
	c.publishFrom(t, patients, 0, 20)
	require.Eventually(t, func() bool { return len(a.seen(t, patients)) > 0 }, 2*patience, time.Millisecond)

	b := follow(t, k, second) // a rebalance during work
	k.Kill()
	c.publishFrom(t, patients, 20, 40)
	k.start()
	require.Eventually(t, func() bool { return b.consumer.Held() > 0 }, 2*patience, 10*time.Millisecond)
	poison := []byte(`{"type":"patient-data-update","patientId":"P0"}`)
	require.NoError(t, newClient(t, k).ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("poison"), Value: poison}).FirstErr())
	c.publishFrom(t, patients, 40, 50)
	a.stop()
	k.Kill()
	k.start()
	c.publishFrom(t, patients, 50, each)
	a = follow(t, k, first)

	union := func() map[string]bool {
		all := a.seen(t, patients)
		for id := range b.seen(t, patients) {
			all[id] = true
		}
		return all
	}
	require.Eventually(t, func() bool { return len(union()) == patients*each }, 2*patience, 100*time.Millisecond)
	require.Eventually(t, func() bool { return c.lag(t) == 0 }, patience, 10*time.Millisecond)
	b.stop()
	require.Eventually(t, func() bool { return len(a.seen(t, patients)) == patients*each }, 2*patience, 100*time.Millisecond)

	events := readAll(t, k, topic, patients*each+1)
	good := events[:0:0]
	for _, r := range events {
		if string(r.Key) != "poison" {
			good = append(good, r)
		}
	}
	inOrder(t, good, patients, each)
	require.Equal(t, poison, readAll(t, k, topic+".dead", 1)[0].Value)
}
