package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"

	"casepress/client"
)

// RelayOptions are the settings of a [Relay].
type RelayOptions struct {
	// Topic is the topic of the casepress, and that of Kafka. Kafka's must be there, with as many partitions as its consumers
	// need, unless its brokers make topics by themselves.
	Topic string
	// Group is the consumer group by which the casepress knows how far the relay has come. Two relays of one group share the
	// messages.
	Group string
	// Brokers are addresses of Kafka.
	Brokers []string
	Logger  *slog.Logger
}

const (
	relayConcurrency = 64  // messages on their way to Kafka
	relayWindow      = 256 // messages in hand
	stopTimeout      = 20 * time.Second
)

// Relay carries the messages of a topic to Kafka: payload, key, id and headers as they are. The key decides the
// partition, as it does for Kafka's own producers. A message is acknowledged when all in-sync replicas have it; the next
// one of its key follows after that. It may come twice, with the same id, in the header "id". One that Kafka refuses for what
// it is, as one that is too large, becomes a dead letter of the casepress with the reason; the rest is tried again
// until it is taken. At most 256 messages are in hand.
type Relay struct {
	o    RelayOptions
	conn grpc.ClientConnInterface
}

// NewRelay makes a relay of a casepress on a connection of [client.Dial]. [Relay.Run] does the work.
func NewRelay(conn grpc.ClientConnInterface, o RelayOptions) *Relay {
	return &Relay{o: o, conn: conn}
}

// Run carries messages until ctx ends; then those in hand may finish, for up to 20 seconds, and it returns nil. It returns
// an error only for what waiting cannot mend, such as a group that it may not act as.
func (r *Relay) Run(ctx context.Context) (err error) {
	producer, err := newClient(r.o.Brokers, r.o.Logger,
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.AllowAutoTopicCreation(), // idempotent by default
		kgo.MaxBufferedRecords(relayWindow), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer producer.Close()
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	defer func() { stop(); watcher.Wait() }()
	kafka := &link{client: producer, log: r.o.Logger}
	watcher.Go(func() { kafka.watch(watching) })
	consumer := client.NewConsumer(r.conn, client.ConsumerOptions{
		Topic: r.o.Topic, Group: r.o.Group, Ordered: true, Concurrency: relayConcurrency, Window: relayWindow, StopTimeout: stopTimeout, Logger: r.o.Logger,
	}, func(ctx context.Context, m *client.Message) error { return r.carry(ctx, producer, m) })
	return consumer.Run(ctx)
}

// carry returns when Kafka has the message.
func (r *Relay) carry(ctx context.Context, producer *kgo.Client, m *client.Message) error {
	record := &kgo.Record{Topic: r.o.Topic, Value: m.Payload, Timestamp: m.Time, Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(m.ID)}}}
	if m.Key != "" {
		record.Key = []byte(m.Key)
	}
	for _, h := range m.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
	}
	err := producer.ProduceSync(ctx, record).FirstErr()
	if isRefused(err) {
		r.o.Logger.Warn("a message that Kafka refuses is a dead letter", "topic", m.Topic, "offset", m.Offset, "err", err)
		return client.Reject(fmt.Errorf("Kafka refuses it: %w", err)) //nolint:staticcheck // a name
	}
	return err
}
