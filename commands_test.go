package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/instrument"
)

// Commands that talk to a running casepress are tested in e2e; these refuse before they do.
func TestCommandsRefuse(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"topics --create", "name the topic"},
		{"topics visits --create --delete", "can't be used together"},
		{"groups visits --delete", "name the group"},
		{"groups visits printer --seek=yesterday", `--seek is "yesterday": it must be earliest, latest or an offset`},
		{"groups visits printer --seek-to=yesterday", "--seek-to"},
		{"send visits --id=a", "--id names one message"},
		{"topics", "no answer from a casepress at 127.0.0.1:1; --addr names another"},
		{"send visits message --timeout=1s", "no answer from a casepress at 127.0.0.1:1"},
		{"send", "expected \"<topic>"},
		{"subscribe visits", "expected \"<group>"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			var out strings.Builder
			require.ErrorContains(t, run(t.Context(), append(strings.Fields(tc.args), "--addr=127.0.0.1:1"), &out, &out), tc.want)
		})
	}
}

func TestHealth(t *testing.T) {
	code := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"health", "--url=" + server.URL}, &out, &out))
	require.Equal(t, "{}", out.String())
	// Where the server's own variable says, also if it listens on every address.
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "[::]", ""} {
		t.Setenv("CASEPRESS_HTTP_ADDR", host+":"+port)
		require.NoError(t, run(t.Context(), []string{"health"}, &out, &out), host)
	}
	code = http.StatusServiceUnavailable
	require.ErrorContains(t, run(t.Context(), []string{"health", "--url=" + server.URL}, &out, &out), "503")
	http.DefaultClient.CloseIdleConnections()
	server.Close()
	require.Error(t, run(t.Context(), []string{"health", "--url=" + server.URL}, &out, &out))
}

// TestCheckFiles runs the two commands that check files, which say the same as the start of the
// service.
func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	phq9, ok := instrument.Shipped().Get("phq-9", "1")
	require.True(t, ok)
	good := write("phq-9.json", string(phq9.Content))
	broken := write("broken.json", strings.Replace(string(phq9.Content), `"from": 5,`, `"from": 6,`, 1))
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"instrument", "check", good}, &out, &out))
	require.Equal(t, good+": instrument phq-9, version 1, sha256 "+phq9.SHA256+"\n", out.String())

	out.Reset()
	require.ErrorContains(t, run(t.Context(), []string{"instrument", "check", broken, good, filepath.Join(dir, "none.json")}, &out, &out), "2 of 3 files cannot be used")
	lines := strings.Split(out.String(), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, `broken\.json:\d+:\d+: scores\[0\]\.bands\[1\]: begins at 6 and leaves a gap; the band must begin at 5$`, lines[0])
	require.Contains(t, lines[1], good+": instrument phq-9")
	require.Contains(t, lines[2], "none.json: cannot be read: no such file or directory")

	s1 := write("S1.json", `{"schema":1,"id":"S1","version":2,"title":"A","languages":["en"]}`)
	out.Reset()
	require.NoError(t, run(t.Context(), []string{"study", "check", s1}, &out, &out))
	require.Contains(t, out.String(), s1+": study S1, version 2, sha256 ")
	out.Reset()
	s2 := write("S2.json", `{"schema":1,"id":"S2","version":1,"title":"A","languages":["en","zh-CN"],"visits":[{"id":"V1","title":"A","day":1,"due":["phq-9","gad-7"]}]}`)
	require.NoError(t, run(t.Context(), []string{"study", "check", s2}, &out, &out), "a warning is no problem")
	require.Regexp(t, `S2\.json: study S2, version 1, sha256 \w+\n.*S2\.json: warning: phq-9 is due, and has no wording in zh-CN: see docs/instruments\.md\n.*S2\.json: warning: gad-7 is due, .*\n$`, out.String())
	out.Reset()
	require.ErrorContains(t, run(t.Context(), []string{"study", "check", broken}, &out, &out), "1 of 1 files cannot be used")
	require.Contains(t, out.String(), "broken.json:")
}

func TestDrillRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"drill sae --server=127.0.0.1:8080":       `--server is "127.0.0.1:8080": it must be an address such as http://127.0.0.1:8080`,
		"drill sae --server=ftp://h":              `--server is "ftp://h"`,
		"drill sae --within=0s":                   "--within is 0s: it must be more than 0",
		"drill sae --server=http://127.0.0.1:1":   "the drill did not hold: accepted",
		"drill fire":                              "unexpected argument fire; the commands are sae, ",
		"drill sae --server=http://127.0.0.1:1/x": "the drill did not hold: accepted",
	} {
		var out strings.Builder
		require.ErrorContains(t, run(t.Context(), strings.Fields(args), &out, &out), want, args)
	}
}

// TestDrillEndsWhatMayHaveBeenTaken: the answer to the report is lost, and the server is busy for a while.
func TestDrillEndsWhatMayHaveBeenTaken(t *testing.T) {
	var mu sync.Mutex
	var steps []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, path.Base(r.URL.Path))
		switch {
		case len(steps) == 1:
			panic(http.ErrAbortHandler)
		case len(steps) == 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Method == http.MethodPost:
			_ = json.NewEncoder(w).Encode(map[string]string{"state": map[string]string{"acknowledge": "acknowledged", "close": "closed"}[path.Base(r.URL.Path)]})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	var out strings.Builder
	require.ErrorContains(t, run(t.Context(), []string{"drill", "sae", "--server=" + server.URL}, &out, &out), "the drill did not hold: accepted, timeline")
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"adverse-events", "acknowledge", "acknowledge", "close"}, steps[:4])
}
