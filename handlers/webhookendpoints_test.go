package handlers_test

import (
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	"casepress/tasks"
)

// webhookReceiver is a receiver on a socket of its own.
type webhookReceiver struct {
	*httptest.Server
	mu     sync.Mutex // guards the rest
	status int
	got    []http.Header
	bodies []string
}

func newWebhookReceiver(t *testing.T) *webhookReceiver {
	r := &webhookReceiver{status: 200}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil {
			r.got, r.bodies = append(r.got, q.Header), append(r.bodies, string(body))
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *webhookReceiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// wait returns what came once there is so much.
func (r *webhookReceiver) wait(t *testing.T, n int) ([]http.Header, []string) {
	t.Helper()
	var got []http.Header
	var bodies []string
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got, bodies = r.got, r.bodies
		return len(got) >= n
	}, patience, 5*time.Millisecond)
	require.Len(t, got, n)
	return got, bodies
}

func toLoopback(c *handlers.Config) {
	c.WebhookAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

func (s *service) postJSON(path, body string) answer {
	s.Helper()
	return s.do(s.request(http.MethodPost, path, strings.NewReader(body), "Content-Type", "application/json"))
}

func (s *service) delete(path string) answer {
	s.Helper()
	return s.do(s.request(http.MethodDelete, path, nil))
}

func TestWebhookEndpoint(t *testing.T) {
	s := open(t, with(toLoopback))
	r := newWebhookReceiver(t)
	s.publishEvents(2) // before: not sent
	a := s.postJSON("/webhook-endpoints", `{"url":"`+r.URL+`/x","types":["patient-data-update"],"study":"S1"}`).is(201)
	id, secret := a.get("id").(string), a.get("secret").(string)
	require.Regexp(t, "^whsec_", secret)
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	path := a.Header.Get("Location")
	require.Equal(t, "/webhook-endpoints/"+id, path)

	shown := s.get(path).is(200)
	require.NotContains(t, string(shown.body), secret)
	require.Regexp(t, "^2-", shown.get("position"))
	for name, want := range map[string]any{"state": "active", "study": "S1", "url": r.URL + "/x", "waiting": 0.0, "parked": 0.0, "reason": nil, "failingSince": nil, "lastError": nil, "secrets": 1.0} {
		require.Equal(t, want, shown.get(name), name)
	}
	require.JSONEq(t, `{"items":[`+string(shown.body)+`]}`, string(s.get("/webhook-endpoints").is(200).body))

	s.upload(field("reportId", "other"), field("patientId", "P1"), field("study", "S2"), file("a.jpg", photo(1))).is(202)
	s.upload(field("reportId", "r1"), field("patientId", "P1"), field("study", "S1"), file("a.jpg", photo(1))).is(202)
	got, bodies := r.wait(t, 1)
	require.Equal(t, "application/json", got[0].Get("Content-Type"))
	require.Regexp(t, "^evt_", got[0].Get("Webhook-Id"))
	require.Regexp(t, "^[0-9]{10}$", got[0].Get("Webhook-Timestamp"))
	require.Regexp(t, "^v1,", got[0].Get("Webhook-Signature"))
	var body struct {
		Type string
		Data struct{ ID, PatientID, Study string }
	}
	require.NoError(t, json.Unmarshal([]byte(bodies[0]), &body))
	require.Equal(t, "r1/1", body.Data.ID)
	require.Equal(t, "patient-data-update", body.Type)

	rotated := s.postJSON(path+"/rotate", "").is(200)
	require.NotEqual(t, secret, rotated.get("secret"))
	require.Equal(t, 2.0, s.get(path).get("secrets"))
	for range 3 {
		s.postJSON(path+"/rotate", "").is(200)
	}
	refused := s.postJSON(path+"/rotate", "").is(409, "too-many-webhook-secrets")
	require.Equal(t, false, refused.get("stored"))

	// All again, from before it was registered; those of other studies are left out.
	require.Equal(t, "active", s.postJSON(path+"/replay", `{"after":0}`).is(200).get("state"))
	got, _ = r.wait(t, 4)
	require.Len(t, strings.Fields(got[3].Get("Webhook-Signature")), 5)
	var deliveries answer
	require.Eventually(t, func() bool {
		deliveries = s.get(path + "/deliveries?state=delivered").is(200)
		return len(deliveries.get("items").([]any)) == 3
	}, patience, 5*time.Millisecond)
	newest := deliveries.get("items").([]any)[0].(map[string]any)
	require.Equal(t, []any{"r1/1", "delivered", 1.0, 200.0, nil}, []any{newest["eventId"], newest["state"], newest["attempts"], newest["lastStatus"], newest["lastError"]})
	page := s.get(path + "/deliveries?limit=2").is(200)
	require.Len(t, page.get("items"), 2)
	page = s.get(path + "/deliveries?limit=2&cursor=" + page.get("next").(string)).is(200)
	require.Len(t, page.get("items"), 1)
	require.Nil(t, page.get("next"))
	require.Empty(t, s.get(path+"/deliveries?state=parked").is(200).get("items"))

	// What fails is seen with its reason and age; 410 disables, a replay makes it active again.
	r.answers(500)
	s.postJSON(path+"/replay", `{"after":"`+s.get(path).get("position").(string)+`"}`).is(200)
	s.upload(field("reportId", "r2"), field("patientId", "P2"), field("study", "S1"), file("a.jpg", photo(1))).is(202)
	require.Eventually(t, func() bool { return s.get(path).get("waiting") == 1.0 }, patience, 5*time.Millisecond)
	failing := s.get(path)
	require.NotNil(t, failing.get("failingSince"))
	require.Equal(t, "the receiver answered 500", failing.get("lastError"))
	r.answers(410)
	s.upload(field("reportId", "r3"), field("patientId", "P3"), field("study", "S1"), file("a.jpg", photo(1))).is(202)
	require.Eventually(t, func() bool { return s.get(path).get("state") == "disabled" }, patience, 5*time.Millisecond)
	require.Contains(t, s.get(path).get("reason"), "410")
	r.answers(200)
	s.postJSON(path+"/replay", `{"after":0}`).is(200)
	require.Equal(t, "active", s.get(path).get("state"))

	s.delete(path).is(204)
	s.get(path).is(404, "webhook-endpoint-not-found")
	s.delete(path).is(404, "webhook-endpoint-not-found")
	s.postJSON(path+"/rotate", "").is(404, "webhook-endpoint-not-found")
	s.postJSON(path+"/replay", `{"after":0}`).is(404, "webhook-endpoint-not-found")
	s.get(path+"/deliveries").is(404, "webhook-endpoint-not-found")
	require.Empty(t, s.get("/webhook-endpoints").get("items"))
}

func TestWebhookEndpointRefused(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxWebhookEndpoints = 1 }))
	for body, field := range map[string]string{
		`{}`: "/url", `[]`: "body", ``: "body", `{"url":"https://example.org"}`: "/types", `{"url":"http://example.org","types":["patient-data-update"]}`: "/url",
		`{"url":"https://127.0.0.1","types":["patient-data-update"]}`:                               "/url",
		`{"url":"https://169.254.169.254/latest","types":["patient-data-update"]}`:                  "/url",
		`{"url":"https://u:p@example.org","types":["patient-data-update"]}`:                         "/url",
		`{"url":5,"types":["patient-data-update"]}`:                                                 "/url",
		`{"url":"https://example.org","types":[]}`:                                                  "/types",
		`{"url":"https://example.org","types":["alerts"]}`:                                          "/types/0",
		`{"url":"https://example.org","types":["patient-data-update"],"study":"a b"}`:               "/study",
		`{"url":"https://example.org","types":["patient-data-update"],"secret":"x"}`:                "/secret",
		`{"url":"https://example.org","types":["patient-data-update","patient-data-update"]}`:       "/types/1",
		`{"url":"https://example.org","types":["patient-data-update"],"url":"https://example.com"}`: "/url",
	} {
		a := s.postJSON("/webhook-endpoints", body).is(400, "invalid-input")
		require.Equal(t, field, a.get("errors").([]any)[0].(map[string]any)["field"], body)
		require.Equal(t, false, a.get("stored"), body)
	}
	s.postJSON("/webhook-endpoints", `{"url":"https://example.org/`+strings.Repeat("x", 9000)+`","types":["patient-data-update"]}`).is(413)
	require.Empty(t, s.get("/webhook-endpoints").get("items"))
	path := s.postJSON("/webhook-endpoints", `{"url":"https://example.org","types":["patient-data-update"]}`).is(201).Header.Get("Location")
	require.Equal(t, 1.0, s.postJSON("/webhook-endpoints", `{"url":"https://example.org","types":["patient-data-update"]}`).is(409, "too-many-webhook-endpoints").get("limit"))
	for body, status := range map[string]int{
		`{"after":1}`: 400, `{"after":"1-000000000000"}`: 410, `{"after":"0-aaaaaaaaaaaa"}`: 400, `{"after":-1}`: 400, `{"after":1.0}`: 400, `{"after":null}`: 400, `{}`: 400, `{"after":"x"}`: 400, `{"after":0}`: 200, `{"after":"0"}`: 200,
	} {
		s.postJSON(path+"/replay", body).is(status)
	}
	for _, query := range []string{"state=gone", "limit=0", "limit=201", "cursor=x", "cursor=1-aaaaaaaaaaaa", "x=1"} {
		s.get(path+"/deliveries?"+query).is(400, "invalid-input")
	}
	s.get(path+"?x=1").is(400, "invalid-input")
	s.get("/webhook-endpoints?x=1").is(400, "invalid-input")
}

