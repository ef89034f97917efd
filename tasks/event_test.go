package tasks_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

var exampleFinished = tasks.Finished{
	Kind: tasks.KindCaseReport(), Status: tasks.Completed, Attempt: 2, Sequence: 7, Time: time.Date(2026, 11, 21, 12, 0, 7, 734001000, time.UTC),
	Header: tasks.Header{ID: "r1", Study: "S1", Site: "01", PatientID: "P001", VisitID: "V2"},
}

func TestReadEvent(t *testing.T) {
	e, err := exampleFinished.Event()
	require.NoError(t, err)
	told, err := tasks.ReadEvent(12, e.Payload)
	require.NoError(t, err)
	text, err := json.Marshal(told)
	require.NoError(t, err)
	require.JSONEq(t, `{"sequence":12,"id":"r1/2","type":"patient-data-update","time":"2026-11-21T12:00:07.734001Z","kind":"case-report","study":"S1","site":"01",
		"patientId":"P001","visitId":"V2","data":{"submissionId":"r1","reportId":"r1","status":"completed","attempt":2,"sequence":7,"url":"/case-reports/r1"}}`, string(text))
	for _, payload := range []string{"", "null", "[]", "{}", `{"id":"a"}`, `{"type":"a"}`, `{"id":1,"type":"a"}`, `{"id":"a","type":"a","time":7}`} {
		_, err := tasks.ReadEvent(12, []byte(payload))
		require.ErrorContains(t, err, "event 12", payload)
	}
}

// Whatever can be read is told with everything that was in it.
func FuzzReadEvent(f *testing.F) {
	e, err := exampleFinished.Event()
	require.NoError(f, err)
	f.Add(e.Payload)
	f.Add([]byte(`{"id":"a","type":"b","ID":"c","data":{"x":[1]},"sequence":"7"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		told, err := tasks.ReadEvent(1, payload)
		if err != nil {
			return
		}
		text, err := json.Marshal(told)
		require.NoError(t, err)
		require.True(t, json.Valid(text))
		require.NotContains(t, string(text), "\n", "it stands on one line of a stream")
		var members map[string]any
		require.NoError(t, json.Unmarshal(payload, &members))
		common := 0
		for _, name := range []string{"id", "type", "time", "kind", "study", "site", "patientId", "visitId"} {
			if _, there := members[name]; there {
				common++
			}
		}
		require.Len(t, told.Data, len(members)-common)
	})
}
