package tasks_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
	"casepress/tasks/instrument"
)

var receivedAt = time.Date(2026, 11, 21, 20, 0, 0, 123456000, time.UTC)

var exampleReport = tasks.CaseReport{
	ID: "0193-ab", PatientID: "P001", VisitID: "V1", Notes: "头痛 & <rash>\u2028", CapturedAt: "2026-11-21T21:00:00+01:00",
	Images: []tasks.Image{
		exampleImage,
		{ImageID: "sha256-60303ae22b998861bce3b28f33eec1be", SHA256: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", Bytes: 12, MediaType: "image/jpeg"},
	},
}

var exampleImage = tasks.Image{
	ImageID: "WOUND-1", SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Bytes: 1234567,
	MediaType: "image/heic", Name: "IMG <1>.HEIC",
}

var exampleCompletion = tasks.Completion{
	ID: "0193-ab", Sequence: 41, Attempt: 2, StartedAt: receivedAt, FinishedAt: receivedAt.Add(time.Second),
	Result: tasks.CaseReportResult{
		Images: []tasks.ImageResult{{
			Full: tasks.Output{SHA256: "aa", Bytes: 5000}, Thumb: tasks.Output{SHA256: "bb", Bytes: 500}, Width: 1600, Height: 1200,
			MediaType: "image/png", SourceWidth: 4032, SourceHeight: 3024, CapturedAt: "2026-11-21T12:00:00+08:00",
			Removed: []string{"GPSLatitude"}, Damaged: true,
		}, {}},
		PDF: tasks.PDF{Output: tasks.Output{SHA256: "cc", Bytes: 70_000}, Pages: 4},
		Problems: []tasks.Problem{
			{Image: 2, Code: "image-undecodable", Detail: "It cannot be decoded."},
			{Code: "text-characters-unshowable", Detail: "A character."},
		},
	},
	Released: []int{1, 2},
}

// recordsOfBefore are what the version before there were kinds wrote to its log.
var recordsOfBefore = []struct {
	name, record, sha256 string
	imagesEnd            uint64
	content              tasks.Content
}{
	{"case report", `{"v":1,"kind":"case-report","receivedAt":"2026-11-21T20:00:00.123456Z","sha256":"575970cd3360c7d06cee314ada12d281205f1dc99cdcdf2044ee039694109b6c","imagesEnd":7,"caseReport":{"id":"0193-ab","patientId":"P001","visitId":"V1","notes":"头痛 \u0026 \u003crash\u003e\u2028","capturedAt":"2026-11-21T21:00:00+01:00","images":[{"imageId":"WOUND-1","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","bytes":1234567,"mediaType":"image/heic","name":"IMG \u003c1\u003e.HEIC"},{"imageId":"sha256-60303ae22b998861bce3b28f33eec1be","sha256":"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752","bytes":12,"mediaType":"image/jpeg"}]}}`, "575970cd3360c7d06cee314ada12d281205f1dc99cdcdf2044ee039694109b6c", 7, exampleReport},
	{"small case report", `{"v":1,"kind":"case-report","receivedAt":"2026-11-21T20:00:00.123456Z","sha256":"778f5133be28acc33159a7d0b18d844181c1a1615b526eebe4051ed32b545fc6","caseReport":{"id":"a","patientId":"b","images":null}}`, "778f5133be28acc33159a7d0b18d844181c1a1615b526eebe4051ed32b545fc6", 0, tasks.CaseReport{ID: "a", PatientID: "b"}},
	{"image", `{"v":1,"kind":"image","receivedAt":"2026-11-21T20:00:00.123456Z","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","image":{"patientId":"P001","imageId":"WOUND-1","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","bytes":1234567,"mediaType":"image/heic","name":"IMG \u003c1\u003e.HEIC"}}`, exampleImage.SHA256, 0, tasks.PatientImage{PatientID: "P001", Image: exampleImage}},
	{"retry", `{"v":1,"kind":"retry","receivedAt":"2026-11-21T20:00:00.123456Z","retry":{"id":"0193-ab","attempt":5}}`, "", 0, tasks.Retry{ID: "0193-ab", Attempt: 5}},
	{"completion", `{"v":1,"kind":"completion","receivedAt":"2026-11-21T20:00:00.123456Z","completion":{"id":"0193-ab","sequence":41,"attempt":2,"startedAt":"2026-11-21T20:00:00.123456Z","finishedAt":"2026-11-21T20:00:01.123456Z","result":{"images":[{"full":{"sha256":"aa","bytes":5000},"thumb":{"sha256":"bb","bytes":500},"width":1600,"height":1200,"mediaType":"image/png","sourceWidth":4032,"sourceHeight":3024,"capturedAt":"2026-11-21T12:00:00+08:00","removed":["GPSLatitude"],"damaged":true},{"full":{"sha256":"","bytes":0},"thumb":{"sha256":"","bytes":0},"width":0,"height":0}],"report":{"sha256":"cc","bytes":70000,"pages":4},"problems":[{"image":2,"code":"image-undecodable","detail":"It cannot be decoded."},{"code":"text-characters-unshowable","detail":"A character."}]},"released":[1,2]}}`, "", 0, exampleCompletion},
}

func TestRecordsOfBefore(t *testing.T) {
	for _, tc := range recordsOfBefore {
		t.Run(tc.name, func(t *testing.T) {
			s, err := tasks.DecodeSubmission([]byte(tc.record))
			require.NoError(t, err)
			require.Equal(t, tasks.Submission{
				Kind: s.Kind, ReceivedAt: receivedAt, SHA256: tc.sha256, ImagesEnd: tc.imagesEnd, Content: tc.content,
			}, s)
			require.Equal(t, tc.sha256, s.Content.Digest())
			record, err := s.Encode()
			require.NoError(t, err)
			require.Equal(t, tc.record, string(record), "the log's format has not changed")
		})
	}
}

// examples has contents of every kind, by its name.
var examples = map[string][]tasks.Content{
	"case-report": {
		exampleReport, tasks.CaseReport{ID: "a", PatientID: "b"},
		tasks.CaseReport{ID: "a", Study: "S1", Site: "site-7", PatientID: "b", VisitID: "c", Images: []tasks.Image{}},
	},
	"image":      {tasks.PatientImage{PatientID: "P001", Image: exampleImage}, tasks.PatientImage{Study: "S1", PatientID: "P001", Image: exampleImage}},
	"retry":      {tasks.Retry{ID: "a", Attempt: 5}, tasks.Retry{Kind: "other", ID: "a", Attempt: 5}},
	"completion": {exampleCompletion},
	"questionnaire-response": {
		tasks.QuestionnaireResponse{ID: "QR-1", Revision: 1, PatientID: "P001", Answers: instrument.Answers{}, MediaType: "application/json", Original: "{}"},
		tasks.QuestionnaireResponse{
			ID: "QR-1", Revision: 2, Amends: &tasks.Amends{Revision: 1, Reason: "<a slip> & more\u2028"}, Study: "S1", Site: "101", PatientID: "P001", VisitID: "V02",
			Rule: instrument.Identity{ID: "phq-9", Version: "1", SHA256: "ab"}, StudyFile: &tasks.StudyFile{Version: 3, SHA256: "cd"},
			Language: "zh-CN", Authored: "2026-11-26T20:03:11+08:00", Started: "2026-11-26T20:01:00+08:00", DeviceTime: "2026-11-26T12:03:12Z",
			Answers: instrument.Answers{"1": {Value: 3}, "10": {Value: 0}, "4": {NotAsked: true}}, Claims: instrument.Claims{"total": "13", "none": ""},
			Flags:    []instrument.FlagResult{{Code: "f", Item: "1", State: instrument.Raised, Urgent: true, Value: "3"}, {Code: "g", Score: "s", State: instrument.Unknown}},
			Warnings: []tasks.Warning{{Code: "late", Detail: "late"}}, CrisisText: "Call.", CrisisLanguage: "en",
			MediaType: "application/json", Original: "{\"a\": \"\u00e9\u4e2d\U0001f600<>&\u2028\\n\",\r\n\t\"b\":\x7f1}",
		},
	},
	"rescore": {tasks.Rescore{
		ID: "QR-1~2", Rule: instrument.Identity{ID: "phq-9", Version: "2", SHA256: "ef"},
		QuestionnaireResult: tasks.QuestionnaireResult{Scored: instrument.Scored{Scores: []instrument.Result{{ID: "total", Value: "10", Exact: "10", Band: "moderate", Answered: 9}}}},
	}},
	"webhook-endpoint": {
		tasks.WebhookChange{
			ID: "0193-ab", ChangeID: "1", Act: tasks.WebhookRegistered, URL: "https://example.org/?a=1&b=<2>", Types: []string{"patient-data-update"}, Study: "S1",
			Secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", After: "7-9f86d081884c", AfterSequence: 7,
		},
		tasks.WebhookChange{ID: "0193-ab", ChangeID: "2", Act: tasks.WebhookRotated, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		tasks.WebhookChange{ID: "0193-ab", ChangeID: "3", Act: tasks.WebhookReplayed, After: "0"},
		tasks.WebhookChange{ID: "0193-ab", ChangeID: "4", Act: tasks.WebhookDeleted},
	},
	"adverse-event": {
		tasks.AdverseEvent{
			ID: "flag-1", Study: "S1", PatientID: "P001", Source: &tasks.Source{Kind: "questionnaire-response", ID: "QR-1", Revision: 2},
			Rule: &instrument.Identity{ID: "phq-9", Version: "1", SHA256: "ab"}, Flag: &instrument.FlagResult{Code: "f", Item: "1", State: instrument.Raised, Urgent: true, Value: "3"},
			Authored: "2026-11-26T20:03:11+08:00",
		},
		tasks.AdverseEvent{
			ID: "AE-1", Study: "S1", Site: "101", PatientID: "P001", VisitID: "V02", LimitHours: 24,
			Report: &tasks.Report{
				Description: "<a rash>\n皮疹\u2028", KnownAt: "2026-11-26T20:03:11+08:00", OnsetAt: "2026-11-26T12:00:00Z", Seriousness: []string{"C83052"},
				Reporter: "Dr. A & B", DeviceTime: "2026-11-26T12:03:12Z", Images: []tasks.Image{exampleImage},
				Warnings: []tasks.Warning{{Code: "late", Detail: "late"}}, StudyFile: &tasks.StudyFile{Version: 3, SHA256: "cd"}, Original: "{\"a\": \"\u00e9<>&\u2028\"}\r\n",
			},
		},
	},
	"adverse-event-step": {
		tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepHandOver},
		tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepAcknowledgement, Name: "Ann <a>", Decision: tasks.DecisionDuplicate, Of: "AE-0", Note: "a\nb"},
		tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepFollowUp, FollowUpID: "F1", Description: "more"},
		tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepClosing, Name: "Ann", Reason: "done"},
	},
}

