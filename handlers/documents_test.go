//go:build examplekind

package handlers_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/tasks"
)

func (s *service) post(path, body string) answer {
	s.Helper()
	return s.do(s.request(http.MethodPost, path, strings.NewReader(body), "Content-Type", "application/json"))
}

// A kind that no other file knows is taken in, worked on, listed, and told of.
func TestExampleKind(t *testing.T) {
	processor := &tasks.Processor{}
	s := open(t, func(set *settings) { set.newTask = processor.Task })
	const signs = `{"id":"v1","study":"S1","patientId":"P1","visitId":"V2","systolic":120,"diastolic":75}`
	first := s.post("/vital-signs", signs).is(http.StatusCreated)
	require.Equal(t, "/vital-signs/v1", first.Header.Get("Location"))
	again := s.post("/vital-signs", signs).is(http.StatusCreated)
	require.Equal(t, first.get("receipt"), again.get("receipt"))
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	conflict := s.post("/vital-signs", strings.Replace(signs, "120", "121", 1)).is(http.StatusConflict, "id-conflict")
	require.Equal(t, false, conflict.get("stored"))

	done := s.get("/vital-signs/v1?wait=20s").is(200)
	require.Equal(t, "completed", done.get("status"))
	require.Equal(t, float64(90), done.get("result.mean"))
	require.Equal(t, "S1", done.get("study"))
	list := s.get("/vital-signs?study=S1&patientId=P1").is(200).get("items").([]any)
	require.Len(t, list, 1)
	require.Empty(t, s.get("/vital-signs?study=S2").is(200).get("items"))
	require.Empty(t, s.get("/case-reports").is(200).get("items"))
	s.get("/vital-signs/none").is(404, "submission-not-found")
	s.do(s.request(http.MethodPost, "/vital-signs/v1/retry", nil)).is(409, "report-not-failed")

	sub, err := s.Broker.Subscribe(tasks.TopicUpdates, "test", broker.SubscribeOptions{})
	require.NoError(t, err)
	events, err := sub.Receive(t.Context(), 1)
	require.NoError(t, err)
	require.JSONEq(t, `"vital-signs/v1/1"`, `"`+events[0].ID+`"`)
	require.Equal(t, "S1/P1", events[0].Key)
	require.Contains(t, string(events[0].Payload), `"url":"/vital-signs/v1"`)
	require.NoError(t, sub.Close())
}

func TestExampleKindRefuses(t *testing.T) {
	s := open(t)
	for body, field := range map[string]string{
		`{"id":"v1","patientId":"P1","systolic":10,"diastolic":75}`:                                    "/systolic",
		`{"id":"v1","patientId":"P1","systolic":"120","diastolic":75}`:                                 "/systolic",
		`{"id":"v1","patientId":"P1","systolic":120,"systolic":121,"diastolic":75}`:                    "/systolic",
		`{"id":"v1","patientId":"P1","systolic":120,"Systolic":121,"diastolic":75}`:                    "/Systolic",
		"{\"id\":\"v1\",\"patientId\":\"P1\",\"systolic\":120,\"\u017fystolic\":121,\"diastolic\":75}": "/\u017fystolic",
		`{"id":"..","patientId":"P1","systolic":120,"diastolic":75}`:                                   "/id",
		`{"patientId":"P1","systolic":120,"diastolic":75}`:                                             "/id",
		`{"id":"v1","systolic":120,"diastolic":75}`:                                                    "/patientId",
		`{"id":"v1","patientId":null,"systolic":120,"diastolic":75}`:                                   "/patientId",
		`{"id":"v1","patientId":"P1","pulse":60,"systolic":120,"diastolic":75}`:                        "/pulse",
		`{"id":"v1","patientId":"\ud800","systolic":120,"diastolic":75}`:                               "/patientId",
		`{"id":"v1","patientId":"P1","systolic":120,"diastolic":75} {}`:                                "body",
		`{"id":"v1","patientId":"P1","systolic":120`:                                                   "body",
		`null`: "body",
		``:     "body",
		strings.Repeat("[", 32<<10) + strings.Repeat("]", 32<<10): "body",
	} {
		a := s.post("/vital-signs", body).is(http.StatusBadRequest, "invalid-input")
		require.Equal(t, field, a.get("errors").([]any)[0].(map[string]any)["field"], body)
		require.Equal(t, false, a.get("stored"))
	}
	const signs = `{"id":"v1","patientId":"P1","systolic":120,"diastolic":75}`
	s.do(s.request(http.MethodPost, "/vital-signs", strings.NewReader(signs), "Content-Type", "application/json",
		"Content-Digest", "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:")).is(http.StatusBadRequest, "digest-mismatch")
	s.post("/vital-signs", strings.Repeat(" ", 64<<10+1)).is(http.StatusRequestEntityTooLarge, "body-too-large")
	s.do(s.request(http.MethodPost, "/vital-signs", strings.NewReader("{}"))).is(http.StatusUnsupportedMediaType)
	require.Empty(t, s.get("/vital-signs").is(200).get("items"))
}
