package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/broker"
	"casepress/service"
	"casepress/store"
	"casepress/tasks"
)

// shownCase is an adverse event as GET shows it. Timeline is compared byte for byte.
type shownCase struct {
	ID, State, Status string
	Acknowledgement   *struct{ Name, Decision string }
	Closing           *struct{ Name string }
	Clock, Receipt    json.RawMessage
	Timeline          json.RawMessage
}

// line is one step of a timeline.
type line struct{ Step, Who, Decision, Of, Description, Reason string }

func (c shownCase) lines(t require.TestingT) (lines []line) {
	require.NoError(t, json.Unmarshal(c.Timeline, &lines))
	return lines
}

func post(s *service.Service, path, body string) (int, []byte) {
	answer := do(s.API, http.MethodPost, path, "application/json", []byte(body))
	return answer.Code, answer.Body.Bytes()
}

func caseOf(t require.TestingT, s *service.Service, id string) (c shownCase) {
	answer := do(s.API, http.MethodGet, "/adverse-events/"+id+"?wait=30s", "", nil)
	require.Equal(t, http.StatusOK, answer.Code, "%s", answer.Body)
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &c))
	return c
}

func reportBody(id string) string {
	return fmt.Sprintf(`{"id":%q,"patientId":"P001","description":"a rash","knownAt":%q}`, id, time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
}

// modelCase is what a case must be.
type modelCase struct {
	state    string
	decision string
	lines    []line
	before   map[string]int // what was answered to a body
}

// TestCasesAgainstAModel lets several people acknowledge, follow up and close cases in any order, repeats included, and holds
// every answer and every timeline against a model. The database is deleted now and then: what is made again is the same.
func TestCasesAgainstAModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, config(dir))
	defer func() { require.NoError(t, closeNow(s)) }()
	runs := 0
	people := []string{"Ann", "Bob", "Eve"}
	rapid.Check(t, func(t *rapid.T) {
		runs++
		cases := map[string]*modelCase{}
		ids := make([]string, 3)
		for i := range ids {
			ids[i] = fmt.Sprintf("AE-%d-%d", runs, i)
			code, body := post(s, "/adverse-events", reportBody(ids[i]))
			require.Equal(t, http.StatusCreated, code, "%s", body)
			require.Equal(t, "completed", caseOf(t, s, ids[i]).Status) // handed over before anything else is done with it
			cases[ids[i]] = &modelCase{state: "open", lines: []line{{Step: "received"}, {Step: "handed-over"}}, before: map[string]int{}}
		}
		person := rapid.SampledFrom(people)
		anyCase := rapid.SampledFrom(ids)
		act := func(t *rapid.T, id, step, body string, want int, l line) {
			c := cases[id]
			if was, again := c.before[step+body]; again {
				want = was // and nothing is added
			} else if l.Step != "" {
				c.before[step+body] = want
				c.lines = append(c.lines, l)
			}
			code, answer := post(s, "/adverse-events/"+id+"/"+step, body)
			require.Equal(t, want, code, "%s %s: %s", step, body, answer)
			shown := caseOf(t, s, id)
			require.Equal(t, c.state, shown.State)
			// A busy machine may have handed it over late.
			require.Equal(t, c.lines, slices.DeleteFunc(shown.lines(t), func(l line) bool { return l.Step == "queued" }))
		}
		t.Repeat(map[string]func(*rapid.T){
			"acknowledge": func(t *rapid.T) {
				id, who, decision := anyCase.Draw(t, "case"), person.Draw(t, "who"), rapid.SampledFrom(tasks.Decisions()).Draw(t, "decision")
				c := cases[id]
				of, body := "", fmt.Sprintf(`{"name":%q,"decision":%q}`, who, decision)
				if decision == "duplicate" {
					if of = anyCase.Draw(t, "of"); of == id {
						return
					}
					body = fmt.Sprintf(`{"name":%q,"decision":%q,"of":%q}`, who, decision, of)
				}
				_, again := c.before["acknowledge"+body]
				switch {
				case again:
					act(t, id, "acknowledge", body, 0, line{})
				case c.state == "open" && of != "" && cases[of].decision == "duplicate":
					act(t, id, "acknowledge", body, http.StatusBadRequest, line{})
				case c.state == "open":
					c.state, c.decision = "acknowledged", decision
					act(t, id, "acknowledge", body, http.StatusOK, line{Step: "acknowledged", Who: who, Decision: decision, Of: of})
				default:
					act(t, id, "acknowledge", body, http.StatusConflict, line{Step: "acknowledgement-refused", Who: who, Decision: decision, Of: of})
				}
			},
			"follow up": func(t *rapid.T) {
				id, who, n := anyCase.Draw(t, "case"), person.Draw(t, "who"), rapid.IntRange(1, 3).Draw(t, "n")
				act(t, id, "follow-ups", fmt.Sprintf(`{"id":"F-%s-%d","description":"more %d","name":%q}`, who, n, n, who), http.StatusCreated,
					line{Step: "follow-up", Who: who, Description: fmt.Sprintf("more %d", n)})
			},
			"close": func(t *rapid.T) {
				id, who := anyCase.Draw(t, "case"), person.Draw(t, "who")
				c := cases[id]
				body := fmt.Sprintf(`{"name":%q,"reason":"done"}`, who)
				_, again := c.before["close"+body]
				switch {
				case again:
					act(t, id, "close", body, 0, line{})
				case c.state == "open":
					act(t, id, "close", body, http.StatusConflict, line{})
				case c.state == "acknowledged":
					c.state = "closed"
					act(t, id, "close", body, http.StatusOK, line{Step: "closed", Who: who, Reason: "done"})
				default:
					act(t, id, "close", body, http.StatusConflict, line{Step: "closing-refused", Who: who, Reason: "done"})
				}
			},
		})
		if runs%20 == 0 {
			was := map[string]shownCase{}
			for _, id := range ids {
				was[id] = caseOf(t, s, id)
			}
			require.NoError(t, closeNow(s))
			removeRows(t, dir)
			var err error
			s, err = service.Open(context.Background(), config(dir))
			require.NoError(t, err)
			for _, id := range ids {
				require.Equal(t, was[id], caseOf(t, s, id))
			}
		}
	})
	require.NoError(t, s.Rows.Check(t.Context()), "where each case stands is what its steps come to")
}

