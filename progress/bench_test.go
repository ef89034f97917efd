package progress_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/progress"
)

// trialOf applies what 24 items of n patients make.
func trialOf(b *testing.B, n int) *progress.Rows {
	rows := openRows(b, b.TempDir())
	for p := range n {
		var events []progress.Event
		for i := range 24 {
			events = append(events, response(fmt.Sprintf("%d-%d", p, i), fmt.Sprintf("P%05d", p), []string{"V00", "V01", "V02"}[i%3], fmt.Sprint("i", i/3), "2026-11-01"))
		}
		apply(b, rows, events...)
	}
	return rows
}

// BenchmarkApply is one event of 256 in a transaction.
func BenchmarkApply(b *testing.B) {
	rows := openRows(b, b.TempDir())
	n := 0
	for b.Loop() {
		events := make([]progress.Event, 256)
		for i := range events {
			events[i] = response(fmt.Sprint(n), fmt.Sprintf("P%d", n%5000), "V01", "phq-9", "2026-11-01")
			n++
		}
		apply(b, rows, events...)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/event")
}

// BenchmarkRead is a page of 10,000 patients with 24 items each: the first with the figures of all, and one after it.
func BenchmarkRead(b *testing.B) {
	rows := trialOf(b, 10_000)
	first := read(b, rows, s1, progress.Query{}, "2026-11-30")
	require.NotNil(b, first.Next)
	b.Run("figures", func(b *testing.B) {
		for b.Loop() {
			apply(b, rows) // so that nothing is kept
			read(b, rows, s1, progress.Query{Limit: 50}, "2026-11-30")
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			read(b, rows, s1, progress.Query{Limit: 50, Cursor: *first.Next}, "2026-11-30")
		}
	})
}
