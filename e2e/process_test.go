package e2e_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a running casepress process.
type process struct {
	url, admin string
	grpc       string
	cmd        *exec.Cmd
	logs       *lockedBuffer
	ended      chan struct{}
	exit       error // set before ended is closed
}

// launch starts casepress on data and returns at once; listening is closed when
// it serves.
func launch(t testing.TB, data string, args ...string) (s *process, listening <-chan struct{}) {
	t.Helper()
	args = append([]string{"--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--log-format=json", "--data-dir=" + data}, args...)
	s = &process{cmd: exec.Command(binary(t), args...), logs: &lockedBuffer{}, ended: make(chan struct{})}
	stderr, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	ready := make(chan struct{})
	go func() {
		defer close(s.ended)
		s.follow(stderr, ready)
		s.exit = s.cmd.Wait()
	}()
	t.Cleanup(s.kill)
	return s, ready
}

// follow reads the log until the process ends and learns the addresses from it.
func (s *process) follow(stderr io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.logs.writeLine(lines.Text())
		var line struct{ Msg, For, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
			continue
		}
		switch line.For {
		case "http":
			s.url = "http://" + line.Addr
		case "grpc":
			s.grpc = line.Addr
		case "admin":
			s.admin = "http://" + line.Addr
			close(ready)
		}
	}
}

// start launches casepress and waits until it serves.
func start(t testing.TB, data string, args ...string) *process {
	t.Helper()
	s, listening := launch(t, data, args...)
	select {
	case <-listening:
	case <-s.ended:
		t.Fatalf("casepress ended: %s", s.logs)
	case <-time.After(patience):
		t.Fatalf("casepress does not listen: %s", s.logs)
	}
	return s
}

func (s *process) kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.ended
}

// stop asks the process to end and wants it to do so in peace.
func (s *process) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.ended
	require.NoError(t, s.exit, "%s", s.logs)
}

type lockedBuffer struct {
	mu      sync.Mutex
	b       strings.Builder
	written chan struct{} // closed and replaced by each line; nil until somebody waits
}

// wait returns once the log has the words.
func (l *lockedBuffer) wait(t testing.TB, words string) {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		there := strings.Contains(l.b.String(), words)
		if l.written == nil {
			l.written = make(chan struct{})
		}
		written := l.written
		l.mu.Unlock()
		if there {
			return
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("never logged: %s\n%s", words, l)
		}
	}
}

func (l *lockedBuffer) writeLine(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written != nil {
		close(l.written)
		l.written = nil
	}
	if l.b.Len() < 1<<20 {
		l.b.WriteString(line + "\n")
	}
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// get does one request that must be answered.
func (s *process) get(t testing.TB, path string) (code int, header http.Header, body []byte) {
	t.Helper()
	code, header, body, err := send(t.Context(), http.MethodGet, s.url+path, "", nil)
	require.NoError(t, err, "%s", s.logs)
	return code, header, body
}

// final waits until the report is completed or failed.
func (s *process) final(t testing.TB, id string) status {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		code, _, body := s.get(t, "/case-reports/"+id+"?wait=20s")
		require.Equal(t, http.StatusOK, code, "%s: %s", id, body)
		var st status
		require.NoError(t, json.Unmarshal(body, &st))
		if st.Status == "completed" || st.Status == "failed" {
			return st
		}
	}
	t.Fatalf("%s is not finished after %v\n%s", id, patience, s.logs)
	return status{}
}
