package handlers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/study"
	"casepress/tasks"
)

const (
	s1 = `{"schema":1,"id":"S1","version":3,"title":"One","languages":["en","zh-CN"],"sites":[{"id":"101","title":"A"}],
		"crisisText":{"en":"Call 0800 123.","zh-CN":"请拨打 0800 123。"},
		"flags":[{"code":"severe","instrument":"phq-9","score":"total","atLeast":20,"urgent":true,"text":{"en":"Severe"}},
			{"code":"moderate","instrument":"phq-9","score":"total","atLeast":10,"urgent":false,"text":{"en":"Moderate"}}],
		"windows":[{"visitId":"V02","instrument":"phq-9","from":"2020-01-01","to":"2099-12-31","opens":"18:00","closes":"23:59"}]}`
	qr1 = `{"id":"QR-1","study":"S1","instrument":"phq-9","version":"1","patientId":"P001","visitId":"V02","language":"en",
"authored":"%s","answers":{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1},"scores":{"total":13}}`
)

// withStudies runs the real work, with studies of these files.
func withStudies(t testing.TB, files ...string) option {
	dir := t.TempDir()
	for i, content := range files {
		id, _, _ := strings.Cut(strings.SplitN(content, `"id":"`, 2)[1], `"`)
		require.NoError(t, os.WriteFile(filepath.Join(dir, id+".json"), []byte(content), 0o600), i)
	}
	studies, err := study.Load(dir)
	require.NoError(t, err)
	processor := &tasks.Processor{Studies: studies}
	return func(set *settings) { set.studies, set.newTask = studies, processor.Task }
}

func (s *service) send(method, path, body string, headers ...string) answer {
	s.Helper()
	return s.do(s.request(method, path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...))
}

// tonight is within the window of S1, and one time for all tests: what is sent again must be the same.
var tonight = evening(time.Now().UTC())

// evening is a time in a zone where it is eight o'clock and something.
func evening(at time.Time) string {
	zone := time.FixedZone("", (20-at.Hour())*3600)
	if at.Hour() < 6 { // zones go up to 14 hours
		zone = time.FixedZone("", (20-24-at.Hour())*3600)
	}
	return at.In(zone).Format(time.RFC3339)
}