func removeRows(t require.TestingT, dir string) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, "casepress.db"+suffix)); !os.IsNotExist(err) {
			require.NoError(t, err)
		}
	}
}

// Rows that are made again from the log give the same cases, byte for byte, and the steps have one event each as before.
func TestTheTimelineIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, config(dir))
	answer := do(s.API, http.MethodPut, "/questionnaire-responses/QR-1", "application/json", []byte(urgentResponse))
	require.Equal(t, http.StatusCreated, answer.Code, "%s", answer.Body)
	var raised answered
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &raised))
	ids := append(raised.AdverseEvents, "AE-1", "AE-2", "AE-3")
	for i, id := range ids {
		if i > 0 {
			code, body := post(s, "/adverse-events", reportBody(id))
			require.Equal(t, http.StatusCreated, code, "%s", body)
		}
		caseOf(t, s, id)
		for n, step := range []string{`acknowledge {"name":"Ann","decision":"sae"}`, `acknowledge {"name":"Bob","decision":"sae","note":"x"}`, `follow-ups {"description":"x"}`, `close {"name":"Ann","reason":"x"}`} {
			if n <= i {
				var path, body string
				_, err := fmt.Sscan(step, &path)
				require.NoError(t, err)
				body = step[len(path)+1:]
				post(s, "/adverse-events/"+id+"/"+path, body)
			}
		}
	}
	was := map[string]shownCase{}
	for _, id := range ids {
		was[id] = caseOf(t, s, id)
		require.GreaterOrEqual(t, len(was[id].lines(t)), 3)
	}
	told := caseEvents(t, s, len(ids)+4+3+2+1)
	require.NoError(t, s.Close(t.Context()))
	removeRows(t, dir)
	s = open(t, config(dir))
	for _, id := range ids {
		require.Equal(t, was[id], caseOf(t, s, id))
	}
	require.NoError(t, s.Rows.Check(t.Context()))
	require.Equal(t, told, caseEvents(t, s, len(told)))

	// The topic of events is gone: it is filled again from the rows.
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "topics", tasks.TopicUpdates)))
	s = open(t, config(dir))
	require.ElementsMatch(t, told, caseEvents(t, s, len(told)))
	require.NoError(t, closeNow(s))
}

