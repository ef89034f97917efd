// Package kafkatest implements a real Apache Kafka for tests: one broker in a process of its own, with a folder and ports of its
// own, that can be killed and started again. It needs Java and the environment variable CASEPRESS_KAFKA_CLASSPATH with the
// broker's jars, which interop/kafka/run.sh sets; without it tests are skipped.
package kafkatest

import (
	"bytes"
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
)

// Patience is how long a broker may take to begin.
const Patience = time.Minute

// Kafka is a broker. Use [Start].
type Kafka struct {
	testing.TB
	// Addr is where it answers.
	Addr string

	dir    string
	cmd    *exec.Cmd
	output bytes.Buffer // of the present process, to be read after its end
}

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

// Start makes a broker and starts it. It ends with the test.
func Start(t testing.TB) *Kafka {
	t.Helper()
	if os.Getenv("CASEPRESS_KAFKA_CLASSPATH") == "" {
		t.Skip("only with a real Kafka: make kafka")
	}
	addrs := lastingAddrs(t, 2)
	k := &Kafka{TB: t, dir: t.TempDir(), Addr: addrs[0]}
	config := fmt.Sprintf(properties, addrs[0], addrs[1], filepath.Join(k.dir, "data"))
	require.NoError(t, os.WriteFile(k.config(), []byte(config), 0o600))
	id, err := k.java("kafka.tools.StorageTool", "random-uuid").Output()
	require.NoError(t, err)
	lines := strings.Fields(string(id))
	out, err := k.java("kafka.tools.StorageTool", "format", "-t", lines[len(lines)-1], "-c", k.config()).CombinedOutput()
	require.NoError(t, err, "%s", out)
	k.Start()
	t.Cleanup(k.Kill)
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

func (k *Kafka) config() string { return filepath.Join(k.dir, "server.properties") }

func (k *Kafka) java(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{
		"-Xms64m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", os.Getenv("CASEPRESS_KAFKA_CLASSPATH"),
	}, args...)...)
}

// Start starts the broker again after [Kafka.Kill], and returns when it takes connections. Clients may have to ask more than once.
func (k *Kafka) Start() {
	k.Helper()
	k.output.Reset()
	k.cmd = k.java("kafka.Kafka", k.config())
	k.cmd.Stdout, k.cmd.Stderr = &k.output, &k.output
	require.NoError(k, k.cmd.Start())
	for deadline := time.Now().Add(Patience); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", k.Addr, time.Second)
		if err == nil {
			require.NoError(k, conn.Close())
			return
		}
		if time.Now().After(deadline) {
			k.Kill()
			k.Fatalf("Kafka does not answer: %v\n%s", err, &k.output)
		}
	}
}

// Kill ends the broker as kill -9 does.
func (k *Kafka) Kill() {
	if k.cmd != nil {
		_ = k.cmd.Process.Kill() // it may have ended
		_ = k.cmd.Wait()
		k.cmd = nil
	}
}
