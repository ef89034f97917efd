package kafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	"casepress/client"
	"casepress/kafka"
	"casepress/progress"
	"casepress/study"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topic    = "patient-data-update"
	patience = 60 * time.Second
)

// brokers is a Kafka: one in memory, or a real one.
type brokers interface{ ListenAddrs() []string }

// newKafka is a Kafka in memory with the topic.
func newKafka(t testing.TB, partitions int) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(int32(partitions), topic))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

// newClient talks to it.
func newClient(t testing.TB, cluster brokers, o ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}, o...)...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// readAll reads records until there are n.
func readAll(t testing.TB, cluster brokers, topic string, n int) (all []*kgo.Record) {
	t.Helper()
	cl := newClient(t, cluster, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(all) < n {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "%d of %d records", len(all), n)
		all = append(all, fetches.Records()...)
	}
	return all
}

// event is one of a patient's responses.
func event(patient, n int) (id, key string, payload []byte) {
	id = fmt.Sprintf("questionnaire-response/Q-%d-%d/1", patient, n)
	payload, err := json.Marshal(map[string]any{
		"id": id, "type": topic, "time": "2026-11-01T12:00:01Z", "occurredAt": "2026-11-01T12:00:00Z", "kind": "questionnaire-response",
		"submissionId": fmt.Sprintf("Q-%d-%d", patient, n), "instrument": "phq-9", "study": "S1", "site": "101",
		"patientId": fmt.Sprintf("P%d", patient), "visitId": fmt.Sprintf("V%d", n), "status": "completed", "attempt": 1, "url": "/x",
	})
	if err != nil {
		panic(err)
	}
	return id, fmt.Sprintf("S1/P%d", patient), payload
}

// casepress is a broker with its gRPC face, as the relay sees it.
type casepress struct {
	broker *broker.Broker
	addr   string
}

func newCasepress(t testing.TB) casepress {
	t.Helper()
	b, err := broker.Open(t.TempDir(), broker.Options{})
	require.NoError(t, err)
	require.NoError(t, b.CreateTopic(t.Context(), topic))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := brokergrpc.NewServer(b, brokergrpc.Options{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, server.Shutdown(context.Background()))
		require.NoError(t, <-served)
		require.NoError(t, b.Close())
	})
	return casepress{b, l.Addr().String()}
}

func (c casepress) publish(t testing.TB, patients, each int) {
	t.Helper()
	c.publishFrom(t, patients, 0, each)
}

// publishFrom publishes for each patient the events from one number to another.
func (c casepress) publishFrom(t testing.TB, patients, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		var messages []broker.Message
		for p := range patients {
			id, key, payload := event(p, n)
			messages = append(messages, broker.Message{ID: id, Key: key, Payload: payload, Headers: []broker.Header{{Name: "h", Value: "v"}}})
		}
		_, err := c.broker.Publish(t.Context(), topic, messages...)
		require.NoError(t, err)
	}
}

// lag is how many messages the relay has not acknowledged, -1 before it has begun.
func (c casepress) lag(t testing.TB) int {
	t.Helper()
	group, err := c.broker.Group(topic, "relay")
	if errors.Is(err, broker.ErrNoGroup) {
		return -1
	}
	require.NoError(t, err)
	return group.Lag
}

// relay runs a relay until stop is called.
func relay(t testing.TB, c casepress, cluster brokers, log *slog.Logger) (stop func()) {
	t.Helper()
	conn, err := client.Dial(c.addr)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- kafka.NewRelay(conn, kafka.RelayOptions{Topic: topic, Group: "relay", Brokers: cluster.ListenAddrs(), Logger: log}).Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, conn.Close())
	})
	t.Cleanup(stop)
	return stop
}

var quiet = slog.New(slog.DiscardHandler)

// inOrder requires that the records of each patient come in the order of their numbers, repeats aside, and that none is missing.
func inOrder(t testing.TB, records []*kgo.Record, patients, each int) {
	t.Helper()
	next := map[string]int{}
	partition := map[string]int32{}
	for _, r := range records {
		key := string(r.Key)
		if p, known := partition[key]; known {
			require.Equal(t, p, r.Partition, "a patient has one partition")
		}
		partition[key] = r.Partition
		var e struct{ VisitID string }
		require.NoError(t, json.Unmarshal(r.Value, &e))
		var n int
		_, err := fmt.Sscanf(e.VisitID, "V%d", &n)
		require.NoError(t, err)
		require.LessOrEqual(t, n, next[key], "one is missing, or came too early")
		next[key] = max(next[key], n+1)
	}
	require.Len(t, next, patients)
	for key, n := range next {
		require.Equal(t, each, n, key)
	}
}

