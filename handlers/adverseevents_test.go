package handlers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/handlers"
	"casepress/tasks"
	"casepress/tasks/pdf"
)

// withCases runs the real work, with studies of these files.
func withCases(t testing.TB, files ...string) option {
	studies := withStudies(t, files...)
	return func(set *settings) {
		studies(set)
		set.newTask, set.realWork = nil, true
	}
}

const s12 = `{"schema":1,"id":"S12","version":4,"title":"Twelve hours","languages":["en"],"sites":[{"id":"101","title":"One"}],"adverseEvents":{"limitHours":12}}`

// begunDocuments begins documents of 64 KiB, each of so many clients in turn, and sends the first bytes of each.
func (s *service) begunDocuments(path string, clients, each, first int, pause time.Duration) []net.Conn {
	s.Helper()
	slow := make([]net.Conn, clients*each)
	for i := range slow {
		slow[i] = s.dial()
		_, err := fmt.Fprintf(slow[i], "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
			path, i/each, 64<<10)
		require.NoError(s, err)
		go func() { _, _ = slow[i].Write(make([]byte, first)) }() // which may be refused
		synctest.Wait()
		time.Sleep(pause)
	}
	return slow
}

// gaveWay reads that a document gave way to others.
func (s *service) gaveWay(c net.Conn) {
	s.Helper()
	a := s.answerOn(c).is(http.StatusRequestTimeout, "upload-rate-too-low")
	require.Equal(s, false, a.get("stored"))
	require.Contains(s, a.get("detail"), "others needed its room")
}

// TestDocumentsBesideThoseThatTrickle: whoever sends a byte now and then takes no room from anybody, nor does whoever sends
// nearly all and then no more.
func TestDocumentsBesideThoseThatTrickle(t *testing.T) {
	for name, first := range map[string]int{"a byte": 1, "nearly all": 60 << 10} {
		t.Run("adverse events, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, withCases(t), inVirtualTime, with(func(c *handlers.Config) { c.ClientHeader = "X-Forwarded-For" }))
				slow := s.begunDocuments("/adverse-events", 8, 16, first, 100*time.Millisecond)
				s.report("AE-1").is(201)
				s.handedOver("AE-1")
				s.send(http.MethodPost, "/adverse-events/AE-1/acknowledge", `{"name":"Ann","decision":"sae"}`).is(200)
				if first > 1 { // all room was taken
					s.gaveWay(slow[0])
				}
				for _, c := range slow {
					require.NoError(t, c.Close())
				}
			})
		})
		t.Run("questionnaires, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, withStudies(t, s1), inVirtualTime, with(func(c *handlers.Config) { c.ClientHeader = "X-Forwarded-For" }))
				slow := s.begunDocuments("/questionnaire-responses", 5, 128, first, 10*time.Millisecond)
				for _, client := range []string{"192.0.2.99", "192.0.2.0"} {
					s.send(http.MethodPost, "/questionnaire-responses", response("R-"+client, ""), "X-Forwarded-For", client).is(201)
				}
				if first > 1 {
					s.gaveWay(slow[0])
				}
				for _, c := range slow {
					require.NoError(t, c.Close())
				}
			})
		})
	}
}

// TestAdverseEventsBehindAProxy: where addresses have no limit, all clients may have the same one, and it has no share of the room.
func TestAdverseEventsBehindAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, withCases(t), inVirtualTime, with(func(c *handlers.Config) { c.MaxUploadsPerAddress = -1 }))
		under := s.begunDocuments("/adverse-events", 1, 25, 64<<10-512, 0) // more than 1.5 MiB with what each counts for itself, and none is slow
		s.report("AE-1").is(201)
		for _, c := range under {
			require.NoError(t, c.Close())
		}
	})
}

// ago is a time some while before now, as clients write it.
func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

func (s *service) report(id string) answer {
	s.Helper()
	return s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":%q,"patientId":"P001","description":"a rash","knownAt":%q}`, id, ago(time.Hour)))
}

// handedOver waits until a case is handed over, however long the machine takes, and returns it.
func (s *service) handedOver(id string) answer {
	s.Helper()
	shown := s.get("/adverse-events/" + id + "?wait=20s").is(200)
	require.Equal(s, "completed", shown.get("status"))
	return shown
}

// timeline are the steps of a case but for queued, which is there or not as the machine is busy.
func (a answer) timeline() (timeline []map[string]any) {
	a.Helper()
	for _, one := range a.get("timeline").([]any) {
		if step := one.(map[string]any); step["step"] != "queued" {
			timeline = append(timeline, step)
		}
	}
	return timeline
}

// steps are the names of timeline.
func (a answer) steps() (steps []string) {
	a.Helper()
	for _, step := range a.timeline() {
		steps = append(steps, step["step"].(string))
	}
	return steps
}

