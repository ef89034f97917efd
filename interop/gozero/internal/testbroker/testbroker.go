// Package testbroker keeps a casepress for tests, as a process or within the test; it never outlives its test.
package testbroker

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/broker/brokergrpc"
)

// Within starts a broker in the test's own process and returns its address.
func Within(t *testing.T) string {
	t.Helper()
	b, err := broker.Open(t.TempDir(), broker.Options{})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := brokergrpc.NewServer(b, brokergrpc.Options{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.Background()))
		require.NoError(t, <-served)
		require.NoError(t, b.Close())
	})
	return l.Addr().String()
}

// Build makes the real binary from the module around this one, with that one's versions.
func Build(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "casepress")
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..", "..", "..")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// Run starts the real binary and returns the address of its broker.
func Run(t *testing.T, binary string) (addr string) {
	t.Helper()
	addr, _ = RunAt(t, binary, "127.0.0.1:0", t.TempDir())
	return addr
}

// RunAt is Run at an address and in a folder of the caller's choice. Kill ends it as a power cut would, as far as a
// process can.
func RunAt(t *testing.T, binary, at, folder string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr="+at,
		"--log-format=json", "--data-dir="+folder)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	found, read := make(chan string, 1), make(chan struct{})
	var said strings.Builder // until found is closed
	go func() {
		defer close(read)
		findAddr(io.TeeReader(stderr, &said), found)
		_, _ = io.Copy(io.Discard, stderr) // it ends with the process
	}()
	killed := false
	t.Cleanup(func() {
		if killed {
			return
		}
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		<-read
		require.NoError(t, cmd.Wait())
	})
	addr = <-found
	if addr == "" {
		killed = true
		<-read
		t.Fatalf("casepress did not start: %v\n%s", cmd.Wait(), said.String())
	}
	return addr, func() {
		killed = true
		require.NoError(t, cmd.Process.Kill())
		<-read
		require.Error(t, cmd.Wait())
	}
}

// findAddr reads the log until it tells where the broker listens, and closes found.
func findAddr(log io.Reader, found chan<- string) {
	defer close(found)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var entry struct{ Msg, For, Addr string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" && entry.For == "grpc" {
			found <- entry.Addr
			return
		}
	}
}