func TestRelay(t *testing.T) {
	c, cluster := newCasepress(t), newKafka(t, 4)
	stop := relay(t, c, cluster, quiet)
	c.publish(t, 10, 20)
	records := readAll(t, cluster, topic, 200)
	require.Eventually(t, func() bool { return c.lag(t) == 0 }, patience, time.Millisecond)
	inOrder(t, records, 10, 20)
	id, key, payload := event(3, 0)
	for _, r := range records {
		if string(r.Value) == string(payload) {
			require.Equal(t, key, string(r.Key))
			require.Equal(t, []kgo.RecordHeader{{Key: "id", Value: []byte(id)}, {Key: "h", Value: []byte("v")}}, r.Headers)
		}
	}
	stop()

	c.publish(t, 10, 30) // the first 20 of each are repeats, which the broker drops
	relay(t, c, cluster, quiet)
	inOrder(t, readAll(t, cluster, topic, 300), 10, 30)
}

// While Kafka cuts connections and refuses what it is sent, nothing is acknowledged; then everything is there, in order.
func TestRelayWhileKafkaFails(t *testing.T) {
	t.Parallel()
	c, cluster := newCasepress(t), newKafka(t, 4)
	var failures atomic.Int64
	down := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		select {
		case <-down:
			if n := failures.Add(1); n < 6 && n%3 != 0 { // the line is bad for a while
				return nil, errors.New("cut"), true
			}
			return nil, nil, false
		default:
			failures.Add(1)
			return nil, errors.New("down"), true
		}
	})
	relay(t, c, cluster, quiet)
	c.publish(t, 10, 20)
	require.Eventually(t, func() bool { return failures.Load() > 1 }, patience, time.Millisecond)
	require.Equal(t, 200, c.lag(t))
	close(down)
	require.Eventually(t, func() bool { return c.lag(t) == 0 }, patience, time.Millisecond)
	inOrder(t, readAll(t, cluster, topic, 200), 10, 20)
}

// A message that Kafka does not take for what it is becomes a dead letter, and those of other patients go on.
func TestRelayOfARefusedMessage(t *testing.T) {
	c, cluster := newCasepress(t), newKafka(t, 1)
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		r := request.(*kmsg.ProduceRequest)
		if len(r.Topics[0].Partitions[0].Records) < 2000 {
			return nil, nil, false
		}
		answer := r.ResponseKind().(*kmsg.ProduceResponse)
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
		partition := kmsg.NewProduceResponseTopicPartition()
		partition.ErrorCode = kerr.MessageTooLarge.Code
		topic.Partitions = append(topic.Partitions, partition)
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	random := make([]byte, 8000) // which cannot be compressed to less
	for i := range random {
		random[i] = byte((i*i*7919 + i*104729) >> 3)
	}
	_, err := c.broker.Publish(t.Context(), topic, broker.Message{ID: "large", Key: "a", Payload: random})
	require.NoError(t, err)
	relay(t, c, cluster, quiet)
	require.Eventually(t, func() bool { return c.lag(t) == 0 }, patience, time.Millisecond)
	letters, _, err := c.broker.DeadLetters(topic, 0, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Header(broker.DeadReason), "Kafka refuses it: MESSAGE_TOO_LARGE")
	c.publish(t, 1, 1)
	inOrder(t, readAll(t, cluster, topic, 1), 1, 1)
}

// follower is a process that makes rows of events in Kafka.
type follower struct {
	rows     *progress.Rows
	consumer *kafka.Consumer
	stop     func()
}

func follow(t testing.TB, cluster brokers, dir string) follower {
	t.Helper()
	return followLogging(t, cluster, dir, quiet)
}

func followLogging(t testing.TB, cluster brokers, dir string, log *slog.Logger) follower {
	t.Helper()
	rows, err := progress.Open(t.Context(), filepath.Join(dir, "progress.db"), quiet)
	require.NoError(t, err)
	consumer, err := kafka.NewConsumer(rows, kafka.ConsumerOptions{Topic: topic, Group: "progress", Brokers: cluster.ListenAddrs(), Logger: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	f := follower{rows, consumer, nil}
	f.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, rows.Close())
	})
	t.Cleanup(f.stop)
	return f
}

// seen are the submissions that the rows know.
func (f follower) seen(t testing.TB, patients int) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for p := range patients {
		page, err := f.rows.Read(t.Context(), study.Study{ID: "S1"}, progress.Query{PatientID: fmt.Sprintf("P%d", p), Limit: 1}, time.Now())
		require.NoError(t, err)
		for _, patient := range page.Patients {
			for _, v := range patient.Visits {
				for _, item := range v.Items {
					for _, s := range item.Submissions {
						all[s.ID] = true
					}
				}
			}
		}
	}
	return all
}

