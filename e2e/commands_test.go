package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/client"
)

// command runs a command against the service and returns what it printed.
func (s *process) command(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(t.Context(), binary(t), append(args, "--addr="+s.grpc)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// prints wants a command to print this, whatever the white space.
func (s *process) prints(t *testing.T, want, stdin string, args ...string) {
	t.Helper()
	got, stderr, err := s.command(t, stdin, args...)
	require.NoError(t, err, "%s", stderr)
	require.Equal(t, want, strings.Join(strings.Fields(got), " "))
}

// comesToPrint waits until a command prints this: that a client has gone the server may see a moment later.
func (s *process) comesToPrint(t *testing.T, want string, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		got, stderr, err := s.command(t, "", args...)
		if err == nil && strings.Join(strings.Fields(got), " ") == want {
			return
		}
		require.True(t, time.Now().Before(deadline), "%s%s", got, stderr)
	}
}

func TestBrokerCommands(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	s.prints(t, "0", "", "send", "visits", "hello", "--key=k", "-H", "site=7")
	s.prints(t, "3 sent", "a\nb\nc\n", "send", "visits")
	s.prints(t, "hello a", "", "subscribe", "visits", "printer", "-n", "2")
	s.prints(t, "b c", "", "subscribe", "visits", "printer", "-n", "2")
	out, _, err := s.command(t, "", "subscribe", "visits", "json", "-n", "1", "--json")
	require.NoError(t, err)
	var m client.Message
	require.NoError(t, json.Unmarshal([]byte(out), &m))
	require.Equal(t, []string{"hello", "k", "7"}, []string{string(m.Payload), m.Key, m.Header("site")})
	s.comesToPrint(t, "GROUP START NEXT END LAG IN FLIGHT DELAYED MEMBERS OLDEST UNACKED printer 4 4 4 0 0 0 0 -", "groups", "visits", "printer")
	s.prints(t, "2", "", "groups", "visits", "printer", "--seek=2")
	s.prints(t, "b c", "", "subscribe", "visits", "printer", "-n", "2")
	s.prints(t, "4", "", "groups", "visits", "printer", "--seek-to=2999-01-01T00:00:00Z")
	s.comesToPrint(t, "", "groups", "visits", "printer", "--delete")
	out, _, err = s.command(t, "", "topics")
	require.NoError(t, err)
	require.Contains(t, out, "patient-data-update")
	s.prints(t, "OFFSET TIME GROUP DELIVERIES REASON", "", "topics", "visits", "--dead")
	s.prints(t, "0 sent again", "", "topics", "visits", "--redrive")
	s.comesToPrint(t, "", "topics", "visits", "--delete")
	_, told, err := s.command(t, "", "topics", "visits")
	require.Error(t, err)
	require.Contains(t, told, "no such topic")
	for _, args := range [][]string{
		{"send", "case-reports", "forged"}, {"send", "case-reports.dead", "forged"}, {"send", "patient-data-update", "forged"},
		{"topics", "images", "--delete"}, {"subscribe", "case-reports", "workers"}, {"groups", "images", "records", "--seek=latest"},
	} {
		_, told, err := s.command(t, "", args...)
		require.Error(t, err, "%v", args)
		require.Contains(t, told, "PermissionDenied", "%v", args)
	}
	s.stop(t)
}

// TestUpdatesReachOtherServices: what consuming over gRPC is for.
func TestUpdatesReachOtherServices(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	conn, err := client.Dial(s.grpc)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	got := make(chan *client.Message, 1)
	c := client.NewConsumer(conn, client.ConsumerOptions{Topic: "patient-data-update", Group: "trial"}, func(_ context.Context, m *client.Message) error {
		got <- m
		stop()
		return nil
	})
	contentType, body := multipartForm(t, url.Values{"patientId": {"p1"}}, newPicture(t))
	code, _, answer, err := send(t.Context(), http.MethodPost, s.url+"/upload-case-report", contentType, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, code, "%s", answer)
	require.NoError(t, c.Run(ctx))
	require.Contains(t, string((<-got).Payload), "patient-data-update")
}
