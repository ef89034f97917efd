package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"casepress/disk"
)

func TestKafkaCommandsNeedBrokers(t *testing.T) {
	for _, command := range []string{"relay", "progress"} {
		err := run(t.Context(), []string{command}, &strings.Builder{}, &strings.Builder{})
		require.ErrorContains(t, err, "--kafka HOST:PORT", command)
	}
	dir := t.TempDir()
	unlock, err := disk.Lock(dir)
	require.NoError(t, err)
	err = run(t.Context(), []string{"progress", "--kafka=127.0.0.1:1", "--data-dir=" + dir}, &strings.Builder{}, &strings.Builder{})
	require.ErrorContains(t, err, "--data-dir")
	require.NoError(t, unlock())
}

// running runs a command until the end of the test, and returns where it listens, by what for.
func running(t *testing.T, listeners int, args ...string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append(args, "--log-format=json"), io.Discard, write)
		_ = write.Close() // never fails
	}()
	listening := make(chan map[string]string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		found := map[string]string{}
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			var line struct{ Msg, For, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				found[line.For] = line.Addr
			}
			if len(found) == listeners {
				select {
				case listening <- found:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		<-drained
	})
	if listeners == 0 {
		return nil
	}
	select {
	case found := <-listening:
		return found
	case err := <-ended:
		ended <- err
		t.Fatalf("%v ended: %v", args, err)
	case <-time.After(30 * time.Second):
		t.Fatalf("%v does not listen", args)
	}
	return nil
}

// TestProgressThroughKafka: what is handed in to a casepress is in the trial progress of another process, by Kafka.
func TestProgressThroughKafka(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "patient-data-update"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	kafka := "--kafka=" + strings.Join(cluster.ListenAddrs(), ",")
	studies := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(studies, "S1.json"), []byte(
		`{"schema":1,"id":"S1","version":1,"title":"One","languages":["en"],"visits":[{"id":"V01","title":"Baseline","day":1,"due":["phq-2"]}]}`), 0o600))

	casepress := running(t, 3, "serve", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--data-dir="+t.TempDir(), "--min-free-disk=0")
	running(t, 0, "relay", kafka, "--addr="+casepress["grpc"])
	follower := running(t, 1, "progress", kafka, "--studies="+studies, "--data-dir="+t.TempDir(), "--addr=127.0.0.1:0")

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Post("http://"+casepress["http"]+"/questionnaire-responses", "application/json", strings.NewReader(
		`{"id":"QR-1","study":"S1","instrument":"phq-2","version":"1","patientId":"P001","visitId":"V01","language":"en","authored":"2026-11-01T12:00:00Z","answers":{"1":0,"2":1}}`))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusCreated, response.StatusCode)
	require.Eventually(t, func() bool {
		response, err := client.Get("http://" + follower["http"] + "/trial-progress?study=S1&patientId=P001")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return err == nil && strings.Contains(string(body), `"state":"completed"`) && strings.Contains(string(body), `"/questionnaire-responses/QR-1"`)
	}, 60*time.Second, 20*time.Millisecond)
}
