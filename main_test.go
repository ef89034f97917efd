package main

import (
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/study"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListenerNamesItsPage(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1:8080": "http://127.0.0.1:8080/", "0.0.0.0:80": "http://localhost:80/", "[::]:80": "http://localhost:80/", "[::1]:80": "http://[::1]:80/"} {
		bound := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
		require.Equal(t, []any{"for", "http", "addr", bound.String(), "page", want}, listener{name: "http", page: "/"}.opened(bound))
	}
	require.Equal(t, []any{"for", "grpc", "addr", "127.0.0.1:9090"}, listener{name: "grpc"}.opened(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:9090"))))
}

// TestTakenAddress: the error names the setting to change.
func TestTakenAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	err = serveAll(t.Context(), t.Context(), slog.New(slog.DiscardHandler),
		listener{name: "http", flag: "--http-addr", addr: "127.0.0.1:0"}, listener{name: "grpc", flag: "--grpc-addr", addr: taken.Addr().String()})
	require.ErrorContains(t, err, "--grpc-addr: listen tcp "+taken.Addr().String())
}

func TestStartIsLogged(t *testing.T) {
	var out strings.Builder
	data, studies := filepath.Join(t.TempDir(), "data"), t.TempDir()
	(&Serve{DataDir: data, Studies: studies}).logStart(slog.New(slog.NewTextHandler(&out, nil)), 2)
	for _, want := range []string{data, "count=2", studies, "no authentication"} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "no study file")
	out.Reset()
	(&Serve{DataDir: data, Studies: studies}).logStart(slog.New(slog.NewTextHandler(&out, nil)), 0)
	require.Regexp(t, `level=WARN msg="the folder of --studies has no study file, \{id\}\.json: .*" folder=`+regexp.QuoteMeta(studies), out.String())
}

func TestMissingWordingIsLogged(t *testing.T) {
	var out strings.Builder
	studies, err := study.Load("examples/studies")
	require.NoError(t, err)
	logMissingWording(slog.New(slog.NewTextHandler(&out, nil)), studies)
	require.Contains(t, out.String(), "level=WARN")
	require.Contains(t, out.String(), "study=CP-2026-017 instrument=phq-9 languages=zh-CN\n")
}

// TestMemoryLimitFollowsImages: a picture that takes its turn beside --image-memory has room, and only while it is in work.
func TestMemoryLimitFollowsImages(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	now := func() int64 { return debug.SetMemoryLimit(-1) }
	adjust := (&Serve{ImageMemory: 128 << 20}).limitMemory()
	require.EqualValues(t, (128+72)<<20, now())
	adjust(100 << 20)
	require.EqualValues(t, (128+72)<<20, now())
	adjust((100 + 320) << 20)
	require.EqualValues(t, (100+320+72)<<20, now())
	adjust(0)
	require.EqualValues(t, (128+72)<<20, now())

	t.Setenv("GOMEMLIMIT", "300MiB")
	require.Nil(t, (&Serve{ImageMemory: 128 << 20}).limitMemory(), "the operator's holds")
}