// caseEvents waits for so many events of steps and returns their ids, each once, in their order.
func caseEvents(t testing.TB, s *service.Service, want int) (ids []string) {
	t.Helper()
	f, err := s.Broker.Follow(tasks.TopicUpdates, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	seen := map[string]bool{}
	for len(ids) < want {
		var messages []broker.Message
		messages, err = f.Next(t.Context(), 1<<20)
		require.NoError(t, err)
		for _, m := range messages {
			var e tasks.CaseEvent
			require.NoError(t, json.Unmarshal(m.Payload, &e))
			if e.Type == tasks.TypeAdverseEvent && !seen[e.ID] {
				seen[e.ID] = true
				ids = append(ids, e.ID)
			}
		}
	}
	return ids
}

const urgentResponse = `{"id":"QR-1","instrument":"phq-9","version":"1","patientId":"P001","language":"en","authored":"2026-11-26T20:00:00+08:00",
"answers":{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1}}`

// TestKillWithCases kills the real binary at random moments while people report, acknowledge, follow up and close. Whatever was
// answered stands, and nobody was told that he has won who had not; and every step has its event.
func TestKillWithCases(t *testing.T) {
	t.Parallel()
	rounds := 4
	if n, err := strconv.Atoi(os.Getenv("CASEPRESS_KILL_ROUNDS")); err == nil {
		rounds = n
	}
	data := t.TempDir()
	var mu sync.Mutex
	var ids []string
	won := map[string]string{}    // by case: who was told to have acknowledged it
	lost := map[string][]string{} // who was told that another had
	followed := map[string]int{}
	for round := range rounds {
		s := start(t, data)
		ctx, cancel := context.WithCancel(t.Context())
		killAt := make(chan struct{})
		left := 10 + rand.N(60)
		answeredOne := func() {
			if left--; left == 0 {
				close(killAt)
			}
		}
		var people sync.WaitGroup
		for person := range 5 {
			name := fmt.Sprintf("Person %d of %d", person, round)
			people.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					id := fmt.Sprintf("AE-%d-%d-%d", round, person, n)
					if code, _, answer, err := send(ctx, http.MethodPost, s.url+"/adverse-events", "application/json", []byte(reportBody(id))); err != nil {
						return
					} else if code != http.StatusCreated {
						t.Errorf("%d %s", code, answer)
						return
					}
					mu.Lock()
					ids = append(ids, id)
					answeredOne()
					id = ids[rand.N(len(ids))]
					mu.Unlock()
					code, _, answer, err := send(ctx, http.MethodPost, s.url+"/adverse-events/"+id+"/acknowledge", "application/json", []byte(fmt.Sprintf(`{"name":%q,"decision":"sae"}`, name)))
					if err != nil {
						return
					}
					mu.Lock()
					answeredOne()
					switch code {
					case http.StatusOK:
						if other := won[id]; other != "" && other != name {
							t.Errorf("%s: %s and %s have won", id, other, name)
						}
						won[id] = name
					case http.StatusConflict:
						lost[id] = append(lost[id], name)
					default:
						t.Errorf("%d %s", code, answer)
					}
					mu.Unlock()
					code, _, answer, err = send(ctx, http.MethodPost, s.url+"/adverse-events/"+id+"/follow-ups", "application/json", []byte(fmt.Sprintf(`{"id":"F-%d-%d-%d","description":"x"}`, round, person, n)))
					if err != nil {
						return
					}
					mu.Lock()
					answeredOne()
					if code != http.StatusCreated {
						t.Errorf("%d %s", code, answer)
					}
					followed[id]++
					mu.Unlock()
				}
			})
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			people.Wait()
		}()
		select {
		case <-killAt:
		case <-ended:
		}
		s.kill()
		cancel()
		<-ended
		require.NotContains(t, s.logs.String(), "panic")
	}
	t.Logf("%d rounds, %d cases, %d acknowledged", rounds, len(ids), len(won))
	require.NotEmpty(t, won)

	s := open(t, config(data))
	require.NoError(t, s.Work.CaughtUp(t.Context())) // what was never answered may become a row only now
	steps := 0
	var seen []string
	for cursor := ""; ; {
		rows, next, err := s.Rows.ListAdverseEvents(t.Context(), store.AdverseEventFilter{Filter: store.Filter{Limit: store.MaxLimit, Cursor: cursor}})
		require.NoError(t, err)
		for _, row := range rows {
			seen = append(seen, row.ID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	require.Subset(t, seen, ids)
	for _, id := range seen {
		shown := caseOf(t, s, id)
		require.Equal(t, "completed", shown.Status)
		if who := won[id]; who != "" {
			require.Equal(t, who, shown.Acknowledgement.Name, id)
		}
		counts := map[string]int{}
		who := map[string]bool{}
		for _, l := range shown.lines(t) {
			counts[l.Step]++
			who[l.Who] = true
			if l.Step != "handed-over" && l.Step != "queued" {
				steps++
			}
		}
		require.Equal(t, 1, counts["received"])
		require.Equal(t, 1, counts["handed-over"], "%s", shown.Timeline)
		require.LessOrEqual(t, counts["acknowledged"], 1)
		require.GreaterOrEqual(t, counts["follow-up"], followed[id])
		for _, name := range lost[id] {
			require.True(t, who[name], "%s is not on the timeline of %s", name, id)
			require.NotEqual(t, name, shown.Acknowledgement.Name)
		}
	}
	require.Len(t, caseEvents(t, s, steps), steps)
	require.NoError(t, s.Rows.Check(t.Context()))
	require.NoError(t, closeNow(s))
}
