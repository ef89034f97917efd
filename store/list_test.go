package store_test

import (
	"fmt"
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

func TestListFilters(t *testing.T) {
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
		"limit":              {store.Filter{Limit: 2}, []uint64{9, 8}},
		"unknown patient":    {store.Filter{PatientID: "P9"}, nil},
		"unknown status":     {store.Filter{Status: "lost"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			rows, _, err := s.List(t.Context(), caseReports, tc.filter)
			require.NoError(t, err)
			require.Equal(t, tc.want, sequences(rows))
			for _, row := range rows {
				one, err := get(s, row.ID)
				require.NoError(t, err)
				require.Equal(t, one, row)
			}
		})
	}
}

func TestListPagesWhileRowsComeIn(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 10)
	var got []uint64
	f := store.Filter{Limit: 3}
	for page := 0; ; page++ {
		rows, next, err := s.List(t.Context(), caseReports, f)
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

func TestListLimit(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, store.MaxLimit+1)
	for limit, want := range map[int]int{0: store.DefaultLimit, 1: 1, store.MaxLimit: store.MaxLimit} {
		rows, next, err := s.List(t.Context(), caseReports, store.Filter{Limit: limit})
		require.NoError(t, err)
		require.Len(t, rows, want)
		require.NotEmpty(t, next)
	}
	for _, limit := range []int{-1, store.MaxLimit + 1, 1 << 40} {
		_, _, err := s.List(t.Context(), caseReports, store.Filter{Limit: limit})
		require.ErrorIs(t, err, store.ErrBadLimit)
		require.ErrorContains(t, err, "1 to 200")
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
			_, _, err := s.List(t.Context(), caseReports, store.Filter{Cursor: cursor})
			require.ErrorIs(t, err, store.ErrBadCursor)
		})
	}
}

// With 100,000 rows no list may sort or walk the table.
func TestListsUseAnIndex(t *testing.T) {
	s := openStore(t)
	for set := range 32 {
		for _, status := range []string{"failed", "processing", "completed"} {
			var f store.Filter
			want := "sqlite_autoindex_submissions_2 (kind=? AND sequence<?)"
			for i, filter := range []struct {
				field *string
				index string
			}{ // in the order of preference, the last one first
				{&f.VisitID, "sqlite_autoindex_submissions_2 (kind=? AND sequence<?)"},
				{&f.Study, "submissions_study (kind=? AND study=? AND sequence<?)"},
				{&f.Site, "submissions_site (kind=? AND site=? AND sequence<?)"},
				{&f.Status, map[string]string{"failed": "submissions_failed (kind=? AND sequence<?)", "processing": "submissions_unfinished (kind=? AND sequence<?)"}[status]},
				{&f.PatientID, "submissions_patient (kind=? AND patient_id=? AND sequence<?)"},
			} {
				if set&(1<<i) == 0 {
					continue
				}
				*filter.field = "X"
				if filter.field == &f.Status {
					f.Status = status
				}
				if filter.index != "" { // most are completed: any other filter leaves fewer
					want = filter.index
				}
			}
			t.Run(fmt.Sprintf("%+v", f), func(t *testing.T) {
				query, args := store.ListQuery(f)
				plan := explain(t, s, query, args)
				require.Contains(t, plan, want)
				require.NotContains(t, plan, "TEMP B-TREE")
				require.NotContains(t, plan, "SCAN")
			})
		}
	}
}

// Nor may anything else that is asked of the whole table.
func TestQueriesUseAnIndex(t *testing.T) {
	s := openStore(t)
	plan := explain(t, s, store.CountQuery, nil)
	for _, index := range []string{"INDEX submissions_unfinished", "COVERING INDEX submissions_failed", "COVERING INDEX", "SCAN e USING COVERING INDEX adverse_events_exercises"} {
		require.Contains(t, plan, index)
	}
	require.Equal(t, 5, strings.Count(plan, "INDEX"), plan)
	for query, index := range map[string]string{
		store.InterruptedQuery: "submissions_unfinished (kind=?)",
		store.SuspectsQuery:    "submissions_suspect (kind=?)",
		store.UnfinishedQuery:  "submissions_unfinished (kind=? AND sequence>?)",
	} {
		plan := explain(t, s, query, []any{"case-report", 1, 1}[:strings.Count(query, "$")])
		require.Contains(t, plan, index)
		require.NotContains(t, plan, "TEMP B-TREE")
		require.NotContains(t, plan, "SCAN")
	}
}

// The index has nothing but suspects.
func TestSuspectsUseAnIndex(t *testing.T) {
	require.Equal(t, "SCAN submissions USING INDEX submissions_suspect\n", explain(t, openStore(t), store.AllSuspectsQuery, nil))
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
	none := map[tasks.Status]int{tasks.Accepted: 0, tasks.Processing: 0, tasks.Retrying: 0, tasks.Completed: 0, tasks.Failed: 0}
	expected := map[string]map[tasks.Status]int{}
	for _, k := range tasks.Kinds() {
		if k.IsSubmission() {
			expected[k.Name] = none
		}
	}
	counts, err := s.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, expected, counts)
	record(t, s, 0, 6)
	for n, to := range []string{"accepted", "processing", "retrying", "completed", "failed", "failed"} {
		moves[to](t, s, report(n).ID)
	}
	counts, err = s.Counts(t.Context())
	require.NoError(t, err)
	expected["case-report"] = map[tasks.Status]int{
		tasks.Accepted: 1, tasks.Processing: 1, tasks.Retrying: 1, tasks.Completed: 1, tasks.Failed: 2,
	}
	require.Equal(t, expected, counts)
}