func produce(t testing.TB, cluster brokers, patients, from, to int) {
	t.Helper()
	require.NoError(t, produceBy(t.Context(), newClient(t, cluster), patients, from, to))
}

func produceBy(ctx context.Context, cl *kgo.Client, patients, from, to int) error {
	for n := from; n < to; n++ {
		for p := range patients {
			_, key, payload := event(p, n)
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte(key), Value: payload}).FirstErr(); err != nil {
				return err
			}
		}
	}
	return nil
}

// committed is the sum of the offsets that the group has committed.
func committed(t testing.TB, cluster brokers) (sum int64) {
	t.Helper()
	cl := newClient(t, cluster)
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = "progress"
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = "progress"
	request.Groups = append(request.Groups, group)
	answer, err := request.RequestWith(t.Context(), cl)
	require.NoError(t, err)
	for _, g := range answer.Groups {
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				sum += max(p.Offset, 0)
			}
		}
	}
	return sum
}

func TestConsumer(t *testing.T) {
	cluster, dir := newKafka(t, 4), t.TempDir()
	produce(t, cluster, 10, 0, 20)
	f := follow(t, cluster, dir)
	require.Eventually(t, func() bool { return len(f.seen(t, 10)) == 200 }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return committed(t, cluster) == 200 }, patience, 10*time.Millisecond)
	behind, err := f.consumer.Behind()
	require.NoError(t, err)
	require.Zero(t, behind)
	require.NoError(t, f.consumer.Ready())
	f.stop()

	produce(t, cluster, 10, 20, 25)
	f = follow(t, cluster, dir)
	require.Eventually(t, func() bool { return len(f.seen(t, 10)) == 250 }, patience, 10*time.Millisecond)
	f.stop()

	f = follow(t, cluster, t.TempDir()) // its rows are lost, and Kafka says that all is done
	require.Eventually(t, func() bool { return len(f.seen(t, 10)) == 250 }, patience, 10*time.Millisecond)
}

// A topic that is made again is another one: the rows are made of it alone.
func TestConsumerOfAnotherTopic(t *testing.T) {
	dir := t.TempDir()
	for _, patients := range []int{7, 3} {
		cluster := newKafka(t, 2)
		produce(t, cluster, patients, 0, 2)
		f := follow(t, cluster, dir)
		require.Eventually(t, func() bool { return len(f.seen(t, 10)) == 2*patients }, patience, 10*time.Millisecond)
		f.stop()
	}
}

// A topic that is deleted and made again while it is followed: nobody is told that all is well in between, the log is not
// flooded, and the rows are made of the new one.
func TestConsumerOfATopicMadeAgain(t *testing.T) {
	t.Parallel()
	cluster := newKafka(t, 2)
	produce(t, cluster, 7, 0, 2)
	var lines lineCounter
	f := followLogging(t, cluster, t.TempDir(), slog.New(slog.NewTextHandler(&lines, nil)))
	require.Eventually(t, func() bool { return len(f.seen(t, 10)) == 14 }, patience, 10*time.Millisecond)
	require.NoError(t, f.consumer.Ready())
	require.NoError(t, cluster.DeleteTopic(topic))
	require.Eventually(t, func() bool { return f.consumer.Ready() != nil }, patience, 10*time.Millisecond)
	require.NoError(t, cluster.CreateTopic(topic, 2, nil))
	produce(t, cluster, 3, 0, 2)
	require.Eventually(t, func() bool { return len(f.seen(t, 10)) == 6 && f.consumer.Ready() == nil }, patience, 10*time.Millisecond)
	require.Less(t, lines.Load(), int64(1000)) // without a pause it is that many in a second
}

// lineCounter counts the lines of a log.
type lineCounter struct{ atomic.Int64 }

func (c *lineCounter) Write(line []byte) (int, error) {
	c.Add(1)
	return len(line), nil
}

// Who is told to stop while Kafka takes connections and answers nothing does not wait for it.
func TestConsumerStopsWithoutKafka(t *testing.T) {
	t.Parallel()
	cluster := newKafka(t, 2)
	produce(t, cluster, 7, 0, 2)
	f := follow(t, cluster, t.TempDir())
	require.Eventually(t, func() bool { return len(f.seen(t, 10)) == 14 }, patience, 10*time.Millisecond)
	hanging := make(chan struct{})
	t.Cleanup(func() { close(hanging) })
	cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		<-hanging
		return nil, nil, false
	})
	began := time.Now()
	f.stop()
	require.Less(t, time.Since(began), 25*time.Second) // it is about 10, and was more than 40
}

