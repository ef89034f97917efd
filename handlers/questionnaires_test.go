package handlers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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

// tonight is within the window of S1.
func tonight() string {
	day := time.Now().UTC()
	zone := time.FixedZone("", (20-day.Hour())*3600)
	if day.Hour() < 6 { // zones go up to 14 hours
		zone = time.FixedZone("", (20-24-day.Hour())*3600)
	}
	return day.In(zone).Format(time.RFC3339)
}

func responseQR1() string { return fmt.Sprintf(qr1, tonight()) }

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
	s.send(http.MethodPost, "/questionnaire-responses/QR-1/retry", "").is(409, "report-not-failed")

	sub, err := s.Broker.Subscribe(tasks.TopicUpdates, "test", broker.SubscribeOptions{})
	require.NoError(t, err)
	ids := map[string]bool{}
	for len(ids) < 2 {
		events, err := sub.Receive(t.Context(), 1)
		require.NoError(t, err)
		ids[events[0].ID] = true
		require.Equal(t, "S1/P001", events[0].Key)
	}
	require.True(t, ids["questionnaire-response/QR-1/1"])
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
	require.Equal(t, "a slip of the finger", latest.get("amends.reason"))
	require.Equal(t, float64(3), latest.get("answers.9"))
	require.Equal(t, float64(12), latest.get("scores").([]any)[0].(map[string]any)["value"])
	require.Equal(t, float64(9), s.get(at+"?revision=2&wait=20s").is(200).get("scores").([]any)[0].(map[string]any)["value"])
	require.Nil(t, s.get(at+"?revision=1").is(200).get("amends"))
	require.Equal(t, amend(1, "0"), string(s.get(at+"/original?revision=2").is(200).body))
	require.Equal(t, amend(2, "3"), string(s.get(at+"/original").is(200).body))
	items := s.get("/questionnaire-responses?study=S1").is(200).get("items").([]any)
	require.Len(t, items, 1, "each response once")
	require.Equal(t, float64(3), items[0].(map[string]any)["revision"])
	require.Len(t, s.get("/adverse-events").is(200).get("items"), 2)
}
