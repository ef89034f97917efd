package progress_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/progress"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

const whole = `{"id":"questionnaire-response/QR-1~2/3","type":"patient-data-update","time":"2026-11-21T20:00:01.000004Z","kind":"questionnaire-response","submissionId":"QR-1",
"instrument":"phq-9","occurredAt":"2026-11-21T21:58:30+02:00","revision":2,"study":"S1","site":"101","patientId":"P001","visitId":"V01","status":"completed","attempt":3,
"sequence":41,"url":"/questionnaire-responses/QR-1?revision=2","new":"member"}`

func TestDecode(t *testing.T) {
	e, counts, err := progress.Decode([]byte(whole))
	require.NoError(t, err)
	require.True(t, counts)
	require.Equal(t, progress.Event{
		ID: "questionnaire-response/QR-1~2/3", Kind: "questionnaire-response", SubmissionID: "QR-1", Revision: 2, Item: "phq-9", Study: "S1", Site: "101",
		PatientID: "P001", VisitID: "V01", Completed: true, Attempt: 3, OccurredAt: time.Date(2026, 11, 21, 19, 58, 30, 0, time.UTC),
		FinishedAt: time.Date(2026, 11, 21, 20, 0, 1, 4000, time.UTC), URL: "/questionnaire-responses/QR-1?revision=2",
	}, e)

	// As events were before they told instrument and occurredAt.
	e, counts, err = progress.Decode([]byte(`{"id":"CR-1/1","type":"patient-data-update","time":"2026-11-21T20:00:01Z","kind":"case-report","submissionId":"CR-1",
		"reportId":"CR-1","patientId":"P001","status":"failed","attempt":1,"sequence":41,"url":"/case-reports/CR-1"}`))
	require.NoError(t, err)
	require.True(t, counts)
	require.Equal(t, "case-report", e.Item)
	require.EqualValues(t, 1, e.Revision)
	require.Equal(t, e.FinishedAt, e.OccurredAt)
	require.False(t, e.Completed)

	for _, other := range []string{`{"type":"adverse-event"}`, `{"type":"patient-data-update","kind":"adverse-event"}`, `{"type":"later","id":7.5}`} {
		_, counts, err = progress.Decode([]byte(strings.Replace(other, `,"id":7.5`, "", 1)))
		require.NoError(t, err, other)
		require.False(t, counts)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for old, tc := range map[string]struct{ new, want string }{
		`"type":"patient-data-update",`:         {``, "type: is missing"},
		`"kind":"questionnaire-`:                {`"kind":"q/`, "kind: must be 1 to 64"},
		`"submissionId":"QR-1"`:                 {`"submissionId":""`, "submissionId: must be 1 to 64"},
		`"P001"`:                                {`"Jane Doe"`, "patientId: must be 1 to 64"},
		`"V01"`:                                 {`"a/b"`, "visitId: must be left out, or 1 to 64"},
		`"phq-9"`:                               {`"phq 9"`, "instrument: must be left out"},
		`"id":"questionnaire-`:                  {`"id":"","x":"`, "id: must be 1 to 512 bytes"},
		`"completed"`:                           {`"done"`, "status: must be"},
		`"attempt":3`:                           {`"attempt":0`, "attempt: must be"},
		`"revision":2`:                          {`"revision":0`, "revision: must be"},
		`"2026-11-21T20:00:01.000004Z"`:         {`"yesterday"`, "is not a JSON event"},
		`"time":"2026-11-21T20:00:01.000004Z",`: {``, "time: must be"},
		`"url":"/q`:                             {`"url":"javascript:`, "url: must be"},
		`"url":"/`:                              {`"url":"//evil/`, "url: must be"},
		`"sequence":41,`:                        {`"sequence":41`, "syntax error at byte"},
		`"study":"S1"`:                          {`"study":["S1"]`, "study must be a string"},
		`"new":"member"}`:                       {`"new":"member"} {}`, "syntax error at byte"},
	} {
		require.Contains(t, whole, old)
		_, _, err := progress.Decode([]byte(strings.Replace(whole, old, tc.new, 1)))
		var p *progress.PoisonError
		require.ErrorAs(t, err, &p, tc.new)
		require.ErrorContains(t, err, tc.want)
		require.NotContains(t, err.Error(), "Jane", "reasons have no patient data")
	}
}

// TestReadsWhatTheServiceTells holds that every event that the service makes can be read, and says the same.
func TestReadsWhatTheServiceTells(t *testing.T) {
	received := time.Date(2026, 11, 21, 20, 0, 0, 123456000, time.UTC)
	for _, tc := range []struct {
		kind    *tasks.Kind
		id      string
		content tasks.Content
		want    progress.Event
	}{
		{tasks.KindQuestionnaireResponse(), "QR-1~2", tasks.QuestionnaireResponse{Authored: "2026-11-21T09:30:00+08:00", Rule: instrument.Identity{ID: "phq-9"}},
			progress.Event{ID: "questionnaire-response/QR-1~2/2", Kind: "questionnaire-response", SubmissionID: "QR-1", Revision: 2, Item: "phq-9", OccurredAt: time.Date(2026, 11, 21, 1, 30, 0, 0, time.UTC), URL: "/questionnaire-responses/QR-1?revision=2"}},
		{tasks.KindCaseReport(), "CR-1", tasks.CaseReport{CapturedAt: "0001-01-01T00:00:00+14:00"},
			progress.Event{ID: "CR-1/2", Kind: "case-report", SubmissionID: "CR-1", Revision: 1, Item: "case-report", OccurredAt: received, URL: "/case-reports/CR-1"}},
	} {
		for _, status := range []tasks.Status{tasks.Completed, tasks.Failed} {
			event, err := tasks.Finished{
				Header: tasks.Header{ID: tc.id, Study: "S1", Site: "101", PatientID: "P001", VisitID: "V1"}, Kind: tc.kind, Status: status, Attempt: 2,
				Sequence: 41, ReceivedAt: received, Time: received.Add(time.Hour), Content: tc.content,
			}.Event()
			require.NoError(t, err)
			require.Equal(t, progress.Topic, event.Topic)
			got, counts, err := progress.Decode(event.Payload)
			require.NoError(t, err)
			require.True(t, counts)
			want := tc.want
			want.Study, want.Site, want.PatientID, want.VisitID, want.Attempt = "S1", "101", "P001", "V1", 2
			want.FinishedAt, want.Completed = received.Add(time.Hour), status == tasks.Completed
			require.Equal(t, want, got)
		}
	}
}

// FuzzDecode requires that an event is read, skipped or poison, and that what is read can be written as rows.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"type":"adverse-event"}`))
	f.Add([]byte(`{"type":"patient-data-update","id":"1","kind":"a","submissionId":"b","patientId":"c","status":"failed","attempt":1,"time":"0001-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, counts, err := progress.Decode(payload)
		if err != nil {
			var p *progress.PoisonError
			require.ErrorAs(t, err, &p)
			require.Less(t, len(err.Error()), 600)
			return
		}
		if !counts {
			return
		}
		require.True(t, json.Valid(payload))
		require.Positive(t, e.Attempt)
		require.Positive(t, e.Revision)
		require.NotEmpty(t, e.Item)
		require.Equal(t, e.OccurredAt, time.UnixMicro(e.OccurredAt.UnixMicro()).UTC().Add(time.Duration(e.OccurredAt.Nanosecond()%1000)))
	})
}
