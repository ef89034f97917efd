package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	trial "casepress/progress"
)

const planned = `{"schema":1,"id":"PL","version":1,"title":"Planned","languages":["en"],"sites":[{"id":"101","title":"Huashan"},{"id":"102","title":"B"}],
	"visits":[{"id":"V01","title":"Baseline","day":1,"after":1,"due":["phq-9"]},{"id":"V02","title":"Week 1","day":8,"before":1,"after":2,"due":["phq-9","gad-7"]}]}`

// daysAgo is a time of that many days ago, in UTC.
func daysAgo(n int) time.Time { return time.Now().UTC().AddDate(0, 0, -n) }

// answered hands in the answers to the PHQ-9.
func (s *service) answered(id, site, patient, visit string, at time.Time) {
	s.Helper()
	s.send(http.MethodPost, "/questionnaire-responses", fmt.Sprintf(`{"id":%q,"study":"PL","site":%q,"instrument":"phq-9","version":"1","patientId":%q,"visitId":%q,"language":"en",
		"authored":%q,"answers":{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":0}}`, id, site, patient, visit, at.Format(time.RFC3339))).is(http.StatusCreated)
}

// progressOf asks until everything that was handed in has finished, which is so many events, and is there.
func (s *service) progressOf(query string, events int) answer {
	s.Helper()
	var a answer
	require.Eventually(s, func() bool {
		finished := len(s.get("/events").page().Events) == events
		a = s.get("/trial-progress?" + query).is(200)
		return finished && a.get("behind") == float64(0)
	}, patience, 5*time.Millisecond)
	return a
}

func TestTrialProgress(t *testing.T) {
	s := open(t, withStudies(t, planned))
	s.answered("A-1", "101", "P001", "V01", daysAgo(20))
	s.answered("A-2", "101", "P001", "V02", daysAgo(13))
	s.answered("B-1", "102", "P002", "V01", daysAgo(0))
	a := s.progressOf("study=PL", 3)
	require.Len(t, a.get("patients"), 2)
	require.Equal(t, "Planned", a.get("title"))
	require.Equal(t, map[string]any{"id": "V02", "title": "Week 1", "day": float64(8), "before": float64(1), "after": float64(2), "due": []any{"phq-9", "gad-7"}},
		a.get("schedule").([]any)[1])
	require.Equal(t, daysAgo(0).Format(time.DateOnly), a.get("today"))
	require.Equal(t, float64(4), a.get("totals.expectedSoFar"), "%s", a.body)
	require.Equal(t, float64(3), a.get("totals.completed"))
	require.Equal(t, float64(1), a.get("totals.missing"))
	require.Equal(t, 0.75, a.get("totals.compliance"))
	site := a.get("sites").([]any)[0].(map[string]any)
	require.Equal(t, "Huashan", site["title"])
	require.Equal(t, float64(1), site["patients"])

	patient := a.get("patients").([]any)[0].(map[string]any)
	require.Equal(t, daysAgo(20).Format(time.DateOnly), patient["day1"])
	visit := patient["visits"].([]any)[1].(map[string]any)
	require.Equal(t, "started", visit["state"])
	require.Equal(t, true, visit["late"])
	require.Equal(t, daysAgo(13).Format(time.DateOnly), visit["window"].(map[string]any)["day"])
	require.Equal(t, "missing", visit["items"].([]any)[1].(map[string]any)["state"])
	require.NotContains(t, string(a.body), "submissions", "they are for one patient")
	require.NotContains(t, string(a.body), `"total"`, "no scores")

	one := s.get("/trial-progress?study=PL&patientId=P001&visitId=V02").is(200)
	item := one.get("patients").([]any)[0].(map[string]any)["visits"].([]any)[0].(map[string]any)["items"].([]any)[0].(map[string]any)
	submission := item["submissions"].([]any)[0].(map[string]any)
	require.Equal(t, "/questionnaire-responses/A-2", submission["url"])
	s.get(submission["url"].(string)).is(200)

	first := s.get("/trial-progress?study=PL&limit=1").is(200)
	require.NotEmpty(t, first.Header.Get("Link"))
	next := s.get("/trial-progress?study=PL&limit=1&cursor=" + first.get("next").(string)).is(200)
	require.Nil(t, next.get("next"))
	require.Nil(t, next.get("totals"))
	require.Nil(t, next.get("sites"))
	require.Equal(t, "P002", next.get("patients").([]any)[0].(map[string]any)["patientId"])
	require.Len(t, s.get("/trial-progress?study=PL&site=102").is(200).get("patients"), 1)
	require.Empty(t, s.get("/trial-progress").is(200).get("patients"))
	require.Empty(t, s.get("/trial-progress?study=other").is(200).get("schedule"))
}