func TestReportAnAdverseEvent(t *testing.T) {
	s := open(t, withCases(t, s12))
	img := photo(7)
	s.do(s.request(http.MethodPut, "/images/IMG007?study=S12&patientId=P001", strings.NewReader(string(img)))).is(201)
	known := ago(2 * time.Hour)
	body := fmt.Sprintf("{\"id\":\"AE-1\",\"study\":\"S12\",\"site\":\"101\",\"patientId\":\"P001\",\"visitId\":\"V02\",\"description\":\"Rash.\\r\\nBoth arms.\",\n"+
		`"onsetAt":%q,"knownAt":%q,"seriousness":["C83052","C84266"],"reporter":"Nurse Wang","deviceTime":%q,"imageIds":["IMG007"]}`, ago(3*time.Hour), known, ago(0))
	first := s.send(http.MethodPost, "/adverse-events", body).is(201)
	require.Equal(t, "/adverse-events/AE-1", first.Header.Get("Location"))
	require.Equal(t, "open", first.get("state"))
	require.Equal(t, "PT12H", first.get("clock.limit"))
	require.Equal(t, digestOf(body), first.get("receipt.sha256"))
	require.Empty(t, first.get("warnings"))

	shown := s.handedOver("AE-1")
	again := s.send(http.MethodPut, "/adverse-events/AE-1", body).is(201)
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	require.Equal(t, first.get("receipt"), again.get("receipt"))
	require.Equal(t, true, again.get("handedOver"))
	conflict := s.send(http.MethodPost, "/adverse-events", strings.Replace(body, "Rash", "A rash", 1)).is(409, "id-conflict")
	require.Equal(t, false, conflict.get("stored"))
	require.Equal(t, first.get("receipt.sha256"), conflict.get("storedSha256"))

	require.Equal(t, "Rash.\nBoth arms.", shown.get("description"))
	require.Equal(t, known, shown.get("knownAt"))
	require.Equal(t, []any{"C83052", "C84266"}, shown.get("seriousness"))
	require.Equal(t, "IMG007", shown.get("images").([]any)[0].(map[string]any)["imageId"])
	require.Nil(t, shown.get("flag"))
	require.Nil(t, shown.get("source"))
	require.Equal(t, float64(4), shown.get("studyFile.version"))
	require.Equal(t, []string{"received", "handed-over"}, shown.steps())
	received, handedOver := shown.timeline()[0], shown.timeline()[1]
	require.Equal(t, "Nurse Wang", received["who"])
	require.InDelta(t, 2*3600, received["afterSeconds"], 60)
	require.Equal(t, shown.get("handedOverAt"), handedOver["at"])
	checked := s.send(http.MethodPost, "/receipts/check", fmt.Sprintf(`{"items":[{"kind":"adverse-event","id":"AE-1","sha256":%q}]}`, digestOf(body))).is(200)
	require.Equal(t, "stored", checked.get("items").([]any)[0].(map[string]any)["state"])
}

// The answer to a report waits for the hand-over: on a busy machine that may take too long for some, not for all.
func TestAReportIsAnsweredWhenItIsHandedOver(t *testing.T) {
	s := open(t, withCases(t))
	for i := 0; ; i++ {
		require.Less(t, i, 60)
		a := s.report(fmt.Sprintf("AE-%d", i)).is(201)
		if a.get("handedOver") == true {
			require.Contains(t, a.get("message"), "is at the desk")
			return
		}
		require.Contains(t, a.get("message"), "waits to be taken over")
	}
}

func TestOnlyFourMembersOfAnAdverseEventAreRequired(t *testing.T) {
	s := open(t, withCases(t))
	first := s.report("AE-1").is(201)
	require.Equal(t, "PT24H", first.get("clock.limit"))
	shown := s.get("/adverse-events/AE-1").is(200)
	require.Empty(t, shown.get("seriousness"))
	require.Nil(t, shown.get("acknowledgement"))
	s.send(http.MethodPut, "/adverse-events/AE-2", fmt.Sprintf(`{"patientId":"P001","description":"a rash","knownAt":%q}`, ago(time.Hour))).is(201)
}

