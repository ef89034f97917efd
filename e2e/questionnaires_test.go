package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// answered is the 201 to a questionnaire response.
type answered struct {
	ID            string
	Revision      int
	Receipt       json.RawMessage
	Flags         json.RawMessage
	AdverseEvents []string
	body          []byte
}

// TestKillWithQuestionnaires kills the real binary at random moments while patients answer, amend and send the same again.
// Every 201 ever answered stands for good: the same receipt and flags, scored, and one open adverse event for each flag.
func TestKillWithQuestionnaires(t *testing.T) {
	t.Parallel()
	rounds := 4
	if n, err := strconv.Atoi(os.Getenv("CASEPRESS_KILL_ROUNDS")); err == nil {
		rounds = n
	}
	data := t.TempDir()
	var mu sync.Mutex
	known := map[string]answered{} // by id and revision
	offered := 0
	for range rounds {
		s := start(t, data)
		ctx, cancel := context.WithCancel(t.Context())
		var patients sync.WaitGroup
		killAt := make(chan struct{}) // closed by an answer that chance has chosen, with others under way
		left := rand.N(200)
		if left == 0 {
			close(killAt)
		}
		for range 6 {
			patients.Go(func() {
				for ctx.Err() == nil {
					mu.Lock()
					offered++
					a := nextResponse(known)
					mu.Unlock()
					code, _, answer, err := send(ctx, http.MethodPut, s.url+"/questionnaire-responses/"+a.ID, "application/json", a.body)
					if err != nil {
						return // the server is dead
					}
					if code == http.StatusConflict && a.Revision > 1 {
						continue // somebody else has amended it
					}
					told := answered{body: a.body} // a shares what it was told before with known
					if code != http.StatusCreated || json.Unmarshal(answer, &told) != nil {
						t.Errorf("%d %s", code, answer)
						return
					}
					a = told
					mu.Lock()
					key := fmt.Sprintf("%s %d", a.ID, a.Revision)
					if before, again := known[key]; again {
						if string(before.Receipt) != string(a.Receipt) || string(before.Flags) != string(a.Flags) {
							t.Errorf("%s: %s and then %s", key, before.Receipt, a.Receipt)
						}
					}
					known[key] = a
					if left--; left == 0 {
						close(killAt)
					}
					mu.Unlock()
				}
			})
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			patients.Wait()
		}()
		select {
		case <-killAt:
		case <-ended: // all have failed
		}
		s.kill()
		cancel()
		<-ended
		require.NotContains(t, s.logs.String(), "panic")
	}
	require.NotEmpty(t, known)
	t.Logf("%d rounds, %d sent, %d answered", rounds, offered, len(known))

	s := start(t, data)
	events := map[string]bool{}
	for key, a := range known {
		var shown struct {
			Status        string
			Receipt       json.RawMessage
			AdverseEvents []string
			Scores        []json.RawMessage
		}
		var body []byte
		for until := time.Now().Add(5 * patience); shown.Status != "completed" && time.Now().Before(until); { // each kill may have left some that run alone
			var code int
			code, _, body = s.get(t, fmt.Sprintf("/questionnaire-responses/%s?revision=%d&wait=30s", a.ID, a.Revision))
			require.Equal(t, http.StatusOK, code, "%s: %s", key, body)
			require.NoError(t, json.Unmarshal(body, &shown))
		}
		require.Equal(t, "completed", shown.Status, "%s: %s", key, body)
		require.JSONEq(t, string(a.Receipt), string(shown.Receipt), key)
		require.NotEmpty(t, shown.Scores)
		_, _, original := s.get(t, fmt.Sprintf("/questionnaire-responses/%s/original?revision=%d", a.ID, a.Revision))
		require.Equal(t, string(a.body), string(original))
		require.Subset(t, shown.AdverseEvents, a.AdverseEvents, "beside those of other revisions")
		for _, id := range a.AdverseEvents {
			require.False(t, events[id], "two flags with one adverse event")
			events[id] = true
			code, _, body := s.get(t, "/adverse-events/"+id+"?wait=30s")
			require.Equal(t, http.StatusOK, code, "%s of %s is lost: %s", id, key, body)
			require.Contains(t, string(body), `"state":"open"`)
		}
	}
	require.NotEmpty(t, events)
	listed := map[string]bool{}
	for cursor := ""; ; {
		_, _, body := s.get(t, "/adverse-events?limit=200"+cursor)
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		require.NoError(t, json.Unmarshal(body, &page))
		for _, item := range page.Items {
			require.False(t, listed[item.ID], "%s is there twice", item.ID)
			listed[item.ID] = true
		}
		if page.Next == "" {
			break
		}
		cursor = "&cursor=" + page.Next
	}
	for id := range events {
		require.True(t, listed[id], id)
	}
	s.stop(t)
}

// nextResponse is a new response, one of before once more, or an amendment of one.
func nextResponse(known map[string]answered) answered {
	const form = `{"instrument":"phq-9","version":"1","patientId":"P%d","language":"en","authored":"2026-11-26T20:03:11+08:00",%s
		"answers":{"1":0,"2":1,"3":2,"4":3,"5":0,"6":1,"7":2,"8":3,"9":%d}}`
	patient := rand.N(20)
	if what := rand.N(4); what < 2 && len(known) > 0 {
		for _, a := range known { // map order is random enough
			if what == 0 {
				return a
			}
			var before struct{ PatientID string }
			_ = json.Unmarshal(a.body, &before) // it was taken
			n, _ := strconv.Atoi(before.PatientID[1:])
			amends := fmt.Sprintf(`"amends":{"revision":%d,"reason":"again"},`, a.Revision)
			return answered{ID: a.ID, Revision: a.Revision + 1, body: fmt.Appendf(nil, form, n, amends, rand.N(4))}
		}
	}
	return answered{ID: uuid.NewString(), Revision: 1, body: fmt.Appendf(nil, form, patient, "", rand.N(4))}
}