// A study or a visit that is misspelt looks as one of which nothing has come: the answer says what is odd.
func TestTrialProgressWarns(t *testing.T) {
	s := open(t, withStudies(t, planned))
	for query, want := range map[string]string{
		"": "", "study=PL": "", "study=PL&visitId=V02": "",
		"study=TYPO":           "unknown-study: there is no file of the study TYPO",
		"study=pl":             "unknown-study: there is no file of the study pl, so it has no crisis text, flags or sites of its own; ids differ in case: PL?",
		"study=PL&visitId=V03": "unknown-visit: the schedule of the study has no visit V03; it has V01, V02",
	} {
		warnings := s.get("/trial-progress?" + query).is(200).get("warnings").([]any)
		if want == "" {
			require.Empty(t, warnings, query)
			continue
		}
		require.Len(t, warnings, 1, query)
		one := warnings[0].(map[string]any)
		require.Contains(t, fmt.Sprint(one["code"], ": ", one["detail"]), want)
	}
}

func TestTrialProgressRefusals(t *testing.T) {
	s := open(t, withStudies(t, planned))
	for query, field := range map[string]string{
		"study=..": "study", "study=PL&site=103": "site", "patientId=a%20b": "patientId", "visitId=%2F": "visitId", "limit=0": "limit", "limit=201": "limit",
		"cursor=!": "cursor", "cursor=UDB": "cursor", "study=": "study", "patient=P1": "patient",
	} {
		a := s.get("/trial-progress?"+query).is(400, "invalid-input")
		require.Equal(t, field, a.get("errors").([]any)[0].(map[string]any)["field"], query)
	}
}

// However much of trial progress is being made, lists and events are answered.
func TestTrialProgressHoldsUpNoList(t *testing.T) {
	s := open(t)
	made := handlers.MakeProgress(s.API)
	waiting := s.later("/trial-progress")
	for _, path := range []string{"/case-reports", "/events"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s.do(s.request(http.MethodGet, path, nil).WithContext(ctx)).is(200)
		cancel()
	}
	made()
	(<-waiting).is(200)
}

// A process that has no submissions serves the same answers.
func TestTrialProgressAlone(t *testing.T) {
	t.Parallel()
	rows, err := trial.Open(t.Context(), filepath.Join(t.TempDir(), "progress.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rows.Close()) })
	event, _, err := trial.Decode([]byte(`{"id":"CR-1/1","type":"patient-data-update","time":"2026-11-21T20:00:01Z","kind":"case-report","submissionId":"CR-1","patientId":"P001","status":"completed","attempt":1}`))
	require.NoError(t, err)
	_, err = rows.Apply(context.Background(), []trial.Event{event}, func([]error) (trial.Position, func()) { return trial.Position{Topic: "x"}, func() {} })
	require.NoError(t, err)
	var broken error
	api := handlers.NewTrialProgress(handlers.Config{
		Progress: handlers.TrialProgress{Rows: rows, Behind: func() (uint64, error) { return 3, nil }},
	}, func() error { return broken }, slog.New(slog.DiscardHandler))
	get := func(path string) (int, map[string]any) {
		r, w := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil), httptest.NewRecorder()
		api.ServeHTTP(w, r)
		var body map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), w.Body.String())
		return w.Code, body
	}
	status, body := get("/trial-progress")
	require.Equal(t, 200, status)
	require.Equal(t, float64(3), body["behind"])
	require.Len(t, body["patients"], 1)
	status, _ = get("/case-reports")
	require.Equal(t, 404, status)
	status, _ = get("/healthz")
	require.Equal(t, 200, status)
	status, _ = get("/readyz")
	require.Equal(t, 200, status)
	broken = errors.New("no broker answers")
	status, body = get("/readyz")
	require.Equal(t, 503, status)
	require.Contains(t, body["detail"], "no broker answers")
	broken = nil
	api.Drain()
	status, _ = get("/readyz")
	require.Equal(t, 503, status)
}
