package handlers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

// One client that is slow to take long answers keeps others from theirs no more than from anything else, and takes no memory
// without bound.
func TestLongAnswersAreBounded(t *testing.T) {
	for name, limit := range map[string]int{"with shares": 0, "behind a proxy": -1} {
		t.Run(name, func(t *testing.T) {
			s := open(t, withCases(t), with(func(c *handlers.Config) { c.ClientHeader, c.MaxUploadsPerAddress = "X-Client", limit }))
			s.longCase("AE-1")
			s.report("AE-2").is(201)
			s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":"AE-3","patientId":"P1","knownAt":%q,"description":%q}`, tonight, strings.Repeat("🦠", 4000))).is(201)
			s.handedOver("AE-3")
			receipts := `{"items":[` + strings.Repeat(`{"id":"unknown","sha256":"`+digestOf("")+`"},`, 299) + `{"id":"unknown","sha256":"` + digestOf("") + `"}]}`
			ask := func(client, path string) answer {
				t.Helper()
				if path == "/receipts/check" {
					return s.send(http.MethodPost, path, receipts, "X-Client", client)
				}
				return s.get(path, "X-Client", client)
			}
			step := func() answer {
				return s.send(http.MethodPost, "/adverse-events/AE-1/acknowledge", `{"name":"Ann","decision":"sae"}`, "X-Client", "192.0.2.1")
			}
			require.Len(t, step().is(200).get("timeline"), 50)
			for _, path := range []string{
				"/adverse-events", "/adverse-events/AE-3", "/adverse-events/AE-1/timeline.pdf", "/events?limit=1000", "/receipts/check",
			} {
				require.Greater(t, len(ask("192.0.2.1", path).is(200).body), 16<<10, path)
				ended := func() {
					require.Eventually(t, func() bool { return handlers.AnswersHeld(s.API) == 0 }, patience, time.Millisecond)
				}
				ended() // a client may have all of an answer before its handler ends
				release := handlers.HoldAnswers(s.API, "192.0.2.1", 16<<20)
				if limit < 0 {
					ask("192.0.2.1", path).is(200)
				} else {
					ask("192.0.2.1", path).is(503, "overloaded")
				}
				ask("192.0.2.2", path).is(200)
				others := handlers.HoldAnswers(s.API, "192.0.2.3", 48<<20)
				ask("192.0.2.2", path).is(200) // and one more client would get its answer
				most := handlers.HoldAnswers(s.API, "192.0.2.4", 16<<20)
				ask("192.0.2.2", path).is(503, "overloaded")
				ask("192.0.2.2", "/adverse-events/AE-2").is(200) // is short
				cut := step().is(200)
				require.Equal(t, true, cut.get("timelineCut"))
				require.Len(t, cut.get("timeline"), 1)
				most()
				others()
				release()
				ended()
			}
		})
	}
}

// heldWriter is a client that takes nothing of an answer until it is let go.
type heldWriter struct {
	*httptest.ResponseRecorder
	begun func()
	taken chan struct{}
}

func (w heldWriter) Write(p []byte) (int, error) {
	w.begun()
	<-w.taken
	return w.ResponseRecorder.Write(p)
}

// What is being sent counts until it is sent: a long answer among those, and the answer to a batch, which is stored, among batches.
func TestAnswersThatAreBeingSentCount(t *testing.T) {
	s := open(t, withCases(t))
	s.longCase("AE-1")
	line := response("QR-1", "")
	for _, one := range []struct {
		method, path, body string
		status, least      int
		held               func(*handlers.API) int64
	}{
		{http.MethodGet, "/adverse-events?limit=1", "", 200, 0, handlers.AnswersHeld},
		{http.MethodGet, "/adverse-events/AE-1/timeline.pdf", "", 200, 16 << 10, handlers.AnswersHeld},
		{http.MethodPost, "/questionnaire-responses/batch", line, 207, len(line) + 500, handlers.BatchesHeld},
	} {
		begun := make(chan struct{})
		w := heldWriter{httptest.NewRecorder(), sync.OnceFunc(func() { close(begun) }), make(chan struct{})}
		r := httptest.NewRequest(one.method, "http://localhost"+one.path, strings.NewReader(one.body))
		r.Header.Set("Content-Type", "application/x-ndjson")
		var served sync.WaitGroup
		served.Go(func() { s.API.ServeHTTP(w, r) })
		<-begun
		require.GreaterOrEqual(t, one.held(s.API), int64(one.least), one.path)
		if one.least == 0 {
			require.Zero(t, one.held(s.API), "short")
		}
		close(w.taken)
		served.Wait()
		require.Equal(t, one.status, w.Code)
		require.Zero(t, one.held(s.API))
	}
}
