package embedded

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// Where there are more events than are kept in memory at once, each missing one is still published, and only those.
func TestMissingEventsInParts(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	st, err := store.Open(t.Context(), filepath.Join(dir, "casepress.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	l, err := Open(t.Context(), Config{Broker: b, Store: st})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(t.Context())) }()

	require.Eventually(t, l.events.complete.Load, time.Minute, time.Millisecond) // the ledger has looked by itself

	const told, untold, unended = 30, 20, 10
	for i := range told + untold + unended {
		_, err := l.Accept(t.Context(), tasks.NewSubmission(tasks.KindCaseReport(), tasks.CaseReport{ID: fmt.Sprint(i), PatientID: "P001"}))
		require.NoError(t, err)
		claims, err := l.Claim(t.Context(), tasks.KindCaseReport().Lane, 1, time.Second)
		require.NoError(t, err)
		c := claims[0]
		if i < told {
			require.NoError(t, l.Complete(t.Context(), []dispatcher.Completion{{Claim: c, Result: tasks.CaseReportResult{}}})[0])
			continue
		}
		require.NoError(t, st.Complete(t.Context(), []store.Completion{{Held: c.Held(), Result: tasks.CaseReportResult{}}})[0])
		if i < told+untold { // else its delivery is to come again and bring the event
			d, ok := l.removeClaim(c, true)
			require.True(t, ok)
			require.NoError(t, d.Ack())
		}
	}
	for _, tc := range []struct{ atOnce, want int }{{7, untold}, {8, 0}, {eventsAtOnce, 0}} {
		n, err := l.publishMissingOnce(t.Context(), uint64(tc.atOnce))
		require.NoError(t, err)
		require.Equal(t, tc.want, n)
		end, err := b.End(tasks.TopicUpdates)
		require.NoError(t, err)
		require.EqualValues(t, told+untold, end)
	}
}

func TestEventMark(t *testing.T) {
	for _, m := range []eventMark{{}, {closed: true}, {closed: true, start: 3, next: 7, check: "12-ab"}, {next: 7, check: "12-ab"}} {
		got, err := eventMarkOf(m.watermark())
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	for _, text := range []string{"", "12-ab", "ajar 0 12-ab", "open x 12-ab", "open 0"} {
		_, err := eventMarkOf(store.Watermark{Next: 7, Check: text})
		require.Error(t, err, text)
	}
}

// BenchmarkLookForMissingEvents looks through 100,000 completed reports, all of which have their event.
func BenchmarkLookForMissingEvents(b *testing.B) {
	const n, batch = 100_000, 500
	dir := b.TempDir()
	log, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{})
	require.NoError(b, err)
	defer func() { require.NoError(b, log.Close()) }()
	st, err := store.Open(b.Context(), filepath.Join(dir, "casepress.db"))
	require.NoError(b, err)
	defer func() { require.NoError(b, st.Close()) }()
	l, err := Open(b.Context(), Config{Broker: log, Store: st})
	require.NoError(b, err)
	defer func() { require.NoError(b, l.Close(b.Context())) }()
	for from := 0; from < n; from += batch {
		var records []tasks.Recorded
		var refs []tasks.Ref
		var done []store.Completion
		var announcements []announcement
		for i := from; i < from+batch; i++ {
			img := tasks.Image{ImageID: fmt.Sprint(i), SHA256: fmt.Sprintf("%064x", i), Bytes: 3_000_000, MediaType: "image/jpeg"}
			s := tasks.NewSubmission(tasks.KindCaseReport(), tasks.CaseReport{ID: fmt.Sprintf("report-%06d", i), PatientID: "P001", Images: []tasks.Image{img}})
			records, refs = append(records, tasks.Recorded{Offset: uint64(i), Submission: s}), append(refs, s.Ref())
			out := tasks.Output{SHA256: img.SHA256, Bytes: 300_000}
			result := tasks.CaseReportResult{Images: []tasks.ImageResult{{Full: out, Thumb: out, Width: 1600, Height: 1200}}, PDF: tasks.PDF{Output: out, Pages: 1}}
			done = append(done, store.Completion{Held: store.Held{Ref: s.Ref(), Attempt: 1}, Result: result})
		}
		require.NoError(b, st.Record(b.Context(), tasks.TopicCaseReports, records, store.Watermark{}))
		claimed, err := st.Claim(b.Context(), refs)
		require.NoError(b, err)
		for i, err := range st.Complete(b.Context(), done) {
			require.NoError(b, err)
			row := claimed[i].Row
			row.Status, row.Result, row.FinishedAt = tasks.Completed, done[i].Result, now()
			event, err := l.eventOf(row)
			require.NoError(b, err)
			announcements = append(announcements, announcement{row, event})
		}
		for _, err := range l.announce(b.Context(), announcements) {
			require.NoError(b, err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		published, err := l.publishMissingOnce(b.Context(), eventsAtOnce)
		require.NoError(b, err)
		require.Zero(b, published)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "reports/s")
}
