package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// alertReceiver takes events and alerts, all but those that it fails.
type alertReceiver struct {
	*httptest.Server
	mu     sync.Mutex // guards the rest
	fails  func() bool
	alerts map[string]int // how often each was taken, by its webhook-id
	cases  map[string]int // how many alerts were taken, by case
}

func newAlertReceiver(t *testing.T) *alertReceiver {
	r := &alertReceiver{fails: func() bool { return false }, alerts: map[string]int{}, cases: map[string]int{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *alertReceiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var body struct {
		Type string
		Data struct{ SubmissionID string }
	}
	text, err := io.ReadAll(q.Body)
	if err != nil || json.Unmarshal(text, &body) != nil {
		return // the sender was killed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if body.Type == "adverse-event-alert" {
		r.alerts[q.Header.Get("Webhook-Id")]++
		r.cases[body.Data.SubmissionID]++
	}
}

// register registers an endpoint of the receiver for events of this type.
func (r *alertReceiver) register(t *testing.T, s *process, eventType string) (id string) {
	t.Helper()
	code, _, answer, err := send(t.Context(), http.MethodPost, s.url+"/webhook-endpoints", "application/json", fmt.Appendf(nil, `{"url":%q,"types":[%q]}`, r.URL, eventType))
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, code, "%s", answer)
	var registered struct{ ID string }
	require.NoError(t, json.Unmarshal(answer, &registered))
	return registered.ID
}

// writeLadder writes the file of study S1.
func writeLadder(t *testing.T, dir, rungs string) {
	t.Helper()
	content := `{"schema":1,"id":"S1","version":1,"title":"A","languages":["en"],"adverseEvents":{"limitHours":24,"ladder":{"rungs":[` + rungs + `],"repeatMinutes":5}}}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "S1.json"), []byte(content), 0o600))
}

// drill runs casepress drill sae.
func (s *process) drill(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"drill", "sae", "--server=" + s.url}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestDrill runs the drill without a ladder, with one, and where nobody can be told.
func TestDrill(t *testing.T) {
	t.Parallel()
	data, studies, r := t.TempDir(), t.TempDir(), newAlertReceiver(t)
	args := []string{"--webhook-allow=127.0.0.0/8", "--studies=" + studies}
	s := start(t, data, args...)

	out, told, err := s.drill(t, "--within=1s")
	require.Error(t, err, "nobody is there")
	require.Contains(t, told, "casepress: the drill did not hold: somebody notified, timeline as JSON")
	require.Contains(t, out, "DID NOT HOLD: no channel has taken an alert of it")
	require.Contains(t, out, "closed", "it is ended all the same")

	registered := r.register(t, s, "adverse-event")
	out, told, err = s.drill(t)
	require.NoError(t, err, "%s %s", out, told)
	require.Contains(t, out, "The drill held.")
	require.NotContains(t, out, "DID NOT HOLD")
	require.Regexp(t, `notified +\d+\.\d{3} s +\d+\.\d{3} s +`+registered, out)

	endpoint := r.register(t, s, "patient-data-update")
	writeLadder(t, studies, fmt.Sprintf(`{"who":"nobody","webhook":"gone"},{"who":"nurse","webhook":%q,"afterMinutes":15}`, endpoint))
	s.stop(t)
	s = start(t, data, args...)
	out, told, err = s.drill(t, "--study=S1", "--name=Ann")
	require.NoError(t, err, "%s %s", out, told)
	require.Contains(t, out, "nobody · gone · there is no such webhook endpoint")
	require.Regexp(t, `notified .* nurse · `+endpoint, out)
	require.Regexp(t, `acknowledged .* Ann`, out)
	require.Len(t, r.alerts, 1)

	code, _, page := s.get(t, "/adverse-events")
	require.Equal(t, http.StatusOK, code)
	require.NotContains(t, string(page), "DRILL-")
	_, _, page = s.get(t, "/adverse-events?exercise=only&state=closed")
	require.Equal(t, 3, strings.Count(string(page), `"id":"DRILL-`))
	code, _, metrics, err := send(t.Context(), http.MethodGet, s.admin+"/metrics", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, string(metrics), `casepress_submissions{kind="adverse-event",status="completed"} 0`)
	_, _, channels := s.get(t, "/alert-channels")
	require.Contains(t, string(channels), "there is no such webhook endpoint")

	s.stop(t)
	_, told, err = s.drill(t)
	require.Error(t, err)
	require.Contains(t, told, "the drill did not hold: accepted")
}

// TestAlertsAcrossKills kills the real binary at random moments while people are told of cases by a receiver that fails now and
// then. Everybody is told of every case, with one id each, and no rung and attempt is on a timeline twice.
func TestAlertsAcrossKills(t *testing.T) {
	t.Parallel()
	const cases, kills = 60, 4
	data, studies, r := t.TempDir(), t.TempDir(), newAlertReceiver(t)
	args := []string{"--webhook-allow=127.0.0.0/8", "--studies=" + studies}
	s := start(t, data, args...)
	writeLadder(t, studies, fmt.Sprintf(`{"who":"nurse","webhook":%q},{"who":"doctor","webhook":%q}`, r.register(t, s, "patient-data-update"), r.register(t, s, "patient-data-update")))
	s.stop(t)
	s = start(t, data, args...)
	r.mu.Lock()
	r.fails = func() bool { return rand.N(20) == 0 }
	r.mu.Unlock()
	for i := range cases {
		body := fmt.Sprintf(`{"id":"AE-%d","study":"S1","patientId":"P%d","description":"a rash","knownAt":%q}`, i, i, time.Now().UTC().Format(time.RFC3339))
		code, _, answer, err := send(t.Context(), http.MethodPost, s.url+"/adverse-events", "application/json", []byte(body))
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, code, "%s", answer)
		if i%(cases/kills) == cases/kills/2 {
			s.kill()
			require.NotContains(t, s.logs.String(), "panic")
			s = start(t, data, args...)
		}
	}
	r.mu.Lock()
	r.fails = func() bool { return false }
	r.mu.Unlock()
	for i := range cases {
		type step struct {
			Step, Who     string
			Rung, Attempt int
		}
		var shown struct {
			State    string
			Timeline []step
		}
		require.Eventually(t, func() bool { // a rung that failed last is tried again within a minute
			_, _, body := s.get(t, fmt.Sprintf("/adverse-events/AE-%d", i))
			require.NoError(t, json.Unmarshal(body, &shown))
			tried := map[string]bool{}
			for _, one := range shown.Timeline {
				tried[one.Who] = tried[one.Who] || one.Rung > 0
			}
			return tried["nurse"] && tried["doctor"] && shown.State == "notified"
		}, 2*time.Minute, 20*time.Millisecond, "%s", s.logs)
		seen := map[step]bool{}
		for _, one := range shown.Timeline {
			one.Step, one.Who = "", ""
			require.False(t, one.Rung > 0 && seen[one], "AE-%d: %+v", i, shown.Timeline)
			seen[one] = true
		}
	}
	s.stop(t)
	repeats := 0
	for _, times := range r.alerts {
		repeats += times - 1
	}
	require.LessOrEqual(t, repeats, kills*8, "no more than were on their way")
	for i := range cases {
		require.Positive(t, r.cases[fmt.Sprintf("AE-%d", i)])
	}
	t.Logf("%d alerts, %d came more than once", len(r.alerts), repeats)
}
