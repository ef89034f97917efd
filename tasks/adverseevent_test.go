package tasks_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/jsonfile"
	"casepress/study"
	"casepress/tasks"
)

const reported = `{"id":"AE-1","study":"S1","site":"9","patientId":"P001","visitId":"V1","description":"a\r\nb","knownAt":"2026-11-26T20:00:00+08:00",` +
	`"onsetAt":"2026-11-26T12:00:00.5Z","seriousness":["C48275","C82521"],"reporter":"Ann","deviceTime":"2026-11-26T12:03:12Z","imageIds":["a","b"]}`

// What is read of a document comes through the log, with the digest of its bytes; what is refused says where.
func FuzzReadAdverseEvent(f *testing.F) {
	f.Add([]byte(reported), "")
	f.Add([]byte(`{"patientId":"P001","description":"x","knownAt":"0001-01-01T00:00:00Z"}`), "AE-1")
	f.Add([]byte(`{"id":"flag-1","imageIds":[],"seriousness":["C21007"]}`), "flag-2")
	f.Add([]byte(`{"knownAt":"9999-12-31T23:59:60Z","onsetAt":"","reporter":"\u2028"}`), "a")
	f.Fuzz(func(t *testing.T, document []byte, id string) {
		if id != "" && !jsonfile.ValidID(id) {
			t.Skip("no address has it")
		}
		e, problems := tasks.ReadAdverseEvent(document, id, nil, tasks.Arrival{At: receivedAt})
		if len(problems) > 0 {
			for _, p := range problems {
				require.NotEmpty(t, p.Detail)
			}
			return
		}
		sum := sha256.Sum256(document)
		s := tasks.NewSubmission(tasks.KindAdverseEvent(), e)
		require.Equal(t, hex.EncodeToString(sum[:]), s.SHA256)
		require.NotEmpty(t, e.ID)
		require.False(t, strings.HasPrefix(e.ID, tasks.FlagPrefix))
		require.NotEmpty(t, e.PatientID)
		require.NotContains(t, e.Report.Description, "\r")
		s.ReceivedAt = receivedAt
		record, err := s.Encode()
		require.NoError(t, err)
		back, err := tasks.DecodeSubmission(record)
		require.NoError(t, err)
		require.Equal(t, s, back)
		clock := e.Clock(receivedAt)
		require.False(t, clock.From.After(receivedAt))
		require.Equal(t, 24*time.Hour, clock.Limit)
	})
}

// What is read of a step comes through the log, and names its case.
func FuzzReadStep(f *testing.F) {
	for _, seed := range []string{
		`{"name":"Ann","decision":"sae","note":"x\ny"}`, `{"name":"Ann","decision":"duplicate","of":"AE-0"}`, `{"name":"Ann","decision":"sae","of":"AE-0"}`,
		`{"id":"F1","description":"x","name":"Ann"}`, `{"name":"Ann","reason":"x"}`, `{"name":"Ann","name":"Bob"}`, `[]`,
	} {
		for kind := range byte(3) {
			f.Add([]byte(seed), kind)
		}
	}
	f.Fuzz(func(t *testing.T, document []byte, n byte) {
		kind := []tasks.StepKind{tasks.StepAcknowledgement, tasks.StepFollowUp, tasks.StepClosing}[n%3]
		step, problems := tasks.ReadStep(document, kind, "AE-1")
		if len(problems) > 0 {
			return
		}
		require.Equal(t, "AE-1", step.ID)
		require.Equal(t, kind, step.Step)
		switch kind {
		case tasks.StepAcknowledgement:
			require.Equal(t, step.Decision == tasks.DecisionDuplicate, step.Of != "")
			require.Contains(t, tasks.Decisions(), string(step.Decision))
			require.NotEqual(t, "AE-1", step.Of)
			require.NotEmpty(t, step.Name)
		case tasks.StepClosing:
			require.NotEmpty(t, step.Name)
			require.NotEmpty(t, step.Reason)
		default:
			require.NotEmpty(t, step.Description)
		}
		s := tasks.NewSubmission(tasks.KindAdverseEventStep(), step)
		s.ReceivedAt = receivedAt
		record, err := s.Encode()
		require.NoError(t, err)
		back, err := tasks.DecodeSubmission(record)
		require.NoError(t, err)
		require.Equal(t, s, back)
		require.Equal(t, step.Key(), back.Content.Key())
	})
}