// A replay goes back, or stays where sending is: no event is skipped without a word.
func TestWebhookReplaySkipsNothing(t *testing.T) {
	s := open(t, with(toLoopback))
	r := newWebhookReceiver(t)
	r.answers(410)
	s.publishEvents(2)
	path := s.postJSON("/webhook-endpoints", `{"url":"`+r.URL+`","types":["patient-data-update"]}`).is(201).Header.Get("Location")
	_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, eventMessage(t, 3))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.get(path).get("state") == "disabled" }, patience, 5*time.Millisecond)
	_, err = s.Broker.Publish(t.Context(), tasks.TopicUpdates, eventMessage(t, 4), eventMessage(t, 5))
	require.NoError(t, err)
	position := s.get(path).get("position").(string)
	last := s.get("/events").page().Next
	for _, after := range []string{"5", strconv.Quote(last)} {
		wrong := s.postJSON(path+"/replay", `{"after":`+after+`}`).is(400, "invalid-input").get("errors").([]any)[0].(map[string]any)
		require.Equal(t, "/after", wrong["field"])
		require.Contains(t, wrong["detail"], position)
	}
	require.Equal(t, "disabled", s.get(path).get("state"))
	r.answers(200)
	s.postJSON(path+"/replay", `{"after":"`+position+`"}`).is(200)
	require.Eventually(t, func() bool { return s.get(path).get("position") == last }, patience, 5*time.Millisecond)
}

