package gozero_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"

	"casepress/interop/gozero/event"
	"casepress/kafka/kafkatest"
)

const updates = "patient-data-update"

func createTopic(t *testing.T, addr string, partitions int) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(addr)}
	require.Eventually(t, func() bool {
		r, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: updates, NumPartitions: partitions, ReplicationFactor: 1}}})
		return err == nil && r.Errors[updates] == nil
	}, kafkatest.Patience, 200*time.Millisecond)
}

// drained runs a service whose log nobody follows.
func drained(t *testing.T, name string, changes ...string) *process {
	t.Helper()
	p := launch(t, name, changes...)
	go func() {
		for range p.lines {
		}
	}()
	return p
}

// casepressCommand runs a command of casepress until the test ends and returns where it listens.
func casepressCommand(t *testing.T, args ...string) func(name string) string {
	t.Helper()
	cmd := exec.Command(casepress(t), append(args, "--log-format=json")...)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var mu sync.Mutex
	listens, read := map[string]string{}, make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var entry struct{ Msg, For, Addr string }
			mu.Lock()
			log.WriteString(lines.Text() + "\n")
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" {
				listens[entry.For] = entry.Addr
			}
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-read
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("casepress %s:\n%s", args[0], log.String())
		}
	})
	return func(name string) (addr string) {
		t.Helper()
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			addr = listens[name]
			return addr != ""
		}, 30*time.Second, 20*time.Millisecond)
		return addr
	}
}

