package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
	code = http.StatusServiceUnavailable
	require.ErrorContains(t, run(t.Context(), []string{"health", "--url=" + server.URL}, &out, &out), "503")
	http.DefaultClient.CloseIdleConnections()
	server.Close()
	require.Error(t, run(t.Context(), []string{"health", "--url=" + server.URL}, &out, &out))
}