func TestAdverseEventsThatAreRefused(t *testing.T) {
	s := open(t, withCases(t, s12))
	whole := fmt.Sprintf(`{"id":"AE-1","study":"S12","patientId":"P001","description":"a rash","knownAt":%q}`, ago(time.Hour))
	for name, tc := range map[string]struct{ from, to, field, detail string }{
		"no id":               {`"id":"AE-1",`, ``, "/id", "is missing"},
		"an id of a flag":     {`AE-1`, `flag-1`, "/id", `must not begin with "flag-"`},
		"no patient":          {`"patientId":"P001",`, ``, "/patientId", "is missing"},
		"no description":      {`"description":"a rash",`, ``, "/description", "is missing"},
		"a blank description": {`a rash`, ` \n\t `, "/description", "is blank"},
		"a control character": {`a rash`, `a\u0000rash`, "/description", "control characters"},
		"no time":             {`"knownAt"`, `"onsetAt"`, "/knownAt", "is missing"},
		"no zone":             {`Z"`, `"`, "/knownAt", "with its zone"},
		"an unknown code":     {`{`, `{"seriousness":["C48275","C21007"],`, "/seriousness/1", "C11338 (results in persistent or significant disability)"},
		"a code twice":        {`{`, `{"seriousness":["C48275","C48275"],`, "/seriousness/1", "was listed before"},
		"an image twice":      {`{`, `{"imageIds":["a","a"],`, "/imageIds/1", "was listed before"},
		"an unknown image":    {`{`, `{"imageIds":["a"],`, "/imageIds/0", "this patient has no image a"},
		"an unknown site":     {`{`, `{"site":"9",`, "/site", `no site "9"`},
		"an unknown member":   {`{`, `{"Reporter":"x",`, "/Reporter", `write "reporter"`},
		"a member twice":      {`{`, `{"id":"AE-1",`, "/id", "twice"},
		"an array":            {whole, `[]`, "body", "must be an object"},
	} {
		a := s.send(http.MethodPost, "/adverse-events", strings.Replace(whole, tc.from, tc.to, 1)).is(400, "invalid-input")
		require.Equal(t, false, a.get("stored"), name)
		wrong := a.get("errors").([]any)[0].(map[string]any)
		require.Equal(t, tc.field, wrong["field"], "%s: %s", name, a.body)
		require.Contains(t, wrong["detail"], tc.detail, name)
	}
	s.send(http.MethodPut, "/adverse-events/AE-2", whole).is(400, "invalid-input")
	s.send(http.MethodPut, "/adverse-events/flag-2", strings.Replace(whole, `"id":"AE-1",`, "", 1)).is(400, "invalid-input")
	s.send(http.MethodPost, "/adverse-events?study=S12", whole).is(400, "invalid-input")
	s.send(http.MethodPost, "/adverse-events", strings.Repeat(" ", 64<<10+1)).is(413, "body-too-large")
	require.Empty(t, s.get("/adverse-events").is(200).get("items"))
}

func TestWhatIsOddAboutAnAdverseEvent(t *testing.T) {
	s := open(t, withCases(t, s12))
	for i, tc := range []struct {
		members string
		codes   []string
	}{
		{fmt.Sprintf(`"knownAt":%q`, ago(-time.Minute)), nil},
		{fmt.Sprintf(`"knownAt":%q`, ago(-10*time.Minute)), []string{"in-future"}},
		{fmt.Sprintf(`"knownAt":%q,"onsetAt":%q`, ago(time.Hour), ago(time.Minute)), []string{"onset-after-known"}},
		{fmt.Sprintf(`"knownAt":%q`, ago(13*time.Hour)), []string{"late"}},
		{`"knownAt":"0001-01-01T00:00:00Z"`, []string{"far-past"}},
		{fmt.Sprintf(`"knownAt":%q,"deviceTime":%q`, ago(time.Hour), ago(-time.Hour)), []string{"clock-skew"}},
	} {
		a := s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":"AE-%d","study":"S12","patientId":"P001","description":"a rash",%s}`, i, tc.members)).is(201)
		var codes []string
		for _, w := range a.get("warnings").([]any) {
			codes = append(codes, w.(map[string]any)["code"].(string))
		}
		require.Equal(t, tc.codes, codes, "%s", a.body)
		require.Equal(t, a.get("warnings"), s.get(fmt.Sprintf("/adverse-events/AE-%d", i)).is(200).get("warnings"))
		if from := a.get("clock.from").(string); i < 2 {
			require.Equal(t, a.get("receipt.receivedAt"), from, "what is received is known")
		}
	}
}

