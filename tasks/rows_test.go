package tasks_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

// A result of another type is refused before anything is written.
func TestJSONRowsRefuseAnotherType(t *testing.T) {
	rows := tasks.JSONRows[tasks.CaseReport, tasks.CaseReportResult]("documents")
	for _, bad := range []tasks.Result{nil, 7, tasks.CaseReport{}, &tasks.CaseReportResult{}} {
		require.ErrorContains(t, rows.Complete(nil, "a", bad), "it must be a tasks.CaseReportResult")
	}
}
