package gozero_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker/brokerpb"
	"casepress/interop/gozero/internal/testbroker"
	"casepress/interop/gozero/producer/patient"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// built keeps the binaries of this run.
var built struct {
	sync.Mutex
	dir, casepress string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gozero")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// casepress returns the real binary.
func casepress(t *testing.T) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.casepress == "" {
		built.casepress = testbroker.Build(t, built.dir)
	}
	return built.casepress
}

// A process is one of the two services.
type process struct {
	cmd   *exec.Cmd
	lines chan string // of its log, closed at its end

	mu  sync.Mutex
	log strings.Builder
}

// launch runs a service with its own config file, changed in places.
func launch(t *testing.T, name string, changes ...string) *process {
	t.Helper()
	shipped, err := os.ReadFile(filepath.Join(name, "etc", name+".yaml"))
	require.NoError(t, err)
	for i := 0; i < len(changes); i += 2 {
		require.Contains(t, string(shipped), changes[i])
	}
	config := filepath.Join(t.TempDir(), name+".yaml")
	require.NoError(t, os.WriteFile(config, []byte(strings.NewReplacer(changes...).Replace(string(shipped))), 0o600))

	r, w, err := os.Pipe()
	require.NoError(t, err)
	p := &process{cmd: exec.Command(filepath.Join(built.dir, name), "-f", config), lines: make(chan string, 1000)}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	require.NoError(t, p.cmd.Start())
	require.NoError(t, w.Close())
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.log.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil { // the test failed
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			t.Logf("%s:\n%s", name, p.logged())
		}
		_ = r.Close()
	})
	return p
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// taken reads the log until n events were taken and returns them. They may come more often than once, by the
// broker's promise.
func (p *process) taken(t *testing.T, n int) map[string]bool {
	t.Helper()
	events := map[string]bool{}
	timeout := time.After(patience)
	for len(events) < n {
		select {
		case line, open := <-p.lines:
			require.True(t, open, "it ended")
			var entry struct{ Content, ID string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Content == "update taken" {
				events[entry.ID] = true
			}
		case <-timeout:
			t.Fatalf("%d of %d events were taken", len(events), n)
		}
	}
	return events
}

func (p *process) signal(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
}

func (p *process) wait(t *testing.T) {
	t.Helper()
	for range p.lines { // to the end
	}
	require.NoError(t, p.cmd.Wait(), p.logged())
}

const patientName = "Rosalind Example"

func update(n int) *patient.UpdateRequest {
	return &patient.UpdateRequest{
		PatientId: fmt.Sprintf("p-%d", n%3), UpdateId: fmt.Sprintf("update-%d", n), Changes: map[string]string{"name": patientName},
	}
}

// TestServices runs casepress, the producer and a consumer in each mode as they ship.
func TestServices(t *testing.T) {
	logx.Disable()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", built.dir+"/", "./producer", "./consumer").CombinedOutput()
	require.NoError(t, err, "%s", out)
	addr := testbroker.Run(t, casepress(t))
	b := dial(t, patientConf(t, addr))

	var consumers []*process
	modes := []string{"subscribe", "fetch", "kq"}
	for _, mode := range modes {
		consumers = append(consumers, launch(t, "consumer", "127.0.0.1:9090", addr, "Mode: subscribe", "Mode: "+mode, "Group: projection", "Group: by-"+mode))
	}
	listen := lastingAddr(t)
	producer := launch(t, "producer", "127.0.0.1:9090", addr, "127.0.0.1:9191", listen,
		"Topic:", "CpuThreshold: 0 # refuses nobody while the tests load the machine\nTimeout: 20000\nTopic:", "KeepaliveTime: 10s", "KeepaliveTime: 10s\n  Timeout: 20000")
	require.Eventually(t, func() bool { // by calls it would open the client's breaker
		conn, err := net.Dial("tcp", listen)
		return err == nil && conn.Close() == nil
	}, patience, 50*time.Millisecond, "the producer listens")
	cli, err := zrpc.NewClient(patientConf(t, listen))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Conn().Close()) })
	patients := patient.NewPatientClient(cli.Conn())

	want := map[string]bool{}
	for n := range 20 {
		r, err := patients.Update(t.Context(), update(n))
		require.NoError(t, err)
		again, err := patients.Update(t.Context(), update(n))
		require.NoError(t, err)
		require.Equal(t, r.GetOffset(), again.GetOffset(), "a resend is no second event")
		want[update(n).GetUpdateId()] = true
	}
	_, err = patients.Update(t.Context(), &patient.UpdateRequest{PatientId: "p-1"})
	require.Equal(t, codes.InvalidArgument, status.Code(err), err)
	send(t, b, "no event") // somebody else's, into the same topic

	for i, c := range consumers {
		require.Equal(t, want, c.taken(t, len(want)), modes[i])
	}
	for _, mode := range modes {
		require.Eventually(t, func() bool {
			g, err := b.DescribeGroup(t.Context(), &brokerpb.DescribeGroupRequest{Topic: "patient-updates", ConsumerGroup: "by-" + mode})
			return err == nil && g.GetLag() == 0
		}, patience, 20*time.Millisecond, mode)
	}
	dead, err := b.ListDeadLetters(t.Context(), &brokerpb.ListDeadLettersRequest{Topic: "patient-updates"})
	require.NoError(t, err)
	require.Len(t, dead.GetLetters(), len(modes), "what is no event, once for each group")

	all := append(consumers, producer)
	for _, p := range all {
		p.signal(t)
	}
	for _, p := range all {
		p.wait(t)
		require.NotContains(t, p.logged(), patientName)
	}
}