// post sends a document until it is answered 201.
func post(ctx context.Context, url, document string) error {
	client := &http.Client{Timeout: 25 * time.Second}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(document))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusCreated {
				return nil
			}
			if answer.StatusCode != http.StatusServiceUnavailable {
				return fmt.Errorf("%s", answer.Status)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lines are the events that a consumer has written, in their order.
func lines(t *testing.T, folder string) (all []event.Finished) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, "visits.jsonl"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	for line := range bytes.Lines(content) {
		if line[len(line)-1] != '\n' {
			break // it is being written
		}
		e, err := event.DecodeFinished(line)
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

// TestKafka runs both services as they ship on a real Kafka that is killed meanwhile. What the producer has answered is in the
// consumers' files, each patient's events in their order, also across a rebalance and a consumer that is killed; what is no
// event holds up nobody; casepress progress reads the same events, and the consumers read those of casepress.
func TestKafka(t *testing.T) {
	logx.Disable()
	t.Parallel()
	k := kafkatest.Start(t)
	createTopic(t, k.Addr, 6)
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", built.dir+"/", "./kqproducer", "./kqconsumer").CombinedOutput()
	require.NoError(t, err, "%s", out)

	const patients, visits = 8, 10
	folders := []string{t.TempDir(), t.TempDir()}
	consume := func(i int) *process {
		return drained(t, "kqconsumer", "127.0.0.1:9092", k.Addr, "Folder: visits", "Folder: "+folders[i])
	}
	first := consume(0)
	_, port, err := net.SplitHostPort(lastingAddr(t))
	require.NoError(t, err)
	producer := drained(t, "kqproducer", "127.0.0.1:9092", k.Addr, "Port: 9292", "Port: "+port)
	url := "http://127.0.0.1:" + port + "/finished"

	var answered atomic.Int64
	var posting sync.WaitGroup
	failed := make(chan error, patients)
	for p := range patients {
		posting.Go(func() {
			for v := range visits {
				document := fmt.Sprintf(`{"id":"QR-%d-%d","study":"S1","patientId":"P%d","visitId":"V%d","instrument":"phq-9"}`, p, v, p, v)
				if err := post(t.Context(), url, document); err != nil {
					failed <- err
					return
				}
				answered.Add(1)
			}
		})
	}
	until := func(n int64) {
		t.Helper()
		require.Eventually(t, func() bool { return answered.Load() >= n || len(failed) > 0 }, 3*time.Minute, 10*time.Millisecond, "%d of %d were answered", answered.Load(), n)
	}
	until(patients * visits / 5)
	second := consume(1) // a rebalance during work
	until(patients * visits * 2 / 5)
	k.Kill()
	k.Start()
	until(patients * visits * 3 / 5)
	require.NoError(t, first.cmd.Process.Kill())
	require.Error(t, first.cmd.Wait())
	poison := &kafka.Writer{Addr: kafka.TCP(k.Addr), Topic: updates, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	require.NoError(t, poison.WriteMessages(t.Context(), kafka.Message{Key: []byte("S1/P0"), Value: []byte("no event")}))
	require.NoError(t, poison.Close())
	first = consume(0)
	posting.Wait()
	require.Empty(t, failed)

	want := map[string]bool{}
	for p := range patients {
		for v := range visits {
			want[fmt.Sprintf("questionnaire-response/QR-%d-%d/1", p, v)] = true
		}
	}
	taken := func() map[string]bool {
		all := map[string]bool{}
		for _, folder := range folders {
			for _, e := range lines(t, folder) {
				all[e.ID] = true
			}
		}
		return all
	}
	require.Eventually(t, func() bool { return maps.Equal(taken(), want) }, time.Minute, 100*time.Millisecond, "what was answered is lost")
	for _, folder := range folders {
		next := map[string]int{}
		for _, e := range lines(t, folder) {
			var visit int
			_, err := fmt.Sscanf(e.VisitID, "V%d", &visit)
			require.NoError(t, err)
			require.GreaterOrEqual(t, visit, next[e.PatientID], "the events of %s are in another order", e.PatientID)
			next[e.PatientID] = visit
		}
	}
	dead := 0
	for _, folder := range folders {
		content, err := os.ReadFile(filepath.Join(folder, "dead.jsonl"))
		require.NoError(t, err)
		dead += bytes.Count(content, []byte("no event"))
	}
	require.Positive(t, dead, "what is no event was dropped")

	studies := t.TempDir()
	study := map[string]any{"schema": 1, "id": "S1", "version": 1, "title": "A study", "languages": []string{"en"}}
	var schedule []any
	for v := range visits {
		schedule = append(schedule, map[string]any{"id": fmt.Sprintf("V%d", v), "title": "A visit", "day": v + 1, "due": []string{"phq-9"}})
	}
	study["visits"] = schedule
	content, err := json.Marshal(study)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(studies, "S1.json"), content, 0o600))
	progress := casepressCommand(t, "progress", "--kafka="+k.Addr, "--studies="+studies, "--addr=127.0.0.1:0", "--data-dir="+t.TempDir())
	require.Eventually(t, func() bool { return answeredVisits(t, "http://"+progress("http")) == patients*visits }, time.Minute, 100*time.Millisecond)

	serve := casepressCommand(t, "serve", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--data-dir="+t.TempDir(), "--min-free-disk=0")
	casepressCommand(t, "relay", "--kafka="+k.Addr, "--addr="+serve("grpc"))
	require.NoError(t, post(t.Context(), "http://"+serve("http")+"/questionnaire-responses", `{"id":"QR-1","instrument":"phq-9","version":"1","study":"S1","patientId":"P1","visitId":"V9",
		"language":"en","authored":"2026-11-26T20:03:11+08:00","answers":{"1":0,"2":1,"3":2,"4":3,"5":0,"6":1,"7":2,"8":3,"9":0}}`))
	want["questionnaire-response/QR-1/1"] = true
	require.Eventually(t, func() bool { return maps.Equal(taken(), want) }, time.Minute, 100*time.Millisecond)

	for _, p := range []*process{producer, first, second} {
		p.signal(t)
		require.NoError(t, p.cmd.Wait(), p.logged())
	}
}

// answeredVisits counts the items of visits that have come, in time or not.
func answeredVisits(t *testing.T, url string) int {
	t.Helper()
	r, err := http.Get(url + "/trial-progress?study=S1")
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	var answer struct {
		Totals struct{ Completed, Early, Late int }
	}
	require.NoError(t, json.NewDecoder(r.Body).Decode(&answer))
	return answer.Totals.Completed + answer.Totals.Early + answer.Totals.Late
}
