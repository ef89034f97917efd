// Package webhooks holds what casepress sends against the reference library of Standard Webhooks.
package webhooks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

type message struct {
	header http.Header
	body   []byte
}

// serve builds and starts casepress and returns its address.
func serve(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "casepress")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(binary, "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--log-format=json",
		"--data-dir="+t.TempDir(), "--webhook-allow=127.0.0.0/8", "--min-free-disk=0")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, For, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.For == "http" {
				address <- "http://" + line.Addr
			}
		}
	}()
	select {
	case url := <-address:
		return url
	case <-time.After(time.Minute):
		require.Fail(t, "casepress does not listen")
		return ""
	}
}

func post(t *testing.T, url, body string, answer any) {
	t.Helper()
	r, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Less(t, r.StatusCode, 300, "%s", text)
	require.NoError(t, json.Unmarshal(text, answer))
}

// The reference library accepts what is sent, with the old secret and the new one after a rotation, and nothing that was changed.
func TestReferenceLibraryVerifies(t *testing.T) {
	messages := make(chan message, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			messages <- message{r.Header, body}
		}
	}))
	t.Cleanup(receiver.Close)
	url := serve(t)
	var endpoint, rotated struct{ ID, Secret string }
	post(t, url+"/webhook-endpoints", fmt.Sprintf(`{"url":%q,"types":["patient-data-update"]}`, receiver.URL), &endpoint)
	next := func(id string) message {
		var answer struct{ ID string }
		post(t, url+"/questionnaire-responses", `{"id":"`+id+`","instrument":"phq-9","version":"1","patientId":"P1","language":"en","authored":"2026-11-26T20:03:11+08:00",
			"answers":{"1":0,"2":1,"3":2,"4":3,"5":0,"6":1,"7":2,"8":3,"9":0}}`, &answer)
		select {
		case m := <-messages:
			require.Contains(t, string(m.body), id)
			return m
		case <-time.After(time.Minute):
			require.Fail(t, "nothing came")
			return message{}
		}
	}
	before, err := standardwebhooks.NewWebhook(endpoint.Secret)
	require.NoError(t, err)
	m := next("QR-1")
	require.NoError(t, before.Verify(m.body, m.header))
	require.Error(t, before.Verify(append([]byte(" "), m.body...), m.header))
	changed := m.header.Clone()
	changed.Set("Webhook-Id", "evt_00000000000000000000000000000000")
	require.Error(t, before.Verify(m.body, changed))

	post(t, url+"/webhook-endpoints/"+endpoint.ID+"/rotate", "", &rotated)
	after, err := standardwebhooks.NewWebhook(rotated.Secret)
	require.NoError(t, err)
	require.Error(t, after.Verify(m.body, m.header))
	m = next("QR-2")
	require.NoError(t, before.Verify(m.body, m.header))
	require.NoError(t, after.Verify(m.body, m.header))
	other, err := standardwebhooks.NewWebhook("whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
	require.NoError(t, err)
	require.Error(t, other.Verify(m.body, m.header))
}
