package embedded_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"casepress/dispatcher/dispatchertest"
	"casepress/store"
	"casepress/tasks"
)

func TestMain(m *testing.M) {
	// Every check opens and closes a log and a database several times; -rapid.checks asks for more.
	if err := flag.Set("rapid.checks", "12"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

type options = dispatchertest.Options

var (
	open       = dispatchertest.Open
	report     = dispatchertest.Report
	done       = dispatchertest.Done
	pages      = dispatchertest.Pages
	ref        = dispatchertest.Ref
	submission = dispatchertest.Submission
)

// pagesOf is the number of pages of a completed report.
func pagesOf(row store.Row) int { return row.Result.(tasks.CaseReportResult).PDF.Pages }
