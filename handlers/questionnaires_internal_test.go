package handlers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
	"casepress/tasks/instrument"
)

// usualAnswer is the answer to a response in which there is nothing to tell of.
func usualAnswer() acceptedResponse {
	return acceptedResponse{
		ID: "QR-1", Revision: 1, Status: tasks.Accepted, Message: textResponseAccepted.in(english), StatusURL: "/questionnaire-responses/QR-1",
		Receipt: receipt{"ab01", 7, timeOrNull(time.Date(2026, 11, 27, 20, 0, 1, 2000, time.UTC))},
		Flags:   []instrument.FlagResult{}, Warnings: []tasks.Warning{}, AdverseEvents: []string{},
	}
}

func TestUsualAnswerIsWrittenByHand(t *testing.T) {
	for _, l := range []lang{english, chinese} {
		answer := usualAnswer()
		answer.Message = textResponseAccepted.in(l)
		encoded, usual := answer.encodeUsual()
		require.True(t, usual)
		require.Equal(t, string(encodeJSON(answer)), string(encoded))
	}
}

// What has more to tell of is left to encoding/json: nothing of it may be missing.
func TestUnusualAnswerIsNotWrittenByHand(t *testing.T) {
	for name, change := range map[string]func(*acceptedResponse){
		"a flag":             func(a *acceptedResponse) { a.Flags = []instrument.FlagResult{{Code: "c"}} },
		"a warning":          func(a *acceptedResponse) { a.Warnings = []tasks.Warning{{Code: "late"}} },
		"an adverse event":   func(a *acceptedResponse) { a.AdverseEvents = []string{"AE-1"} },
		"a crisis text":      func(a *acceptedResponse) { a.CrisisText = "Please call." },
		"a crisis language":  func(a *acceptedResponse) { a.CrisisLanguage = "en" },
		"no time":            func(a *acceptedResponse) { a.Receipt.ReceivedAt = nil },
		"a line separator":   func(a *acceptedResponse) { a.Message = "\u2028" },
		"no UTF-8":           func(a *acceptedResponse) { a.Message = "\xff" },
		"a quote in its id":  func(a *acceptedResponse) { a.ID = `"` },
		"a backslash":        func(a *acceptedResponse) { a.StatusURL = `\` },
		"a control in a sum": func(a *acceptedResponse) { a.Receipt.SHA256 = "\n" },
	} {
		answer := usualAnswer()
		change(&answer)
		_, usual := answer.encodeUsual()
		require.False(t, usual, name)
	}
}

func FuzzUsualAnswer(f *testing.F) {
	f.Add("QR-1", 1, "accepted", "Stored.", "/questionnaire-responses/QR-1", "ab01", uint64(7), int64(1_800_000_000_000_000))
	f.Add("<&>\u2028\x7f", -1, `\`, "已保存", "/?a=1", "", uint64(1)<<63, int64(-1))
	f.Fuzz(func(t *testing.T, id string, revision int, status, message, url, sha256 string, sequence uint64, at int64) {
		answer := usualAnswer()
		answer.ID, answer.Revision, answer.Status, answer.Message, answer.StatusURL = id, revision, tasks.Status(status), message, url
		answer.Receipt = receipt{sha256, sequence, timeOrNull(time.UnixMicro(at))}
		if encoded, usual := answer.encodeUsual(); usual {
			require.Equal(t, string(encodeJSON(answer)), string(encoded))
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	answer := usualAnswer()
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, usual := answer.encodeUsual()
			require.True(b, usual)
		}
	})
	b.Run("by encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encodeJSON(answer)
		}
	})
}