// Two who register at once get two endpoints, and not one more than there may be.
func TestWebhookEndpointsAtOnce(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxWebhookEndpoints = 3 }))
	statuses := make(chan int, 8)
	for range cap(statuses) {
		go func() {
			r, err := s.client.Post(s.url+"/webhook-endpoints", "application/json", strings.NewReader(`{"url":"https://192.0.2.1","types":["patient-data-update"]}`))
			if err != nil {
				statuses <- 0
				return
			}
			_ = r.Body.Close()
			statuses <- r.StatusCode
		}()
	}
	for range cap(statuses) {
		require.Equal(t, 400, <-statuses, "a documentation address is never public")
	}
	for range cap(statuses) {
		go func() {
			r, err := s.client.Post(s.url+"/webhook-endpoints", "application/json", strings.NewReader(`{"url":"https://example.org","types":["patient-data-update"]}`))
			if err != nil {
				statuses <- 0
				return
			}
			_ = r.Body.Close()
			statuses <- r.StatusCode
		}()
	}
	count := map[int]int{}
	for range cap(statuses) {
		count[<-statuses]++
	}
	require.Equal(t, map[int]int{201: 3, 409: 5}, count)
	require.Len(t, s.get("/webhook-endpoints").get("items"), 3)
}

// Where the log takes an act and the rows do not show it, the secret is told all the same, and no answer says that nothing is
// stored. What cannot be decided on without the rows is not stored.
func TestWebhookActsBehindTheLog(t *testing.T) {
	s := open(t, with(toLoopback), func(set *settings) { set.readTimeout = 50 * time.Millisecond })
	const endpoint = `{"url":"http://127.0.0.1:9/","types":["adverse-event"]}`
	post := func(path, body string) answer { // a busy machine may be behind without a fault
		a := s.postJSON(path, body)
		for ; a.StatusCode == 503; a = s.postJSON(path, body) {
			require.Equal(t, false, a.get("stored"))
			runtime.Gosched()
		}
		return a
	}
	id := post("/webhook-endpoints", endpoint).is(201).get("id").(string)
	// Each act is stored while the rows are locked, and the next has to wait for it.
	for _, act := range []struct {
		path, body string
		status     int
		stored     any
	}{
		{"/webhook-endpoints", endpoint, 201, nil},
		{"/webhook-endpoints/" + id + "/rotate", "", 200, nil},
		{"/webhook-endpoints/" + id + "/replay", `{"after":0}`, 503, true},
	} {
		for s.get("/webhook-endpoints").StatusCode != 200 {
			runtime.Gosched()
		}
		unlock := s.lockRows()
		a := s.postJSON(act.path, act.body)
		require.Equal(t, act.status, a.StatusCode, "%s: %s", act.path, a.body)
		if act.stored != nil {
			require.Equal(t, act.stored, a.get("stored"))
		} else {
			require.NotEmpty(t, a.get("secret"))
		}
		require.Equal(t, false, s.postJSON("/webhook-endpoints", endpoint).is(503, "rows-behind").get("stored"))
		unlock()
	}
	list := s.get("/webhook-endpoints")
	for ; list.StatusCode != 200; list = s.get("/webhook-endpoints") {
		runtime.Gosched()
	}
	require.Len(t, list.get("items"), 2)
}