func TestAcknowledgeFollowUpAndClose(t *testing.T) {
	s := open(t, withCases(t, s12))
	s.report("AE-0").is(201)
	s.report("AE-1").is(201)
	s.handedOver("AE-1")
	s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":"AE-2","study":"S12","patientId":"P001","description":"a rash","knownAt":%q}`, ago(time.Hour))).is(201)
	at := "/adverse-events/AE-1"
	post := func(step, body string, headers ...string) answer {
		t.Helper()
		return s.send(http.MethodPost, at+"/"+step, body, headers...)
	}
	post("close", `{"name":"Ann","reason":"nothing"}`).is(409, "case-not-acknowledged")
	for body, field := range map[string]string{
		`{"decision":"sae"}`: "/name", `{"name":"Ann"}`: "/decision", `{"name":"Ann","decision":"maybe"}`: "/decision", `{"name":" ","decision":"sae"}`: "/name",
		`{"name":"Ann","decision":"duplicate"}`: "/of", `{"name":"Ann","decision":"sae","of":"AE-0"}`: "/of", `{"name":"Ann","decision":"duplicate","of":"AE-1"}`: "/of",
		`{"name":"Ann","decision":"duplicate","of":"AE-9"}`: "/of", `{"name":"Ann","decision":"duplicate","of":"AE-2"}`: "/of", `{"name":"Ann","decision":"sae","who":1}`: "/who",
	} {
		a := post("acknowledge", body).is(400, "invalid-input")
		require.Equal(t, field, a.get("errors").([]any)[0].(map[string]any)["field"], body)
		require.Equal(t, false, a.get("stored"))
	}
	require.Equal(t, []string{"received", "handed-over"}, s.get(at).is(200).steps(), "nothing of it was stored")

	tag := s.get(at).Header.Get("Etag")
	ann := post("acknowledge", `{"name":"Ann","decision":"sae","note":"look\nat it"}`).is(200)
	require.Equal(t, "acknowledged", ann.get("state"))
	require.Equal(t, "Ann", ann.get("acknowledgement.name"))
	require.Equal(t, "look\nat it", ann.get("acknowledgement.note"))
	changed := s.do(s.request(http.MethodGet, at+"?wait=20s", nil, "If-None-Match", tag)).is(200)
	require.Equal(t, ann.json(), changed.json(), "the answer to the step is the case")
	again := post("acknowledge", ` {"decision":"sae","name":"Ann","note":"look\nat it"}`).is(200)
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	require.Equal(t, ann.json(), again.json(), "it adds nothing")

	bob := post("acknowledge", `{"name":"Bob","decision":"not-serious"}`).is(409, "case-acknowledged")
	require.Equal(t, true, bob.get("stored"))
	require.Equal(t, ann.get("acknowledgement"), bob.get("acknowledgement"))
	require.Contains(t, bob.get("detail"), "Ann acknowledged this case before")
	post("acknowledge", `{"name":"Bob","decision":"not-serious"}`).is(409, "case-acknowledged")
	post("acknowledge", `{"name":"Ann","decision":"sae"}`).is(409, "case-acknowledged") // without the note it is another one

	followed := post("follow-ups", `{"id":"F1","description":"better"}`).is(201)
	require.Equal(t, "acknowledged", followed.get("state"))
	require.Equal(t, "true", post("follow-ups", `{"description":"better"}`, "Idempotency-Key", `"F1"`).is(201).Header.Get("Idempotency-Replayed"))
	post("follow-ups", `{"id":"F1","description":"worse"}`).is(409, "id-conflict")
	post("follow-ups", `{"id":"F1","description":"better"}`, "Idempotency-Key", "F2").is(400, "invalid-input")
	post("follow-ups", `{"description":"better","name":"Bob"}`).is(201)
	post("follow-ups", `{"description":"better","name":"Bob"}`).is(201) // without an id it is another one

	post("close", `{"name":"Ann"}`).is(400, "invalid-input")
	closed := post("close", `{"name":"Ann","reason":"reported"}`).is(200)
	require.Equal(t, "closed", closed.get("state"))
	require.Equal(t, "true", post("close", `{"name":"Ann","reason":"reported"}`).is(200).Header.Get("Idempotency-Replayed"))
	late := post("close", `{"name":"Bob","reason":"reported"}`).is(409, "case-closed")
	require.Equal(t, "Ann", late.get("closing.name"))
	require.Equal(t, true, late.get("stored"))
	post("acknowledge", `{"name":"Eve","decision":"sae"}`).is(409, "case-acknowledged")
	post("follow-ups", `{"id":"F3","description":"gone"}`).is(201)

	shown := s.get(at).is(200)
	require.Equal(t, "closed", shown.get("state"))
	require.Equal(t, []string{
		"received", "handed-over", "acknowledged", "acknowledgement-refused", "acknowledgement-refused", "follow-up", "follow-up", "follow-up",
		"closed", "closing-refused", "acknowledgement-refused", "follow-up",
	}, shown.steps())
	elapsed := 0.0
	for _, one := range shown.get("timeline").([]any) {
		elapsed += one.(map[string]any)["afterSeconds"].(float64)
		require.InDelta(t, elapsed, one.(map[string]any)["elapsedSeconds"], 1e-5)
	}
	none := s.send(http.MethodPost, "/adverse-events/none/acknowledge", `{"name":"Ann","decision":"sae"}`).is(404, "submission-not-found")
	require.Equal(t, "There is no adverse event with this id.", none.get("detail"))
	require.Equal(t, "没有使用该编号的不良事件。", s.get("/adverse-events/none", "Accept-Language", "zh-CN").is(404, "submission-not-found").get("detail"))
	require.Equal(t, "There is no questionnaire response with this id.", s.get("/questionnaire-responses/none").is(404, "submission-not-found").get("detail"))

	at = "/adverse-events/AE-0"
	duplicate := post("acknowledge", `{"name":"Ann","decision":"duplicate","of":"AE-1"}`).is(200)
	require.Equal(t, "AE-1", duplicate.get("acknowledgement.of"))
	steps := duplicate.timeline()
	require.Equal(t, "AE-1", steps[len(steps)-1]["of"])
	for _, listed := range s.get("/adverse-events").is(200).get("items").([]any) {
		if one := listed.(map[string]any); one["id"] == "AE-0" {
			require.Equal(t, "AE-1", one["acknowledgement"].(map[string]any)["of"])
		}
	}
	s.report("AE-3").is(201)
	at = "/adverse-events/AE-3"
	chain := post("acknowledge", `{"name":"Ann","decision":"duplicate","of":"AE-0"}`).is(400, "invalid-input")
	require.Contains(t, chain.get("detail"), "name AE-1")
}