// An adverse event of before is the same: its record, its digest, and a clock of 24 hours from when it was received.
func TestAdverseEventOfBefore(t *testing.T) {
	const record = `{"v":1,"kind":"adverse-event","receivedAt":"2026-11-21T20:00:00.123456Z","sha256":"SUM","content":{"id":"flag-1","study":"S1","patientId":"P001",` +
		`"source":{"kind":"questionnaire-response","id":"QR-1","revision":2},"rule":{"id":"phq-9","version":"1","sha256":"ab"},` +
		`"flag":{"code":"f","item":"1","state":"raised","urgent":true,"value":3},"authored":"2026-11-26T20:03:11+08:00"}}`
	_, content, _ := strings.Cut(record, `"content":`)
	content = strings.TrimSuffix(content, "}")
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	s, err := tasks.DecodeSubmission([]byte(strings.Replace(record, "SUM", digest, 1)))
	require.NoError(t, err)
	require.Equal(t, digest, s.Content.Digest())
	again, err := s.Encode()
	require.NoError(t, err)
	require.True(t, bytes.Equal([]byte(strings.Replace(record, "SUM", digest, 1)), again), "%s", again)
	clock := s.Content.(tasks.AdverseEvent).Clock(receivedAt)
	require.Equal(t, receivedAt, clock.From)
	require.Equal(t, receivedAt.Add(24*time.Hour), clock.DueAt())
}

// The clock runs from first knowledge, and by the limit that the study had when it came.
func TestClock(t *testing.T) {
	e, problems := tasks.ReadAdverseEvent([]byte(reported), "", (*study.Studies)(nil), tasks.Arrival{At: receivedAt})
	require.Empty(t, problems)
	for known, from := range map[string]time.Time{
		"2026-11-21T20:00:00+08:00": time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		"2026-11-22T00:00:00Z":      receivedAt,
		"1500-01-01T00:00:00Z":      time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		e.Report.KnownAt, e.LimitHours = known, 7
		clock := e.Clock(receivedAt)
		require.Equal(t, from, clock.From)
		require.Equal(t, from.Add(7*time.Hour), clock.DueAt())
	}
}

// Queued is what no worker had taken over within a second, and nothing else.
func TestQueued(t *testing.T) {
	at := func(ms int) time.Time { return receivedAt.Add(time.Duration(ms) * time.Millisecond) }
	step := func(outcome tasks.Outcome, ms int) tasks.Step {
		return tasks.Step{Outcome: outcome, At: at(ms), State: tasks.StateOpen, AdverseEventStep: tasks.AdverseEventStep{ID: "AE-1"}}
	}
	clock := tasks.Clock{From: at(-500), Limit: time.Hour}
	for name, tc := range map[string]struct {
		steps []tasks.Step
		taken bool
		now   int
		want  string
	}{
		"at once":               {[]tasks.Step{step(tasks.Received, 0), step(tasks.HandedOver, 1000)}, true, 5000, "received +0.5 handed-over +1"},
		"late":                  {[]tasks.Step{step(tasks.Received, 0), step(tasks.HandedOver, 1500)}, true, 5000, "received +0.5 queued +1 handed-over +0.5"},
		"not yet, in time":      {[]tasks.Step{step(tasks.Received, 0)}, false, 999, "received +0.5"},
		"not yet":               {[]tasks.Step{step(tasks.Received, 0)}, false, 1000, "received +0.5 queued +1"},
		"acknowledged before":   {[]tasks.Step{step(tasks.Received, 0), step(tasks.Acknowledged, 400), step(tasks.HandedOver, 2000)}, true, 5000, "received +0.5 acknowledged +0.4 queued +0.6 handed-over +1"},
		"of an earlier version": {[]tasks.Step{step(tasks.Received, 0), step(tasks.FollowedUp, 9000)}, true, 10000, "received +0.5 follow-up +9"},
		"a clock put back":      {[]tasks.Step{step(tasks.Received, 0), step(tasks.HandedOver, -2000)}, true, 5000, "received +0.5 handed-over +-2"},
	} {
		var got []string
		elapsed := 0.0
		for _, e := range tasks.Timeline(clock, tc.steps, tc.taken, at(tc.now)) {
			got = append(got, string(e.Outcome)+" +"+trim(e.After))
			elapsed += e.After
			require.InDelta(t, elapsed, e.Elapsed, 1e-9)
			require.Equal(t, "AE-1", e.ID)
		}
		require.Equal(t, tc.want, strings.Join(got, " "), name)
	}
}

func trim(seconds float64) string {
	return strconv.FormatFloat(seconds, 'g', 4, 64)
}