func TestEveryKindComesThroughTheLog(t *testing.T) {
	for _, kind := range tasks.Kinds() {
		require.NotEmpty(t, examples[kind.Name], "no example of a %s", kind.Name)
		for _, content := range examples[kind.Name] {
			s := tasks.NewSubmission(kind, content)
			s.ReceivedAt = receivedAt
			record, err := s.Encode()
			require.NoError(t, err)
			require.True(t, json.Valid(record), "%s", record)
			back, err := tasks.DecodeSubmission(record)
			require.NoError(t, err)
			require.Equal(t, s, back)
			require.Equal(t, content.Digest(), back.SHA256)
		}
	}
}

// The registry must not contradict itself.
func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, kind := range tasks.Kinds() {
		require.False(t, names[kind.Name], "%s is there twice", kind.Name)
		names[kind.Name] = true
		found, err := tasks.KindOf(kind.Name)
		require.NoError(t, err)
		require.Same(t, kind, found)
		require.NotContains(t, []string{"", "v", "kind", "receivedAt", "sha256", "imagesEnd"}, kind.Member)
		require.NotNil(t, kind.Rows.Insert)
		if kind.IsSubmission() {
			require.NotEmpty(t, kind.Topic)
			require.NotEmpty(t, kind.Path)
			require.NotNil(t, kind.NewTask)
			require.NotNil(t, kind.Rows.Load)
			require.NotNil(t, kind.Rows.Complete)
		}
		if kind.Topic != "" {
			require.Contains(t, tasks.Topics(), kind.Topic)
		}
	}
	_, err := tasks.KindOf("no kind")
	require.ErrorContains(t, err, `"no kind"`)
}

func TestDecodeSubmissionRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ record, want string }{
		"nothing":          {"", "unexpected end"},
		"no object":        {"[]", "cannot unmarshal"},
		"null":             {"null", "version 0"},
		"two":              {`{"v":1}{"v":1}`, "after top-level value"},
		"newer version":    {`{"v":2,"kind":"retry","retry":{"id":"a"}}`, "version 2, this program reads 1"},
		"version as text":  {`{"v":"1","kind":"retry","retry":{"id":"a"}}`, "v: "},
		"unknown kind":     {`{"v":1,"kind":"x-ray","retry":{"id":"a"}}`, `unknown kind "x-ray"`},
		"no kind":          {`{"v":1,"retry":{"id":"a"}}`, `unknown kind ""`},
		"no content":       {`{"v":1,"kind":"retry"}`, `kind "retry" without its content in "retry"`},
		"other content":    {`{"v":1,"kind":"retry","image":{}}`, `kind "retry" without its content in "retry"`},
		"unknown act":      {`{"v":1,"kind":"webhook-endpoint","content":{"id":"a","act":"painted"}}`, `an endpoint cannot be "painted"`},
		"null content":     {`{"v":1,"kind":"retry","retry":null}`, "content of a retry: it is null"},
		"content is text":  {`{"v":1,"kind":"case-report","caseReport":"a"}`, "content of a case-report"},
		"negative offset":  {`{"v":1,"kind":"case-report","imagesEnd":-1,"caseReport":{}}`, "imagesEnd: "},
		"time of no sort":  {`{"v":1,"kind":"case-report","receivedAt":"today","caseReport":{}}`, "receivedAt: "},
		"attempt is large": {`{"v":1,"kind":"retry","retry":{"attempt":1e30}}`, "content of a retry"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tasks.DecodeSubmission([]byte(tc.record))
			require.ErrorContains(t, err, "decode submission: ")
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// What decodes can be written again and is then the same, whatever it is.
func FuzzDecodeSubmission(f *testing.F) {
	for _, tc := range recordsOfBefore {
		f.Add([]byte(tc.record))
	}
	f.Add([]byte(`{"v":1,"kind":"retry","receivedAt":"2026-11-21T20:00:00+01:00","retry":{"kind":"case-report","id":"\ud800"}}`))
	f.Add([]byte(`{"V":1,"v":1,"kind":"image","image":{"study":"S/1","imageId":"a","ImageID":"b"}}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		s, err := tasks.DecodeSubmission(record)
		if err != nil {
			return
		}
		again, err := s.Encode()
		require.NoError(t, err)
		back, err := tasks.DecodeSubmission(again)
		require.NoError(t, err)
		require.True(t, s.ReceivedAt.Equal(back.ReceivedAt))
		require.Equal(t, s.Ref(), back.Ref())
		require.Equal(t, s.Content.Header(), back.Content.Header())
		require.Equal(t, s.Content.Digest(), back.Content.Digest())
		require.Equal(t, s.Content.Key(), back.Content.Key())
		same, err := back.Encode()
		require.NoError(t, err)
		require.Equal(t, string(again), string(same))
	})
}

func TestDigestKnowsWhatCounts(t *testing.T) {
	digest := exampleReport.Digest()
	renamed := exampleReport
	renamed.Images = []tasks.Image{exampleReport.Images[0], exampleReport.Images[1]}
	renamed.Images[0].Name = "another name"
	require.Equal(t, digest, renamed.Digest(), "phones rename files between two tries")
	require.NotEmpty(t, exampleReport.Images[0].Name, "the digest changes nothing")
	for name, change := range map[string]func(*tasks.CaseReport){
		"study":  func(r *tasks.CaseReport) { r.Study = "S1" },
		"site":   func(r *tasks.CaseReport) { r.Site = "S1" },
		"visit":  func(r *tasks.CaseReport) { r.VisitID = "V2" },
		"notes":  func(r *tasks.CaseReport) { r.Notes += " " },
		"images": func(r *tasks.CaseReport) { r.Images = r.Images[:1] },
	} {
		changed := exampleReport
		change(&changed)
		require.NotEqual(t, digest, changed.Digest(), name)
	}
}

func TestRetryNamesItsSubmission(t *testing.T) {
	for _, kind := range []string{"case-report", "vital-signs"} {
		ref := tasks.Ref{Kind: kind, ID: "a"}
		r := tasks.NewRetry(ref, 3)
		require.Equal(t, ref, r.Ref())
		require.Equal(t, ref, tasks.KindRetry().Rows.Changed(r))
	}
	require.Empty(t, tasks.NewRetry(tasks.Ref{Kind: "case-report", ID: "a"}, 3).Kind, "as the version before wrote it")
}

// The event of a case report is what it was before there were kinds, and more.
func TestEvent(t *testing.T) {
	f := tasks.Finished{
		Header: tasks.Header{ID: "r1", PatientID: "P001", VisitID: "V1"}, Kind: tasks.KindCaseReport(),
		Status: tasks.Completed, Attempt: 2, Sequence: 41, Time: receivedAt,
	}
	event, err := f.Event()
	require.NoError(t, err)
	require.Equal(t, tasks.Event{
		ID: "r1/2", Topic: "patient-data-update", Key: "P001",
		Payload: []byte(`{"id":"r1/2","type":"patient-data-update","time":"2026-11-21T20:00:00.123456Z","kind":"case-report","submissionId":"r1","reportId":"r1","patientId":"P001","visitId":"V1","status":"completed","attempt":2,"sequence":41,"url":"/case-reports/r1"}`),
	}, event)

	f.Study, f.Kind = "S1", &tasks.Kind{Name: "vital-signs", Path: "/vital-signs"}
	event, err = f.Event()
	require.NoError(t, err)
	require.Equal(t, "vital-signs/r1/2", event.ID)
	require.Equal(t, "S1/P001", event.Key)
	require.NotContains(t, string(event.Payload), "reportId")
	require.True(t, strings.HasSuffix(string(event.Payload), `"url":"/vital-signs/r1"}`))
}

// The event says when the patient gave the answers, unless the device's clock is ahead of the time of the receipt.
func TestEventSaysWhenItOccurred(t *testing.T) {
	for given, want := range map[string]string{
		"2026-11-21T09:30:00.5+08:00": "2026-11-21T01:30:00.5Z",
		"2026-11-21T20:00:01Z":        "2026-11-21T20:00:00.123456Z",
		"":                            "2026-11-21T20:00:00.123456Z",
		"yesterday":                   "2026-11-21T20:00:00.123456Z",
	} {
		f := tasks.Finished{
			Header: tasks.Header{ID: "QR-1~2", PatientID: "P001", VisitID: "V1"}, Kind: tasks.KindQuestionnaireResponse(),
			Status: tasks.Failed, Attempt: 1, Sequence: 41, ReceivedAt: receivedAt, Time: receivedAt.Add(time.Hour),
			Content: tasks.QuestionnaireResponse{ID: "QR-1", Revision: 2, Authored: given, Rule: instrument.Identity{ID: "phq-9", Version: "1"}},
		}
		event, err := f.Event()
		require.NoError(t, err)
		require.JSONEq(t, `{"id":"questionnaire-response/QR-1~2/1","type":"patient-data-update","time":"2026-11-21T21:00:00.123456Z","kind":"questionnaire-response",
			"submissionId":"QR-1","instrument":"phq-9","occurredAt":"`+want+`","revision":2,"patientId":"P001","visitId":"V1","status":"failed","attempt":1,"sequence":41,
			"url":"/questionnaire-responses/QR-1?revision=2"}`, string(event.Payload))

		f.Kind, f.Content = tasks.KindCaseReport(), tasks.CaseReport{ID: "CR-1", CapturedAt: given}
		event, err = f.Event()
		require.NoError(t, err)
		require.Contains(t, string(event.Payload), `"occurredAt":"`+want+`"`)
	}
}

func TestAmong(t *testing.T) {
	for n, want := range map[int]string{1: "($1)", 2: "($1, $2)", 3: "($1, $2, $3, $4)", 4: "($1, $2, $3, $4)", 5: "($1, $2, $3, $4, $5, $6, $7, $8)"} {
		ids := strings.Split("abcdefgh"[:n], "")
		in, args := tasks.InList(ids)
		require.Equal(t, want, in)
		for i, arg := range args {
			require.Equal(t, ids[min(i, n-1)], arg)
		}
	}
}
