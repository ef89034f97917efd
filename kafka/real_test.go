package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// realKafka is an Apache Kafka of one broker, with a folder and ports of its own.
type realKafka struct {
	testing.TB
	dir, addr string
	cmd       *exec.Cmd
	output    bytes.Buffer // of the present process, to be read after its end
}

// ListenAddrs is where it answers.
func (k *realKafka) ListenAddrs() []string { return []string{k.addr} }

const properties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
`

func newRealKafka(t testing.TB) *realKafka {
	t.Helper()
	if os.Getenv("CASEPRESS_KAFKA_CLASSPATH") == "" {
		t.Skip("only with a real Kafka: make kafka")
	}
	addrs := lastingAddrs(t, 2)
	k := &realKafka{TB: t, dir: t.TempDir(), addr: addrs[0]}
	config := fmt.Sprintf(properties, addrs[0], addrs[1], filepath.Join(k.dir, "data"))
	require.NoError(t, os.WriteFile(k.config(), []byte(config), 0o600))
	id, err := k.java("kafka.tools.StorageTool", "random-uuid").Output()
	require.NoError(t, err)
	lines := strings.Fields(string(id))
	out, err := k.java("kafka.tools.StorageTool", "format", "-t", lines[len(lines)-1], "-c", k.config()).CombinedOutput()
	require.NoError(t, err, "%s", out)
	k.start()
	t.Cleanup(k.kill)
	return k
}

// lastingAddrs are addresses that nobody takes while the broker is away: their ports are not among those that the system
// hands out, to others or, when a client dials, to that very connection.
func lastingAddrs(t testing.TB, n int) (addrs []string) {
	for port := 10000 + rand.N(10000); len(addrs) < n; port++ {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, l.Close())
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func (k *realKafka) config() string { return filepath.Join(k.dir, "server.properties") }

func (k *realKafka) java(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{
		"-Xms64m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", os.Getenv("CASEPRESS_KAFKA_CLASSPATH"),
	}, args...)...)
}

// start starts the broker, and returns when it answers.
func (k *realKafka) start() {
	k.Helper()
	k.output.Reset()
	k.cmd = k.java("kafka.Kafka", k.config())
	k.cmd.Stdout, k.cmd.Stderr = &k.output, &k.output
	require.NoError(k, k.cmd.Start())
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.addr))
	require.NoError(k, err)
	defer cl.Close()
	deadline := time.Now().Add(2 * patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := cl.Ping(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			k.kill()
			k.Fatalf("Kafka does not answer: %v\n%s", err, &k.output)
		}
	}
}

// kill ends the broker as kill -9 does.
func (k *realKafka) kill() {
	if k.cmd != nil {
		_ = k.cmd.Process.Kill() // it may have ended
		_ = k.cmd.Wait()
		k.cmd = nil
	}
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
	k.kill()
	c.publishFrom(t, patients, 20, 40)
	k.start()
	require.Eventually(t, func() bool { return b.consumer.Held() > 0 }, 2*patience, 10*time.Millisecond)
	poison := []byte(`{"type":"patient-data-update","patientId":"P0"}`)
	require.NoError(t, newClient(t, k).ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("poison"), Value: poison}).FirstErr())
	c.publishFrom(t, patients, 40, 50)
	a.stop()
	k.kill()
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
