package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// flakyReceiver takes events, but one in fifteen only at the second attempt: the first one fails in one of several ways.
type flakyReceiver struct {
	*httptest.Server
	mu        sync.Mutex                 // guards the rest
	tried     map[string]bool            // by event
	delivered map[string]int             // how often, by event
	ids       map[string]map[string]bool // webhook-ids by event
	order     map[string][]int           // sequences by patient, in the order in which they were first taken
	eventOf   map[string]string          // by submission
	repeats   int
	left      int // how many more until enough is closed
	enough    chan struct{}
}

func newFlakyReceiver(t *testing.T) *flakyReceiver {
	r := &flakyReceiver{tried: map[string]bool{}, delivered: map[string]int{}, ids: map[string]map[string]bool{}, order: map[string][]int{}, eventOf: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *flakyReceiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var body struct {
		Data struct {
			ID, PatientID string
			Sequence      int
			Data          struct{ SubmissionID string }
		}
	}
	text, err := io.ReadAll(q.Body)
	if err != nil || json.Unmarshal(text, &body) != nil {
		return // the sender was killed
	}
	e := body.Data
	r.mu.Lock()
	r.eventOf[e.Data.SubmissionID] = e.ID
	first := !r.tried[e.ID]
	r.tried[e.ID] = true
	if r.ids[e.ID] == nil {
		r.ids[e.ID] = map[string]bool{}
	}
	r.ids[e.ID][q.Header.Get("Webhook-Id")] = true
	trouble := rand.N(15)
	if !first || trouble > 0 {
		if r.delivered[e.ID]++; r.delivered[e.ID] > 1 {
			r.repeats++
		} else {
			r.order[e.PatientID] = append(r.order[e.PatientID], e.Sequence)
			if r.left--; r.left == 0 {
				close(r.enough)
			}
		}
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	switch rand.N(4) {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		panic(http.ErrAbortHandler)
	case 2:
		http.Redirect(w, q, "http://127.0.0.1:1/", http.StatusFound)
	default:
		<-q.Context().Done() // hangs
	}
}

// more is closed when n more events have arrived.
func (r *flakyReceiver) more(n int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.enough = n, make(chan struct{})
	return r.enough
}

func (r *flakyReceiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.delivered)
}

// TestWebhooksAcrossKills kills the real binary at random moments while events are sent to a receiver that fails, hangs, resets and
// redirects. Every event arrives at least once, with one id each, and those of a patient in their order.
func TestWebhooksAcrossKills(t *testing.T) {
	events, kills := 600, 3
	if n, err := strconv.Atoi(os.Getenv("CASEPRESS_KILL_ROUNDS")); err == nil && n > 6 {
		events, kills = 10_000, 12
	}
	// The timeout is long enough for a busy machine: what fails at its second attempt, too, is tried again after five minutes.
	args := []string{"--webhook-allow=127.0.0.0/8", "--webhook-timeout=10s", "--webhook-connections=16"}
	data, r := t.TempDir(), newFlakyReceiver(t)
	s := start(t, data, args...)
	code, _, answer, err := send(t.Context(), http.MethodPost, s.url+"/webhook-endpoints", "application/json",
		fmt.Appendf(nil, `{"url":%q,"types":["patient-data-update"]}`, r.URL))
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, code, "%s", answer)

	var ids []string
	send200 := func() {
		var batch bytes.Buffer
		var of []string
		for range 200 {
			id := uuid.NewString()
			of = append(of, id)
			fmt.Fprintf(&batch, `{"id":%q,"instrument":"phq-9","version":"1","patientId":"P%d","language":"en","authored":"2026-11-26T20:03:11+08:00","answers":{"1":0,"2":1,"3":2,"4":3,"5":0,"6":1,"7":2,"8":3,"9":0}}`+"\n", id, rand.N(400))
		}
		code, _, answer, err := send(t.Context(), http.MethodPost, s.url+"/questionnaire-responses/batch", "application/x-ndjson", batch.Bytes())
		require.NoError(t, err)
		require.Equal(t, http.StatusMultiStatus, code)
		require.Equal(t, 200, bytes.Count(answer, []byte(`"status":201`)), "%s", answer)
		ids = append(ids, of...)
	}
	killed := 0
	for len(ids) < events {
		send200()
		if killed < kills && rand.N(events/200) < kills {
			// In the middle of sending: some of them have arrived.
			select {
			case <-r.more(1 + rand.N(100)):
			case <-time.After(time.Second): // all have arrived
			}
			s.kill()
			require.NotContains(t, s.logs.String(), "panic")
			s = start(t, data, args...)
			killed++
		}
	}
	for killed == 0 || rand.N(2) == 0 { // and while it catches up
		s.kill()
		s = start(t, data, args...)
		killed++
	}
	require.Eventually(t, func() bool { return r.count() >= len(ids) }, 8*time.Minute, 50*time.Millisecond, "%s", s.logs)
	s.stop(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Len(t, r.delivered, len(ids))
	for _, id := range ids {
		event := r.eventOf[id] // the only one, for there are no more than responses
		require.Positive(t, r.delivered[event], "%s never arrived", event)
		require.Len(t, r.ids[event], 1, "%s came under several ids", event)
	}
	seen := map[string]bool{}
	for _, of := range r.ids {
		for id := range of {
			require.False(t, seen[id], "%s is that of two events", id)
			seen[id] = true
		}
	}
	for patient, sequences := range r.order {
		require.IsIncreasing(t, sequences, "the order of %s", patient)
	}
	t.Logf("%d events, killed %d times, %d came more than once", len(ids), killed, r.repeats)
}