func responseQR1() string { return fmt.Sprintf(qr1, tonight) }

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func TestQuestionnaireResponse(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := responseQR1()
	first := s.send(http.MethodPost, "/questionnaire-responses", body).is(http.StatusCreated)
	require.Equal(t, "/questionnaire-responses/QR-1", first.Header.Get("Location"))
	require.Equal(t, digestOf(body), first.get("receipt.sha256"))
	require.Equal(t, "Call 0800 123.", first.get("crisisText"))
	flags := first.get("flags").([]any)
	require.Len(t, flags, 2, "the instrument's own, and the study's for a total of 10")
	require.Equal(t, map[string]any{"code": "phq-9-item-9", "item": "9", "state": "raised", "urgent": true, "value": float64(1)}, flags[0])
	require.Equal(t, "moderate", flags[1].(map[string]any)["code"])
	require.Empty(t, first.get("warnings"))

	again := s.send(http.MethodPut, "/questionnaire-responses/QR-1", body).is(http.StatusCreated)
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	for _, same := range []string{"receipt", "flags", "crisisText", "adverseEvents", "revision"} {
		require.Equal(t, first.get(same), again.get(same), same)
	}
	other := strings.Replace(body, `"9":1`, `"9":0`, 1)
	conflict := s.send(http.MethodPost, "/questionnaire-responses", other).is(http.StatusConflict, "id-conflict")
	require.Equal(t, digestOf(body), conflict.get("storedSha256"))
	require.Equal(t, digestOf(other), conflict.get("offeredSha256"))
	require.Equal(t, false, conflict.get("stored"))
	require.Equal(t, "QR-1", conflict.get("id"))
	require.NotContains(t, conflict.json(), "reportId")
	require.Contains(t, conflict.get("detail"), `as an amendment, with "amends"`, "not under another id, which would double it")

	done := s.get("/questionnaire-responses/QR-1?wait=20s").is(200)
	require.Equal(t, "completed", done.get("status"))
	require.Equal(t, float64(1), done.get("revision"))
	total := done.get("scores").([]any)[0].(map[string]any)
	require.Equal(t, "total", total["id"])
	require.Equal(t, float64(10), total["value"])
	require.Equal(t, "10", total["exact"])
	require.Equal(t, "moderate", total["band"])
	require.Equal(t, float64(9), total["answered"])
	require.Len(t, total["rule"].(map[string]any)["sha256"], 64)
	require.Equal(t, []any{map[string]any{"score": "total", "claimed": float64(13), "computed": float64(10)}}, done.get("mismatches"))
	require.Equal(t, float64(3), done.get("studyFile.version"))
	require.Equal(t, float64(1), done.get("answers.9"))
	require.Nil(t, done.get("times.device"))
	require.Equal(t, digestOf(body), done.get("original.sha256"))
	original := s.get(done.get("original.url").(string)).is(200)
	require.Equal(t, body, string(original.body), "byte by byte")

	event := s.get("/adverse-events/" + first.get("adverseEvents").([]any)[0].(string) + "?wait=20s").is(200)
	require.Equal(t, "open", event.get("state"))
	require.Equal(t, "completed", event.get("status"))
	require.Equal(t, "/questionnaire-responses/QR-1", event.get("source.url"))
	require.Equal(t, "phq-9-item-9", event.get("flag.code"))
	require.Equal(t, "P001", event.get("patientId"))
	require.Len(t, s.get("/adverse-events?study=S1&patientId=P001").is(200).get("items"), 1)
	require.Empty(t, s.get("/adverse-events?study=S2").is(200).get("items"))
	s.get("/adverse-events/none").is(404, "submission-not-found")
	s.get("/questionnaire-responses/none").is(404, "submission-not-found")
	s.get("/questionnaire-responses/QR-1?revision=2").is(404, "submission-not-found")
	s.get("/questionnaire-responses/QR-1?revision=0").is(400, "invalid-input")
	s.get("/questionnaire-responses/QR-1?revision=01").is(400, "invalid-input")
	retry := s.send(http.MethodPost, "/questionnaire-responses/QR-1/retry", "").is(409, "report-not-failed")
	require.Equal(t, "Only a failed submission can be retried; this one is completed.", retry.get("detail"))

	sub, err := s.Broker.Subscribe(tasks.TopicUpdates, "test", broker.SubscribeOptions{})
	require.NoError(t, err)
	ids := map[string]bool{}
	for len(ids) < 3 {
		events, err := sub.Receive(t.Context(), 1)
		require.NoError(t, err)
		ids[events[0].ID] = true
		require.Equal(t, "S1/P001", events[0].Key)
	}
	require.True(t, ids["questionnaire-response/QR-1/1"])
	require.True(t, ids["adverse-event/"+event.get("id").(string)+"/1"])
	require.True(t, ids[fmt.Sprintf("adverse-event/%s/step/%v", event.get("id"), event.get("receipt.sequence"))])
	require.NoError(t, sub.Close())
}

