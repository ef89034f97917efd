package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func exported(t testing.TB, s *store.Store, f store.ResponseFilter, each func(store.Row)) (ids []string) {
	t.Helper()
	require.NoError(t, s.EachResponse(t.Context(), f, func(row store.Row) error {
		ids = append(ids, row.ID)
		each(row)
		return nil
	}))
	return ids
}

// An export has what there was when it began, whatever is accepted and amended while it runs.
func TestExportIsASnapshot(t *testing.T) {
	s := openStore(t)
	var batch []tasks.Recorded
	for n := range 170 { // several pages
		batch = append(batch, response(fmt.Sprintf("QR-%d", n), 1, n))
	}
	batch = append(batch, response("QR-7", 2, 170))
	recordResponses(t, s, batch...)
	nothing := func(store.Row) {}
	before := exported(t, s, store.ResponseFilter{}, nothing)
	require.Len(t, before, 170)
	require.Contains(t, before, "QR-7~2")
	require.NotContains(t, before, "QR-7")

	n := 171
	during := exported(t, s, store.ResponseFilter{}, func(store.Row) {
		if n < 340 { // the last ones first, and new ones of every patient
			batch = append(batch, response(fmt.Sprintf("QR-%d", 340-n), 2, n), response(fmt.Sprintf("NEW-%d", n), 1, n+1))
			if 340-n == 7 {
				batch[len(batch)-2] = response("QR-7", 3, n)
			}
			recordResponses(t, s, batch[len(batch)-2:]...)
			n += 2
		}
	})
	require.Equal(t, before, during)
	require.Greater(t, len(exported(t, s, store.ResponseFilter{}, nothing)), 200)

	for _, f := range []store.ResponseFilter{{Instrument: "gad-7"}, {From: received.AddDate(0, 0, 100), To: received.AddDate(0, 0, 120)}, {Filter: store.Filter{PatientID: "P1", Study: "S1"}}} {
		listed := map[string]bool{}
		paged := f
		paged.Limit = store.MaxLimit
		for {
			rows, next, err := s.ListResponses(t.Context(), paged)
			require.NoError(t, err)
			for _, row := range rows {
				listed[row.ID] = true
			}
			if paged.Cursor = next; next == "" {
				break
			}
		}
		got := exported(t, s, f, nothing)
		require.NotEmpty(t, got)
		require.Len(t, got, len(listed), "%+v", f)
		for _, id := range got {
			require.True(t, listed[id], id)
		}
	}
	stop := errors.New("stop")
	require.ErrorIs(t, s.EachResponse(t.Context(), store.ResponseFilter{}, func(store.Row) error { return stop }), stop)
	require.Error(t, s.EachResponse(t.Context(), store.ResponseFilter{Filter: store.Filter{Status: "completed"}}, nil))
	require.Empty(t, exported(t, s, store.ResponseFilter{Instrument: "none"}, nothing))
}

// Each page begins where the one before ended: none walks over all that was exported before.
func TestExportWalksTheIndex(t *testing.T) {
	s := openStore(t)
	for _, f := range []store.ResponseFilter{{}, {Filter: store.Filter{PatientID: "P1", Study: "S1", Site: "1", VisitID: "V"}}, {Instrument: "phq-9"}} {
		query, args := store.ExportQuery(f)
		rows, err := store.Reads(s).Query("EXPLAIN QUERY PLAN "+query, args...)
		require.NoError(t, err)
		plan := ""
		require.NoError(t, tasks.EachRow(rows, func() error {
			var id, parent, other int
			var detail string
			err := rows.Scan(&id, &parent, &other, &detail)
			plan += detail + "\n"
			return err
		}))
		require.Contains(t, plan, "SEARCH submissions USING INDEX submissions_patient (kind=? AND ")
		require.Contains(t, plan, "patient_id")
		require.NotContains(t, plan, "SCAN")
		require.NotContains(t, plan, "TEMP B-TREE", plan)
	}
}
