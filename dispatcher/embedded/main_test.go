package embedded_test

import (
	"testing"

	"go.uber.org/goleak"

	"casepress/dispatcher/dispatchertest"
	"casepress/store"
	"casepress/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