func TestAmendments(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := responseQR1()
	amend := func(revision int, answer9 string) string {
		return strings.Replace(strings.Replace(body, `"9":1`, `"9":`+answer9, 1), `"scores"`, fmt.Sprintf(`"amends":{"revision":%d,"reason":"a slip of the finger"},"scores"`, revision), 1)
	}
	const at = "/questionnaire-responses/QR-1"
	none := s.send(http.MethodPut, at, amend(1, "0")).is(409, "nothing-to-amend")
	require.Equal(t, float64(0), none.get("latestRevision"))
	first := s.send(http.MethodPut, at, body).is(201)
	second := s.send(http.MethodPut, at, amend(1, "0")).is(201)
	require.Equal(t, float64(2), second.get("revision"))
	require.Equal(t, at+"?revision=2", second.get("statusUrl"))
	require.Empty(t, second.get("adverseEvents"))
	require.Equal(t, first.get("adverseEvents"), s.get(at).is(200).get("adverseEvents"), "the amendment closes none")
	require.NotContains(t, second.json(), "crisisText")
	again := s.send(http.MethodPut, at, amend(1, "0")).is(201)
	require.Equal(t, second.get("receipt"), again.get("receipt"))
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	require.Equal(t, first.get("receipt"), s.send(http.MethodPut, at, body).is(201).get("receipt"), "the first revision is still what it was")

	late := s.send(http.MethodPut, at, amend(1, "2")).is(409, "revision-conflict")
	require.Equal(t, float64(2), late.get("latestRevision"))
	early := s.send(http.MethodPut, at, amend(5, "2")).is(409, "revision-conflict")
	require.Equal(t, float64(2), early.get("latestRevision"))
	of := s.send(http.MethodPut, at, strings.Replace(amend(2, "2"), "P001", "P002", 1)).is(400, "invalid-input")
	require.Equal(t, "/patientId", of.get("errors").([]any)[0].(map[string]any)["field"])
	third := s.send(http.MethodPut, at, amend(2, "3")).is(201)
	require.Equal(t, float64(3), third.get("revision"))
	require.NotEqual(t, first.get("adverseEvents"), third.get("adverseEvents"))
	require.Len(t, third.get("adverseEvents"), 1)

	latest := s.get(at + "?wait=20s").is(200)
	require.Equal(t, float64(3), latest.get("revision"))
	events := append(first.get("adverseEvents").([]any), third.get("adverseEvents").([]any)...)
	for _, revision := range []string{"", "?revision=1", "?revision=2"} {
		require.Equal(t, events, s.get(at+revision).is(200).get("adverseEvents"), "those of all revisions")
	}
	require.Equal(t, events, s.get("/questionnaire-responses").is(200).get("items").([]any)[0].(map[string]any)["adverseEvents"])
	require.Equal(t, "a slip of the finger", latest.get("amends.reason"))
	require.Equal(t, float64(3), latest.get("answers.9"))
	require.Equal(t, float64(12), latest.get("scores").([]any)[0].(map[string]any)["value"])
	require.Equal(t, float64(9), s.get(at + "?revision=2&wait=20s").is(200).get("scores").([]any)[0].(map[string]any)["value"])
	require.Nil(t, s.get(at+"?revision=1").is(200).get("amends"))
	require.Equal(t, amend(1, "0"), string(s.get(at+"/original?revision=2").is(200).body))
	require.Equal(t, amend(2, "3"), string(s.get(at+"/original").is(200).body))
	items := s.get("/questionnaire-responses?study=S1").is(200).get("items").([]any)
	require.Len(t, items, 1, "each response once")
	require.Equal(t, float64(3), items[0].(map[string]any)["revision"])
	require.Len(t, s.get("/adverse-events").is(200).get("items"), 2)

	moved := strings.Replace(strings.Replace(amend(3, "0"), `"V02"`, `"V03"`, 1), `"study":"S1"`, `"study":"S1","site":"101"`, 1)
	require.Equal(t, float64(4), s.send(http.MethodPut, at, moved).is(201).get("revision"), "visit and site may be corrected")
	require.Equal(t, "QR-1", listed(s.get("/questionnaire-responses?visitId=V03&site=101").is(200)))
	require.Empty(t, s.get("/questionnaire-responses?visitId=V02").is(200).get("items"))
	two := s.send(http.MethodPut, at, strings.Replace(amend(4, "1"), "phq-9", "phq-8", 1)).is(400, "invalid-input")
	require.Contains(t, fmt.Sprint(two.get("errors")), "/answers/9")
}