// A case is a duplicate of one of the same patient alone, and an exercise of an exercise.
func TestDuplicateOfWhat(t *testing.T) {
	s := open(t, withCases(t, s12))
	event := func(id, patient string, exercise bool) {
		s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":%q,"patientId":%q,"description":"a rash","knownAt":%q,"exercise":%v}`, id, patient, ago(time.Hour), exercise)).is(201)
	}
	event("A", "P1", false)
	event("B", "P2", false)
	event("C", "P1", true)
	event("D", "P1", true)
	event("E", "P1", false)
	acknowledge := func(id, of string) answer {
		return s.send(http.MethodPost, "/adverse-events/"+id+"/acknowledge", fmt.Sprintf(`{"name":"Ann","decision":"duplicate","of":%q}`, of))
	}
	for _, tc := range [][]string{{"A", "B", "is of the patient P2, and this one of P1"}, {"A", "C", "is an exercise"}, {"C", "A", "is no exercise"}, {"A", "A", "is this case"}} {
		a := acknowledge(tc[0], tc[1]).is(400, "invalid-input")
		require.Equal(t, "/of", a.get("errors").([]any)[0].(map[string]any)["field"])
		require.Contains(t, a.get("detail"), tc[2])
		require.Equal(t, false, a.get("stored"))
	}
	acknowledge("A", "E").is(200)
	acknowledge("C", "D").is(200)
}