// A row that takes no more changes, for it says that it has them: nobody is told a secret that is not kept.
func TestRotateOfAnEndpointThatTakesNoChange(t *testing.T) {
	s := open(t, with(toLoopback))
	path := s.postJSON("/webhook-endpoints", `{"url":"http://127.0.0.1:9/x","types":["patient-data-update"]}`).is(201).Header.Get("Location")
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "casepress.db"))
	require.NoError(t, err)
	_, err = db.Exec("UPDATE webhook_endpoints SET changed = 1000")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	refused := s.postJSON(path+"/rotate", "").is(503, "rows-damaged")
	require.Nil(t, refused.get("secret"))
}

// A query or a body that does not count is refused, and nothing is done.
func TestWebhookActsRefuseWhatDoesNotCount(t *testing.T) {
	s := open(t, with(toLoopback))
	path := s.postJSON("/webhook-endpoints", `{"url":"http://127.0.0.1:9/x","types":["patient-data-update"]}`).is(201).Header.Get("Location")
	for _, act := range []string{"/rotate", "/replay"} {
		s.postJSON(path+act+"?x=1", `{}`).is(400, "invalid-input")
		s.postJSON(path+act, `{"x":`).is(400)
		s.postJSON(path+act, `{"x":1}`).is(400, "invalid-input")
	}
	s.delete(path+"?dryRun=true").is(400, "invalid-input")
	s.do(s.request(http.MethodDelete, path, strings.NewReader("{"), "Content-Type", "application/json")).is(400)
	require.Equal(t, 1.0, s.get(path).is(200).get("secrets"))
	s.postJSON(path+"/rotate", "{}").is(200)
}