// Of amendments of one revision that come at once one is taken, and the others learn which revision is the latest now.
func TestAmendmentsAtOnce(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := responseQR1()
	s.send(http.MethodPut, "/questionnaire-responses/QR-1", body).is(201)
	var taken atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		amended := strings.Replace(body, `"scores"`, fmt.Sprintf(`"amends":{"revision":1,"reason":"%d"},"scores"`, i), 1)
		request := s.request(http.MethodPut, "/questionnaire-responses/QR-1", strings.NewReader(amended), "Content-Type", "application/json")
		all.Go(func() {
			answer, err := s.client.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			var told struct {
				LatestRevision int
				Code           string
			}
			switch err := json.NewDecoder(answer.Body).Decode(&told); {
			case err != nil:
				t.Error(err)
			case answer.StatusCode == http.StatusCreated:
				taken.Add(1)
			case answer.StatusCode != http.StatusConflict || told.Code != "revision-conflict" || told.LatestRevision != 2:
				t.Errorf("%d %v", answer.StatusCode, told)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, taken.Load())
	require.Equal(t, float64(2), s.get("/questionnaire-responses/QR-1").is(200).get("revision"))
}

func TestQuestionnaireResponsesThatAreRefused(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := responseQR1()
	for _, tc := range []struct{ old, new, field string }{
		{`"9":1}`, `"9":"1"}`, "/answers/9"},
		{`"9":1}`, `"9":1,"9":0}`, "/answers/9"},
		{`"9":1}`, `"9":4}`, "/answers/9"},
		{`"9":1}`, `"9":1,"10":0}`, "/answers/10"},
		{`"version":"1"`, `"version":"2"`, "/version"},
		{`"instrument":"phq-9"`, `"instrument":"phq-99"`, "/instrument"},
		{`"patientId":"P001",`, ``, "/patientId"},
		{`"patientId":"P001"`, `"patientId":"P/1"`, "/patientId"},
		{`"study":"S1"`, `"study":"S1","site":"102"`, "/site"},
		{`"study"`, `"Study"`, "/Study"},
		{`{"id"`, `[{"id"`, "body"},
		{`"id":"QR-1"`, `"id":"QR-1~2"`, "/id"},
	} {
		require.Contains(t, body, tc.old)
		a := s.send(http.MethodPost, "/questionnaire-responses", strings.Replace(body, tc.old, tc.new, 1)).is(400, "invalid-input")
		require.Equal(t, tc.field, a.get("errors").([]any)[0].(map[string]any)["field"], tc.new)
		require.Equal(t, false, a.get("stored"))
	}
	other := s.send(http.MethodPut, "/questionnaire-responses/QR-2", body).is(400, "invalid-input")
	require.Equal(t, "/id", other.get("errors").([]any)[0].(map[string]any)["field"])
	s.send(http.MethodPut, "/questionnaire-responses/QR~1", body).is(400, "invalid-input")
	s.send(http.MethodPost, "/questionnaire-responses?study=S1", body).is(400, "invalid-input")
	s.send(http.MethodPost, "/questionnaire-responses", strings.Replace(body, `"id":"QR-1",`, "", 1)).is(400, "invalid-input")
	s.send(http.MethodPost, "/questionnaire-responses", body+strings.Repeat(" ", 64<<10)).is(413, "body-too-large")
	s.do(s.request(http.MethodPost, "/questionnaire-responses", strings.NewReader(body), "Content-Type", "text/plain")).is(415, "unsupported-media-type")
	s.send(http.MethodPost, "/questionnaire-responses", body, "Content-Digest", "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:").is(400, "digest-mismatch")
	require.Empty(t, s.get("/questionnaire-responses").is(200).get("items"), "nothing of it is kept")
	// Without the id in the body, PUT takes that of the address; and the bytes are what it is known by.
	without := strings.Replace(body, `"id":"QR-1",`, "", 1)
	require.Equal(t, digestOf(without), s.send(http.MethodPut, "/questionnaire-responses/QR-1", without).is(201).get("receipt.sha256"))
	s.send(http.MethodPut, "/questionnaire-responses/QR-1", body).is(409, "id-conflict")
}

func TestWarningsAreStored(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := strings.Replace(fmt.Sprintf(qr1, "2026-01-05T09:00:01Z"), `"authored"`, `"started":"2026-01-05T09:00:00Z","authored"`, 1)
	body = strings.Replace(body, `{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1}`, `{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1}`, 1)
	at := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	a := s.send(http.MethodPost, "/questionnaire-responses", body, "Date", at).is(201)
	var codes []string
	for _, w := range a.get("warnings").([]any) {
		codes = append(codes, w.(map[string]any)["code"].(string))
	}
	require.Len(t, codes, 4, "%v", codes)
	require.Subset(t, codes, []string{"out-of-window", "clock-skew", "straight-lining"})
	shown := s.get("/questionnaire-responses/QR-1?wait=20s").is(200)
	require.Equal(t, a.get("warnings"), shown.get("warnings"))
	require.NotNil(t, shown.get("times.device"))
	require.Equal(t, "2026-01-05T09:00:00Z", shown.get("times.started"))
	require.Equal(t, a.get("receipt.receivedAt"), shown.get("times.received"))
	require.NotEmpty(t, shown.get("times.stored"))
}

func TestListOfResponses(t *testing.T) {
	s := open(t, withStudies(t, s1))
	for i, tc := range []struct{ study, patient, visit, instrument, authored string }{
		{"S1", "P1", "V1", "phq-9", "2026-11-01T10:00:00Z"}, {"S1", "P1", "V2", "gad-7", "2026-11-02T10:00:00Z"},
		{"S1", "P2", "V1", "phq-9", "2026-11-03T10:00:00+08:00"}, {"S2", "P1", "V1", "phq-9", "2026-11-04T10:00:00Z"},
	} {
		s.send(http.MethodPost, "/questionnaire-responses", fmt.Sprintf(`{"id":"Q%d","study":%q,"patientId":%q,"visitId":%q,"instrument":%q,"version":"1","language":"en","authored":%q,"answers":{"1":0}}`,
			i, tc.study, tc.patient, tc.visit, tc.instrument, tc.authored)).is(201)
	}
	for query, want := range map[string]string{
		"": "Q3 Q2 Q1 Q0", "?study=S1": "Q2 Q1 Q0", "?study=S1&patientId=P1": "Q1 Q0", "?patientId=P1": "Q3 Q1 Q0", "?visitId=V1": "Q3 Q2 Q0",
		"?instrument=gad-7": "Q1", "?instrument=gad-2": "", "?from=2026-11-02T10:00:00Z": "Q3 Q2 Q1", "?to=2026-11-02T10:00:00Z": "Q0",
		"?from=2026-11-03T02:00:00Z&to=2026-11-03T02:00:01Z": "Q2", "?from=2026-11-02T18:00:00%2B08:00&instrument=phq-9&study=S1": "Q2",
	} {
		require.Equal(t, want, listed(s.get("/questionnaire-responses"+query).is(200)), query)
	}
	for _, query := range []string{"?from=yesterday", "?instrument=", "?instrument=a/b", "?to=2026-11-02", "?patient=P1", "?limit=0", "?include=notes"} {
		s.get("/questionnaire-responses"+query).is(400, "invalid-input")
	}
	var all []string
	for next := "?instrument=phq-9&limit=1"; next != ""; {
		page := s.get("/questionnaire-responses" + next).is(200)
		all = append(all, listed(page))
		next = ""
		if cursor, more := page.get("next").(string); more {
			next = "?instrument=phq-9&limit=1&cursor=" + cursor
		}
	}
	require.Equal(t, []string{"Q3", "Q2", "Q0"}, all)
}

func listed(a answer) string {
	var ids []string
	for _, item := range a.get("items").([]any) {
		ids = append(ids, item.(map[string]any)["id"].(string))
	}
	return strings.Join(ids, " ")
}

// A definition that is gone when a response is to be scored fails it, and it is scored once the definition is back.
func TestDefinitionIsGone(t *testing.T) {
	var gone atomic.Bool
	gone.Store(true)
	s := open(t, withStudies(t, s1), func(set *settings) {
		scoring := set.newTask
		set.newTask = func(w tasks.Work) (tasks.Task, error) {
			if r, ok := w.Content.(tasks.QuestionnaireResponse); ok && gone.Load() {
				r.Rule.Version = "2"
				w.Content = r
			}
			return scoring(w)
		}
	})
	s.send(http.MethodPut, "/questionnaire-responses/QR-1", responseQR1()).is(201)
	amended := strings.Replace(responseQR1(), `"scores"`, `"amends":{"revision":1,"reason":"x"},"scores"`, 1)
	s.send(http.MethodPut, "/questionnaire-responses/QR-1", amended).is(201)
	failed := s.get("/questionnaire-responses/QR-1?wait=20s").is(200)
	require.Equal(t, "failed", failed.get("status"))
	require.Contains(t, failed.get("error"), "has no instrument phq-9 version 2 any more")
	require.Empty(t, failed.get("scores"))
	require.Len(t, failed.get("flags"), 2, "flags do not wait for scores")
	gone.Store(false)
	again := s.send(http.MethodPost, "/questionnaire-responses/QR-1/retry", "").is(202)
	require.Equal(t, "/questionnaire-responses/QR-1?revision=2", again.get("statusUrl"))
	require.Equal(t, "QR-1", again.get("id"))
	require.Equal(t, "completed", s.get("/questionnaire-responses/QR-1?wait=20s").is(200).get("status"))
	require.Equal(t, "failed", s.get("/questionnaire-responses/QR-1?revision=1&wait=20s").is(200).get("status"))
	s.send(http.MethodPost, "/questionnaire-responses/QR-1/retry?revision=1", "").is(202)
	require.Equal(t, "completed", s.get("/questionnaire-responses/QR-1?revision=1&wait=20s").is(200).get("status"))
}

func TestInstruments(t *testing.T) {
	s := open(t, withStudies(t, s1))
	list := s.get("/instruments").is(200)
	require.Contains(t, listed(list), "phq-9")
	s.get("/instruments", "If-None-Match", list.Header.Get("Etag")).is(304)
	phq9 := s.get("/instruments/phq-9").is(200)
	require.Len(t, phq9.get("sha256"), 64)
	require.Len(t, phq9.get("items"), 10)
	item := phq9.get("items").([]any)[8].(map[string]any)
	require.Equal(t, "9", item["id"])
	require.Len(t, item["options"], 4)
	require.Contains(t, phq9.get("copyright").([]any)[0], "Pfizer")
	require.Len(t, phq9.get("flags"), 1)
	require.Len(t, s.get("/instruments/phq-9?study=S1&version=1&language=en").is(200).get("flags"), 3, "with those of the study")
	require.Equal(t, map[string]any{"en": "Not at all"}, s.get("/instruments/phq-9?language=en").is(200).get("items").([]any)[0].(map[string]any)["options"].([]any)[0].(map[string]any)["text"])
	require.Contains(t, s.get("/instruments/phq-9?language=zh-CN").is(400, "invalid-input").get("detail"), "must be one of en")
	require.Contains(t, s.get("/instruments/who-5?language=en").is(400, "invalid-input").get("detail"), "no wording")
	require.Empty(t, s.get("/instruments/who-5").is(200).get("languages"))
	s.get("/instruments/phq-9?version=2").is(404, "instrument-not-found")
	s.get("/instruments/phq").is(404, "instrument-not-found")
	s.get("/instruments?study=a/b").is(400, "invalid-input")
	unknown := s.get("/instruments?study=S1&site=999").is(400, "invalid-input")
	require.Equal(t, "site", unknown.get("errors").([]any)[0].(map[string]any)["field"])
	require.Contains(t, unknown.get("detail"), "999 is not a site of the study S1")
	require.Equal(t, s.get("/instruments?study=S1").is(200).body, s.get("/instruments?study=S1&site=101").is(200).body)
	s.get("/instruments?study=S9&site=999").is(200) // it has no file
	s.get("/instruments?study=S1&site=a/b").is(400, "invalid-input")
	s.get("/instruments?studies=S1").is(400, "invalid-input")
}

// A page ends before it is larger than 1 MiB, and the next one goes on behind it.
func TestPagesOfLargeItems(t *testing.T) {
	s := open(t, withStudies(t, s1))
	claims := make([]string, 499)
	for i := range claims {
		claims[i] = fmt.Sprintf(`"%s%03d":1`, strings.Repeat("x", 80), i)
	}
	const n = 24
	var want []string
	for i := range n {
		body := strings.Replace(fmt.Sprintf(qr1, tonight), `"total":13`, strings.Join(claims, ","), 1)
		id := fmt.Sprintf("QR-%d", i)
		s.send(http.MethodPost, "/questionnaire-responses", strings.Replace(body, `"QR-1"`, `"`+id+`"`, 1)).is(http.StatusCreated)
		want = append([]string{id}, want...)
	}
	for _, id := range want {
		s.get("/questionnaire-responses/" + id + "?wait=20s").is(http.StatusOK)
	}
	var got []string
	pages := 0
	for next := "/questionnaire-responses?limit=200"; next != ""; pages++ {
		page := s.get(next).is(http.StatusOK)
		require.Less(t, len(page.body), 1<<20+1000)
		for _, item := range page.get("items").([]any) {
			got = append(got, item.(map[string]any)["id"].(string))
		}
		next = ""
		if cursor, more := page.get("next").(string); more {
			next = "/questionnaire-responses?limit=200&cursor=" + cursor
		}
	}
	require.Equal(t, want, got)
	require.Greater(t, pages, 1)
}

// By each of the three ways the crisis text is in the language that the request prefers, and a replay repeats it.
func TestCrisisTextInTheLanguageOfTheRequest(t *testing.T) {
	s := open(t, withStudies(t, s1))
	for i, tc := range []struct{ accepted, language, want string }{
		{"", "en", "en"}, {"", "zh-CN", "zh-CN"}, {"zh-CN,zh;q=0.9,en;q=0.8", "en", "zh-CN"}, {"en;q=0.2, zh-TW;q=0.7", "en", "zh-CN"},
		{"fr, zh;q=0.9", "en", "en"}, {"*", "zh-CN", "zh-CN"}, {"*;q=0.5, en-GB", "zh-CN", "en"}, {"zh;q=x", "en", "en"}, {"zh-Hans-CN-u-co-pinyin", "en", "zh-CN"},
	} {
		id := fmt.Sprintf("L-%d", i)
		urgent := strings.NewReplacer(`"9":0`, `"9":2`, `"language":"en"`, `"language":"`+tc.language+`"`).Replace(response(id, ""))
		resource := strings.NewReplacer(fhirID, "fhir-"+id, `"language":"zh-CN"`, `"language":"`+tc.language+`"`).Replace(fhirQR1())
		var headers []string
		if tc.accepted != "" {
			headers = []string{"Accept-Language", tc.accepted}
		}
		first := s.send(http.MethodPost, "/questionnaire-responses", urgent, headers...).is(201)
		require.Equal(t, tc.want, first.get("crisisTextLanguage"), "%v", tc)
		again := s.send(http.MethodPost, "/questionnaire-responses", urgent, "Accept-Language", "en").is(201)
		require.Equal(t, first.get("crisisText"), again.get("crisisText"), "%v", tc)
		require.Equal(t, tc.want, s.get("/questionnaire-responses/"+id).is(200).get("crisisTextLanguage"))

		notice := s.putFHIR("fhir-"+id, resource, headers...).is(201).issue("crisis-text")["details"].(map[string]any)
		require.Equal(t, first.get("crisisText"), notice["text"], "%v", tc)

		line := strings.ReplaceAll(urgent, id, "B"+id)
		batch := s.do(s.request(http.MethodPost, batchPath, strings.NewReader(line), append([]string{"Content-Type", "application/x-ndjson"}, headers...)...)).is(207)
		require.Equal(t, tc.want, batch.get("items").([]any)[0].(map[string]any)["accepted"].(map[string]any)["crisisTextLanguage"], "%v", tc)
	}
}

func TestUnknownStudyIsTold(t *testing.T) {
	s := open(t, withStudies(t, s1))
	misspelt := strings.NewReplacer(`"S1"`, `"s1"`, `"9":0`, `"9":2`).Replace(response("U", ""))
	a := s.send(http.MethodPost, "/questionnaire-responses", misspelt).is(201)
	require.Equal(t, "unknown-study", a.get("warnings").([]any)[0].(map[string]any)["code"])
	require.Contains(t, a.get("warnings").([]any)[0].(map[string]any)["detail"], "S1?")
	require.NotContains(t, string(a.body), "crisisText")
	require.Equal(t, a.get("warnings"), s.get("/questionnaire-responses/U").is(200).get("warnings"))
	s.putFHIR(fhirID, strings.ReplaceAll(fhirQR1(), `"S1"`, `"s1"`)).is(201).issue("unknown-study")
}

// A problem names its field once: errors[].field has the pointer, and the detail does not repeat it.
func TestProblemsNameTheFieldOnce(t *testing.T) {
	s := open(t, withStudies(t, s1))
	for change, want := range map[string][]string{
		`"instrument":"phq-9"`:  {`"instrument":"phq-99"`, "/instrument", `the study has no instrument "phq-99"; GET /instruments lists what there is`},
		`"patientId":"P001",`:   {``, "/patientId", "is missing; give the id of the patient"},
		`"version":"1"`:         {`"version":1`, "/version", `must be 1 to 64 of A-Z a-z 0-9 . _ -, but neither "." nor "..", not a number; write "1" in quotes`},
		`"9":1`:                 {`"9":7`, "/answers/9", "7 is not an option of this item; it has 0, 1, 2, 3"},
		`"id":"QR-1",`:          {``, "/id", "is missing; give an id of your own"},
		`"answers":{"1":0,"2":`: {`"answers":{"1":"0","2":`, "/answers/1", "write 0 without quotes"},
	} {
		a := s.send(http.MethodPost, "/questionnaire-responses", strings.Replace(responseQR1(), change, want[0], 1)).is(400, "invalid-input")
		require.Len(t, a.get("errors"), 1)
		first := a.get("errors").([]any)[0].(map[string]any)
		require.Equal(t, want[1], first["field"])
		require.Contains(t, first["detail"], want[2])
		require.NotContains(t, first["detail"], strings.TrimPrefix(want[1], "/")+": ")
		require.Equal(t, want[1]+": "+first["detail"].(string)+".", a.get("detail"))
	}
	require.Equal(t, "body", s.send(http.MethodPost, "/questionnaire-responses", "[]").is(400).get("errors").([]any)[0].(map[string]any)["field"])
}