// A case whose timeline is full takes nothing more but what brings it to its end.
func TestAFullCaseCanBeClosed(t *testing.T) {
	s := open(t, withCases(t))
	s.report("AE-1").is(201)
	s.handedOver("AE-1")
	var wg sync.WaitGroup
	errs := make([]error, 1000)
	for i := range errs {
		wg.Go(func() {
			step := tasks.NewSubmission(tasks.KindAdverseEventStep(), tasks.AdverseEventStep{
				ID: "AE-1", Step: tasks.StepFollowUp, FollowUpID: fmt.Sprintf("F-%d", i), Description: "more",
			})
			step.Fresh = true
			_, errs[i] = s.Work.Accept(t.Context(), step)
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, s.Work.CaughtUp(t.Context(), tasks.TopicAdverseEvents))
	post := func(step, body string) answer {
		t.Helper()
		return s.send(http.MethodPost, "/adverse-events/AE-1/"+step, body)
	}
	full := post("follow-ups", `{"description":"one too many"}`).is(409, "too-many-steps")
	require.Equal(t, false, full.get("stored"))
	require.Equal(t, float64(1000), full.get("limit"))
	post("follow-ups", `{"id":"F-7","description":"more"}`).is(201) // is there already
	post("acknowledge", `{"name":"Ann","decision":"sae"}`).is(200)
	post("acknowledge", `{"name":"Bob","decision":"sae"}`).is(409, "too-many-steps")
	closed := post("close", `{"name":"Ann","reason":"reported"}`).is(200)
	require.Equal(t, "closed", closed.get("state"))
	post("close", `{"name":"Bob","reason":"reported"}`).is(409, "too-many-steps")
	require.Equal(t, true, closed.get("timelineCut"))
	whole := s.get("/adverse-events/AE-1").is(200)
	require.Len(t, whole.steps(), 1004)
	// What is shown of the timeline after a step is its end, times between included; GET has all.
	all, last := whole.get("timeline").([]any), closed.get("timeline").([]any)
	require.Len(t, last, 50)
	require.Equal(t, all[len(all)-len(last):], last)
	require.NotContains(t, whole.json(), "timelineCut")
}

// Each step of a case is an event among all events, in its order, once.
func TestStepsAreEvents(t *testing.T) {
	s := open(t, withCases(t))
	s.report("AE-1").is(201)
	s.send(http.MethodPost, "/adverse-events/AE-1/acknowledge", `{"name":"Ann","decision":"sae"}`).is(200)
	s.send(http.MethodPost, "/adverse-events/AE-1/acknowledge", `{"name":"Bob","decision":"sae"}`).is(409, "case-acknowledged")
	s.send(http.MethodPost, "/adverse-events/AE-1/close", `{"name":"Ann","reason":"reported"}`).is(200)
	var told []string
	after := "0"
	for deadline := time.Now().Add(time.Minute); len(told) < 4; {
		require.True(t, time.Now().Before(deadline), "told: %v", told)
		p := s.get("/events?types=adverse-event&wait=10s&after=" + after).is(200)
		for _, e := range p.get("events").([]any) {
			event := e.(map[string]any)
			require.Equal(t, "adverse-event", event["type"])
			data := event["data"].(map[string]any)
			require.Equal(t, "AE-1", data["submissionId"])
			told = append(told, data["step"].(string))
		}
		after = p.get("next").(string)
	}
	require.Equal(t, []string{"received", "acknowledged", "acknowledgement-refused", "closed"}, told)
	require.Len(t, s.get("/events?types=patient-data-update").page().Events, 1, "the submission itself")
}

// Of several people who acknowledge at once one wins, and all are on the timeline.
func TestAcknowledgingAtOnce(t *testing.T) {
	s := open(t, withCases(t))
	const people = 6
	for round := range 5 {
		id := fmt.Sprintf("AE-%d", round)
		s.report(id).is(201)
		s.handedOver(id)
		var wg sync.WaitGroup
		answers := make([]answer, people)
		for i := range people {
			wg.Go(func() {
				answers[i] = s.send(http.MethodPost, "/adverse-events/"+id+"/acknowledge", fmt.Sprintf(`{"name":"Person %d","decision":"sae"}`, i))
			})
		}
		wg.Wait()
		won := ""
		for i, a := range answers {
			if a.StatusCode == 200 {
				require.Empty(t, won, "two have won")
				won = fmt.Sprintf("Person %d", i)
			}
		}
		for _, a := range answers {
			if a.StatusCode != 200 {
				require.Equal(t, won, a.is(409, "case-acknowledged").get("acknowledgement.name"))
			}
		}
		shown := s.get("/adverse-events/" + id).is(200)
		require.Equal(t, won, shown.get("acknowledgement.name"))
		require.Equal(t, []string{"received", "handed-over"}, shown.steps()[:2])
		who := map[any]bool{}
		for _, step := range shown.timeline()[2:] {
			who[step["who"]] = true
		}
		require.Len(t, who, people)
	}
}

func TestListsOfAdverseEvents(t *testing.T) {
	s := open(t, withCases(t, s12))
	for i := range 6 {
		study := ""
		if i%2 == 0 {
			study = `"study":"S12",`
		}
		s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":"AE-%d",%s"patientId":"P%d","description":"a rash","knownAt":%q}`, i, study, i%3, ago(time.Hour))).is(201)
	}
	for _, i := range []int{1, 2, 3} {
		s.send(http.MethodPost, fmt.Sprintf("/adverse-events/AE-%d/acknowledge", i), `{"name":"Ann","decision":"sae"}`).is(200)
	}
	s.send(http.MethodPost, "/adverse-events/AE-3/close", `{"name":"Ann","reason":"x"}`).is(200)
	for query, want := range map[string]string{
		"":                                "5 4 3 2 1 0",
		"state=open":                      "5 4 0",
		"state=open,notified":             "5 4 0",
		"state=acknowledged":              "2 1",
		"state=closed":                    "3",
		"state=closed,open":               "5 4 3 0",
		"state=notified":                  "",
		"state=open&study=S12":            "4 0",
		"state=open,acknowledged&limit=2": "5 4 2 1 0",
		"state=open,closed&patientId=P0":  "3 0",
		"state=open&status=failed":        "",
	} {
		var got []string
		path := "/adverse-events?" + query
		for path != "" {
			page := s.get(strings.TrimSuffix(path, "?")).is(200)
			for _, item := range page.get("items").([]any) {
				got = append(got, strings.TrimPrefix(item.(map[string]any)["id"].(string), "AE-"))
				require.NotContains(t, item, "timeline")
			}
			path = ""
			if next, more := page.get("next").(string); more {
				path = "/adverse-events?" + query + "&cursor=" + next
			}
		}
		require.Equal(t, want, strings.Join(got, " "), query)
	}
	for _, wrong := range []string{"state=", "state=open,", "state=gone", "state=open,open", "state=open&state=closed"} {
		s.get("/adverse-events?"+wrong).is(400, "invalid-input")
	}
}

// Every step has its event, in the order of the timeline.
func TestEventsOfAdverseEvents(t *testing.T) {
	s := open(t, withCases(t, s12))
	sub, err := s.Broker.Subscribe(tasks.TopicUpdates, "test", broker.SubscribeOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":"AE-1","study":"S12","patientId":"P001","visitId":"V1","description":"a rash","knownAt":%q}`, ago(time.Hour))).is(201)
	for _, step := range []string{`acknowledge {"name":"Ann","decision":"sae"}`, `acknowledge {"name":"Bob","decision":"sae"}`, `follow-ups {"description":"x"}`, `close {"name":"Ann","reason":"x"}`} {
		path, body, _ := strings.Cut(step, " ")
		s.send(http.MethodPost, "/adverse-events/AE-1/"+path, body)
	}
	want := []string{"received open", "acknowledged acknowledged", "acknowledgement-refused acknowledged", "follow-up acknowledged", "closed closed"}
	ids := map[string]bool{}
	var got []string
	for len(got) < len(want) {
		events, err := sub.Receive(t.Context(), 1)
		require.NoError(t, err)
		var e tasks.CaseEvent
		require.NoError(t, json.Unmarshal(events[0].Payload, &e))
		if e.Type != tasks.TypeAdverseEvent {
			continue
		}
		require.Equal(t, "S12/P001", events[0].Key)
		require.Equal(t, events[0].ID, e.ID)
		require.False(t, ids[e.ID])
		ids[e.ID] = true
		require.Equal(t, "adverse-event AE-1 S12 P001 V1 /adverse-events/AE-1", strings.Join([]string{e.Kind, e.SubmissionID, e.Study, e.PatientID, e.VisitID, e.URL}, " "))
		require.NotContains(t, string(events[0].Payload), "rash")
		require.NotContains(t, string(events[0].Payload), "Ann")
		got = append(got, string(e.Step)+" "+string(e.State))
	}
	require.Equal(t, want, got)
}

// Where nothing else is taken in, adverse events still are, down to a floor of their own.
func TestAdverseEventsHaveAReserve(t *testing.T) {
	s := open(t, withCases(t), with(func(c *handlers.Config) { c.MinFreeDisk, c.MaxUploadsPerAddress = math.MaxInt64/2, 1 }))
	s.upload(field("patientId", "P1"), file("a.jpg", photo(1))).is(507, "disk-full")
	s.report("AE-1").is(201)
	s.send(http.MethodPost, "/adverse-events/AE-1/acknowledge", `{"name":"Ann","decision":"sae"}`).is(200)
}

func TestTheReserveEnds(t *testing.T) {
	s := open(t, withCases(t), with(func(c *handlers.Config) { c.MinFreeDisk, c.MinFreeDiskUrgent = math.MaxInt64/2, math.MaxInt64/4 }))
	s.report("AE-1").is(507, "disk-full")
}

// The PDF has what the timeline has, and the same case gives the same bytes.
func TestTimelinePDF(t *testing.T) {
	s := open(t, withCases(t, s12))
	s.report("AE-1").is(201)
	s.handedOver("AE-1")
	s.send(http.MethodPost, "/adverse-events/AE-1/acknowledge", `{"name":"Ann Önal","decision":"not-serious","note":"a <mosquito>"}`).is(200)
	first := s.get("/adverse-events/AE-1/timeline.pdf").is(200)
	require.Equal(t, `inline; filename="AE-1-timeline.pdf"`, first.Header.Get("Content-Disposition"))
	content, err := pdf.Read(bytes.NewReader(first.body), int64(len(first.body)))
	require.NoError(t, err)
	require.Len(t, content.Pages, 1)
	text := strings.ReplaceAll(content.Pages[0], " ", "")
	for _, want := range []string{"AE-1", "P001", "a rash", "Ann Önal", "Not serious – a <mosquito>", "Received", "Taken up by the service", "within the limit", "page 1 of 1"} {
		require.Contains(t, text, strings.ReplaceAll(want, " ", ""))
	}
	require.Equal(t, first.body, s.get("/adverse-events/AE-1/timeline.pdf").is(200).body)
	s.do(s.request(http.MethodGet, "/adverse-events/AE-1/timeline.pdf", nil, "If-None-Match", first.Header.Get("Etag"))).is(304)
	s.do(s.request(http.MethodGet, "/adverse-events/AE-1/timeline.pdf", nil, "Range", "bytes=0-4")).is(206)
	s.get("/adverse-events/none/timeline.pdf").is(404, "submission-not-found")
	s.get("/adverse-events/AE-1/timeline.pdf?x=1").is(400, "invalid-input")
}

// An exercise is marked wherever it is shown, and listed only where it is asked for; who was told of it, or was not, is on its
// timeline and in its PDF, and the channel is shown as one that fails.
func TestExerciseAndNotifications(t *testing.T) {
	s := open(t, withCases(t, `{"schema":1,"id":"S13","version":1,"title":"A","languages":["en"],"adverseEvents":{"limitHours":24,"ladder":{"repeatMinutes":1440,"rungs":[`+
		`{"who":"Nurse on call","webhook":"gone"}]}}}`))
	body := fmt.Sprintf(`{"id":"X-1","study":"S13","patientId":"P001","description":"a rash","knownAt":%q,"exercise":true}`, ago(time.Hour))
	s.send(http.MethodPost, "/adverse-events", body).is(201)
	s.send(http.MethodPost, "/adverse-events", strings.Replace(strings.Replace(body, "X-1", "X-2", 1), "true", `"true"`, 1)).is(400)
	s.report("AE-1").is(201)
	var failed map[string]any
	require.Eventually(t, func() bool {
		for _, step := range s.get("/adverse-events/X-1").is(200).timeline() {
			if step["step"] == "notification-failed" {
				failed = step
			}
		}
		return failed != nil
	}, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, []any{"Nurse on call", "gone", "there is no such webhook endpoint", 1.0, 1.0}, []any{failed["who"], failed["channel"], failed["reason"], failed["rung"], failed["attempt"]})
	shown := s.get("/adverse-events/X-1").is(200)
	require.Equal(t, true, shown.get("exercise"))
	require.Equal(t, "open", shown.get("state"))
	require.Nil(t, shown.get("notifiedAt"))
	channel := s.get("/alert-channels").is(200).get("items").([]any)[0].(map[string]any)
	require.Equal(t, []any{"S13", "gone", "webhook", []any{"Nurse on call"}, "there is no such webhook endpoint"},
		[]any{channel["study"], channel["channel"], channel["kind"], channel["who"], channel["lastError"]})
	require.Equal(t, failed["at"].(string)[:16], channel["failingSince"].(string)[:16])

	ids := func(query string) (ids []string) {
		for _, item := range s.get("/adverse-events" + query).is(200).get("items").([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		return ids
	}
	require.Equal(t, []string{"AE-1"}, ids(""))
	require.Equal(t, []string{"AE-1"}, ids("?state=open,notified&patientId=P001"))
	require.Equal(t, []string{"X-1"}, ids("?exercise=only"))
	require.Equal(t, []string{"AE-1", "X-1"}, ids("?exercise=include&state=open,acknowledged"))
	s.get("/adverse-events?exercise=yes").is(400)

	fetched := s.get("/adverse-events/X-1/timeline.pdf").is(200)
	content, err := pdf.Read(bytes.NewReader(fetched.body), int64(len(fetched.body)))
	require.NoError(t, err)
	text := strings.ReplaceAll(content.Pages[0], " ", "")
	for _, want := range []string{"EXERCISE – Adverse event", "Notification failed", "Nurse on call", "gone: there is no such webhook endpoint"} {
		require.Contains(t, text, strings.ReplaceAll(want, " ", ""))
	}
}

// longCase makes a case of more than 1 MiB.
func (s *service) longCase(id string) {
	s.Helper()
	s.report(id).is(201)
	s.handedOver(id)
	for i := range 100 {
		step := tasks.NewSubmission(tasks.KindAdverseEventStep(), tasks.AdverseEventStep{
			ID: id, Step: tasks.StepFollowUp, FollowUpID: fmt.Sprintf("F-%d", i), Description: strings.Repeat("🦠", 4000),
		})
		_, err := s.Work.Accept(s.Context(), step)
		require.NoError(s, err)
	}
	require.NoError(s, s.Work.CaughtUp(s.Context(), tasks.TopicAdverseEvents))
}

// Each client reads a few cases at once, and long ones that are being sent are few in all; a step takes no part in that.
func TestReadersOfCasesAreBounded(t *testing.T) {
	s := open(t, withCases(t), with(func(c *handlers.Config) { c.ClientHeader = "X-Client" }))
	s.longCase("AE-1")
	ask := func(client string) answer { return s.get("/adverse-events/AE-1", "X-Client", client) }
	step := func() answer {
		return s.do(s.request(http.MethodPost, "/adverse-events/AE-1/acknowledge", strings.NewReader(`{"name":"Ann","decision":"sae"}`),
			"Content-Type", "application/json", "X-Client", "192.0.2.1"))
	}

	// A client may have all of an answer before its handler ends and gives back what that took.
	ended := func() {
		require.Eventually(t, func() bool {
			clients, bytes := handlers.CasePlaces(s.API)
			return clients == 0 && bytes == 0
		}, patience, time.Millisecond)
	}
	left := handlers.TakeCasePlaces(s.API, "192.0.2.1")
	ask("192.0.2.1").is(503, "timeout")
	step().is(200)
	left()
	ask("192.0.2.2").is(200)
	require.Greater(t, len(ask("192.0.2.1").is(200).body), 1<<20)

	clients := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8"}
	ended()
	release := handlers.HoldCases(s.API, clients[:7]...)
	for _, client := range clients[:7] {
		ask(client).is(503, "overloaded")
	}
	ask("192.0.2.9").is(200)
	release()
	ended()
	release = handlers.HoldCases(s.API, clients...)
	ask("192.0.2.9").is(503, "overloaded")
	step().is(200)
	s.report("AE-2").is(201)
	s.get("/adverse-events/AE-2").is(200) // a short one
	release()
	tag := ask("192.0.2.1").is(200).Header.Get("Etag")
	s.get("/adverse-events/AE-1", "If-None-Match", tag).is(304)
	s.get("/adverse-events/AE-1?wait=1ms", "If-None-Match", tag).is(304)
	ended()
}