// What can never be applied is in the dead-letter topic with the reason, and holds up nobody.
func TestConsumerOfPoison(t *testing.T) {
	cluster := newKafka(t, 1)
	cl := newClient(t, cluster)
	poison := []byte(`{"type":"patient-data-update","patientId":"P0"}`)
	produce(t, cluster, 1, 0, 1)
	require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("S1/P0"), Value: poison}).FirstErr())
	require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(`{"type":"adverse-event"}`)}).FirstErr())
	produce(t, cluster, 1, 1, 3)
	f := follow(t, cluster, t.TempDir())
	require.Eventually(t, func() bool { return len(f.seen(t, 1)) == 3 && committed(t, cluster) == 5 }, patience, 10*time.Millisecond)
	dead := readAll(t, cluster, topic+".dead", 1)
	require.Len(t, dead, 1)
	require.Equal(t, poison, dead[0].Value)
	headers := map[string]string{}
	for _, h := range dead[0].Headers {
		headers[h.Key] = string(h.Value)
	}
	require.Equal(t, topic, headers[kafka.DeadTopic])
	require.Equal(t, "1", headers[kafka.DeadOffset])
	require.Contains(t, headers[kafka.DeadReason], "kind: must be 1 to 64")
}

// A record as large as Kafka takes has no room for the reason: the dead letter says where it is, and holds up nobody.
func TestConsumerOfLargePoison(t *testing.T) {
	cluster := newKafka(t, 1)
	cl := newClient(t, cluster)
	large := &kgo.Record{Topic: topic, Key: []byte("S1/P0"), Value: make([]byte, 999_900), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}
	require.NoError(t, cl.ProduceSync(t.Context(), large).FirstErr())
	require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("S1/P0"), Value: []byte("poison")}).FirstErr())
	produce(t, cluster, 1, 0, 3)
	f := follow(t, cluster, t.TempDir())
	require.Eventually(t, func() bool { return len(f.seen(t, 1)) == 3 && committed(t, cluster) == 5 }, patience, 10*time.Millisecond)
	whole := map[string]string{}
	for _, letter := range readAll(t, cluster, topic+".dead", 2) {
		headers := map[string]string{}
		for _, h := range letter.Headers {
			headers[h.Key] = string(h.Value)
		}
		require.Contains(t, headers[kafka.DeadReason], "is not a JSON event")
		whole[headers[kafka.DeadOffset]] = string(letter.Value)
		if headers[kafka.DeadOffset] == "0" {
			require.Contains(t, headers[kafka.DeadWithout], "MESSAGE_TOO_LARGE")
			require.NotContains(t, headers, "h")
		} else {
			require.NotContains(t, headers, kafka.DeadWithout)
		}
	}
	require.Equal(t, map[string]string{"0": "", "1": "poison"}, whole)
}

// Two processes of one group share the partitions; one that joins or leaves while there is work to do loses nothing, and
// each has all events of the partitions that it ends with.
func TestRebalanceDuringWork(t *testing.T) {
	const patients, each = 12, 60
	cluster := newKafka(t, 6)
	produced := make(chan error, 1)
	producer := newClient(t, cluster)
	go func() { produced <- produceBy(t.Context(), producer, patients, 0, each) }()
	first, second := t.TempDir(), t.TempDir()
	a := follow(t, cluster, first)
	require.Eventually(t, func() bool { return len(a.seen(t, patients)) > 0 }, patience, time.Millisecond)
	b := follow(t, cluster, second)
	require.Eventually(t, func() bool { return b.consumer.Held() > 0 }, patience, time.Millisecond)
	a.stop()
	a = follow(t, cluster, first)
	require.NoError(t, <-produced)
	union := func() map[string]bool {
		all := a.seen(t, patients)
		for id := range b.seen(t, patients) {
			all[id] = true
		}
		return all
	}
	require.Eventually(t, func() bool { return len(union()) == patients*each }, patience, 50*time.Millisecond)
	b.stop()
	require.Eventually(t, func() bool { return len(a.seen(t, patients)) == patients*each }, patience, 50*time.Millisecond, "who is left reads all")
}

// A Kafka that is not there is waited for, and said to be away.
func TestNoKafka(t *testing.T) {
	const nobody = "127.0.0.1:1" // a port that the system hands out to nobody
	rows, err := progress.Open(t.Context(), filepath.Join(t.TempDir(), "progress.db"), quiet)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	consumer, err := kafka.NewConsumer(rows, kafka.ConsumerOptions{Topic: topic, Group: "progress", Brokers: []string{nobody}, Logger: quiet})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	require.ErrorContains(t, consumer.Ready(), "has not been looked at yet")
	require.Eventually(t, func() bool { return strings.Contains(consumer.Ready().Error(), "Kafka does not answer") }, patience, time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	_, err = kafka.NewConsumer(rows, kafka.ConsumerOptions{Topic: topic, Group: "progress", Logger: quiet})
	require.ErrorContains(t, err, "no broker is named")
}
