package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

func (s *service) receipts(items ...map[string]any) answer {
	s.Helper()
	body, err := json.Marshal(map[string]any{"items": items})
	require.NoError(s, err)
	return s.send(http.MethodPost, "/receipts/check", string(body))
}

func TestReceipts(t *testing.T) {
	s := open(t, withStudies(t, s1), func(set *settings) {
		others := set.newTask
		set.newTask = func(w tasks.Work) (tasks.Task, error) {
			if w.Kind == tasks.KindCaseReport() { // its result is not asked for
				return nil, errors.New("not here")
			}
			return others(w)
		}
	})
	first := response("QR", "")
	second := response("QR", `,"amends":{"revision":1,"reason":"x"}`)
	s.send(http.MethodPost, "/questionnaire-responses", first).is(201)
	s.send(http.MethodPut, "/questionnaire-responses/QR", second).is(201)
	s.put("P1", "i", photo(1)).is(201)
	report := s.uploadForm("patientId=P1&imageId=i&reportId=r1").is(202).get("receipt.sha256")
	s.send(http.MethodPost, "/questionnaire-responses", response("r1", "")).is(201)
	none := strings.Repeat("0", 64)
	for i, tc := range []struct {
		ask  map[string]any
		want map[string]any
	}{
		{map[string]any{"id": "QR", "sha256": digestOf(first), "kind": "questionnaire-response"}, map[string]any{"state": "stored", "kind": "questionnaire-response", "revision": 1.0}},
		{map[string]any{"id": "QR", "sha256": digestOf(second)}, map[string]any{"state": "stored", "kind": "questionnaire-response", "revision": 2.0}},
		{map[string]any{"id": "QR", "sha256": none}, map[string]any{"state": "different", "kind": "questionnaire-response", "storedSha256": digestOf(second)}},
		{map[string]any{"id": "Q", "sha256": digestOf(first)}, map[string]any{"state": "unknown", "kind": nil}},
		{map[string]any{"id": "QR", "sha256": digestOf(first), "kind": "case-report"}, map[string]any{"state": "unknown", "kind": nil}},
		{map[string]any{"id": "r1", "sha256": report}, map[string]any{"state": "stored", "kind": "case-report"}},
		{map[string]any{"id": "r1", "sha256": digestOf(response("r1", ""))}, map[string]any{"state": "stored", "kind": "questionnaire-response", "revision": 1.0}},
		{map[string]any{"id": "r1", "sha256": none, "kind": "case-report"}, map[string]any{"state": "different", "kind": "case-report", "storedSha256": report}},
		{map[string]any{"id": "i", "sha256": digestOf(string(photo(1))), "kind": "image", "patientId": "P1"}, map[string]any{"state": "stored", "kind": "image"}},
		{map[string]any{"id": "i", "sha256": digestOf(string(photo(1))), "kind": "image", "patientId": "P2"}, map[string]any{"state": "unknown", "kind": nil}},
		{map[string]any{"id": "i", "sha256": none, "kind": "image", "patientId": "P1"}, map[string]any{"state": "different", "kind": "image", "storedSha256": digestOf(string(photo(1)))}},
	} {
		got := s.receipts(tc.ask).is(200).get("items").([]any)[0].(map[string]any)
		tc.want["index"], tc.want["id"] = 0.0, tc.ask["id"]
		require.Equal(t, tc.want, got, i)
	}

	var many []map[string]any
	for i := range 1001 {
		many = append(many, map[string]any{"id": fmt.Sprintf("n%d", i), "sha256": none})
	}
	many[999] = map[string]any{"id": "QR", "sha256": digestOf(first)}
	items := s.receipts(many[:1000]...).is(200).get("items").([]any)
	require.Len(t, items, 1000)
	require.Equal(t, "unknown", items[998].(map[string]any)["state"])
	require.Equal(t, "stored", items[999].(map[string]any)["state"])
	s.receipts(many...).is(400, "invalid-input")
	s.receipts().is(400, "invalid-input")
	for pointer, ask := range map[string]map[string]any{
		"/items/0/sha256": {"id": "a", "sha256": strings.ToUpper(digestOf("a"))},
		"/items/0/kind":   {"id": "a", "sha256": none, "kind": "retry"},
		"/items/0":        {"id": "i", "sha256": none, "kind": "image"},
		"/items/0/id":     {"id": "a~2", "sha256": none},
	} {
		require.Equal(t, pointer, s.receipts(ask).is(400, "invalid-input").get("errors").([]any)[0].(map[string]any)["field"])
	}
	s.send(http.MethodPost, "/receipts/check", strings.Repeat(" ", 513<<10)).is(413)
}

// What is accepted and has no row yet is never called unknown.
func TestReceiptsBeforeTheRows(t *testing.T) {
	s := open(t, withStudies(t, s1), func(set *settings) { set.readTimeout = 50 * time.Millisecond })
	body := response("QR", "")
	old := response("OLD", "")
	s.send(http.MethodPost, "/questionnaire-responses", old).is(201)
	for s.get("/questionnaire-responses/OLD").StatusCode == 503 { // a busy machine may be behind for longer than a question waits
		runtime.Gosched()
	}
	unlock := s.lockRows()
	s.send(http.MethodPost, "/questionnaire-responses", body).is(201)
	ask := map[string]any{"id": "QR", "sha256": digestOf(body)}
	require.Equal(t, "5", s.receipts(ask).is(503, "rows-behind").Header.Get("Retry-After"))
	require.Equal(t, "stored", s.receipts(map[string]any{"id": "OLD", "sha256": digestOf(old)}).is(200).get("items").([]any)[0].(map[string]any)["state"])
	unlock()
	a := s.receipts(ask)
	for a.StatusCode == 503 {
		runtime.Gosched()
		a = s.receipts(ask)
	}
	require.Equal(t, "stored", a.is(200).get("items").([]any)[0].(map[string]any)["state"])
	for i := range 20 { // at once after each receipt
		body := response(fmt.Sprintf("N%d", i), "")
		s.send(http.MethodPost, "/questionnaire-responses", body).is(201)
		a := s.receipts(map[string]any{"id": fmt.Sprintf("N%d", i), "sha256": digestOf(body)})
		if a.StatusCode != 503 {
			require.Equal(t, "stored", a.is(200).get("items").([]any)[0].(map[string]any)["state"])
		}
	}
}
