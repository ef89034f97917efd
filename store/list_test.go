package store_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func sequences(rows []store.Row) []uint64 {
	var all []uint64
	for _, r := range rows {
		all = append(all, r.Sequence)
	}
	return all
}

func TestCaseReportsFilters(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 9) // of P001 P002 P000 in turn
	for _, n := range []int{2, 4, 5} {
		moves["failed"](t, s, report(n).ID)
	}
	for name, tc := range map[string]struct {
		filter store.Filter
		want   []uint64
	}{
		"all":                {store.Filter{}, []uint64{9, 8, 7, 6, 5, 4, 3, 2, 1}},
		"patient":            {store.Filter{PatientID: "P001"}, []uint64{7, 4, 1}},
		"status":             {store.Filter{Status: "failed"}, []uint64{5, 4, 2}},
		"patient and status": {store.Filter{PatientID: "P002", Status: "failed"}, []uint64{5, 2}},
		"unknown visit":      {store.Filter{PatientID: "P001", Status: "failed", VisitID: "V9"}, nil},
		"limit":              {store.Filter{Limit: 2}, []uint64{9, 8}},
		"unknown patient":    {store.Filter{PatientID: "P9"}, nil},
		"unknown status":     {store.Filter{Status: "lost"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			rows, _, err := s.CaseReports(t.Context(), tc.filter)
			require.NoError(t, err)
			require.Equal(t, tc.want, sequences(rows))
			for _, row := range rows {
				one, err := s.CaseReport(t.Context(), row.ID)
				require.NoError(t, err)
				require.Equal(t, one, row)
			}
		})
	}
}

func TestCaseReportsPagesWhileRowsComeIn(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 10)
	var got []uint64
	f := store.Filter{Limit: 3}
	for page := 0; ; page++ {
		rows, next, err := s.CaseReports(t.Context(), f)
		require.NoError(t, err)
		got = append(got, sequences(rows)...)
		record(t, s, 100+5*page, 5)
		if next == "" {
			break
		}
		f.Cursor = next
	}
	require.Equal(t, []uint64{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, got)
}

func TestCaseReportsLimit(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, store.MaxLimit+1)
	for name, tc := range map[string]struct{ limit, want int }{
		"none":     {0, store.DefaultLimit},
		"negative": {-1, store.DefaultLimit},
		"one":      {1, 1},
		"most":     {store.MaxLimit, store.MaxLimit},
		"too many": {1 << 40, store.MaxLimit},
	} {
		rows, next, err := s.CaseReports(t.Context(), store.Filter{Limit: tc.limit})
		require.NoError(t, err, name)
		require.Len(t, rows, tc.want, name)
		require.NotEmpty(t, next, name)
	}
}

func TestBadCursor(t *testing.T) {
	s := openStore(t)
	for name, cursor := range map[string]string{
		"no base64":  "%%%",
		"short":      "AAAA",
		"long":       strings.Repeat("A", 16),
		"negative":   "__________8",
		"loose bits": "AAAAAAAAAAF",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := s.CaseReports(t.Context(), store.Filter{Cursor: cursor})
			require.ErrorIs(t, err, store.ErrBadCursor)
		})
	}
}

// With 100,000 rows no list may sort or walk the table.
func TestListsUseAnIndex(t *testing.T) {
	s := openStore(t)
	for name, tc := range map[string]struct {
		filter store.Filter
		index  string
	}{
		"all":                {store.Filter{}, "sqlite_autoindex_case_reports_2 (sequence<?)"},
		"patient":            {store.Filter{PatientID: "P"}, "case_reports_patient (patient_id=? AND sequence<?)"},
		"status":             {store.Filter{Status: "failed"}, "case_reports_status (status=? AND sequence<?)"},
		"patient and status": {store.Filter{PatientID: "P", Status: "failed"}, "case_reports_patient (patient_id=? AND sequence<?)"},
	} {
		t.Run(name, func(t *testing.T) {
			query, args := store.ListQuery(tc.filter)
			plan := explain(t, s, query, args)
			require.Contains(t, plan, tc.index)
			require.NotContains(t, plan, "TEMP B-TREE")
			require.NotContains(t, plan, "SCAN")
		})
	}
	require.Contains(t, explain(t, s, store.CountQuery, nil), "COVERING INDEX case_reports_status")
}

func explain(t *testing.T, s *store.Store, query string, args []any) string {
	t.Helper()
	rows, err := store.Reads(s).Query("EXPLAIN QUERY PLAN "+query, args...)
	require.NoError(t, err)
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		plan.WriteString(detail + "\n")
	}
	require.NoError(t, rows.Err())
	return plan.String()
}

func TestCounts(t *testing.T) {
	s := openStore(t)
	counts, err := s.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[tasks.Status]int{
		tasks.Accepted: 0, tasks.Processing: 0, tasks.Retrying: 0, tasks.Completed: 0, tasks.Failed: 0,
	}, counts)
	record(t, s, 0, 6)
	for n, to := range []string{"accepted", "processing", "retrying", "completed", "failed", "failed"} {
		moves[to](t, s, report(n).ID)
	}
	counts, err = s.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[tasks.Status]int{
		tasks.Accepted: 1, tasks.Processing: 1, tasks.Retrying: 1, tasks.Completed: 1, tasks.Failed: 2,
	}, counts)
}
