package store_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// Cases of a state are found by its index, in order, and those of a patient by the patient.
func TestListsOfStatesUseAnIndex(t *testing.T) {
	s := openStore(t)
	open, closed := tasks.StateOpen, tasks.StateClosed
	for _, tc := range []struct {
		filter store.AdverseEventFilter
		want   []string
	}{
		{store.AdverseEventFilter{States: []tasks.AdverseEventState{open}}, []string{"adverse_events_state (state=? AND sequence<?)"}},
		{store.AdverseEventFilter{States: []tasks.AdverseEventState{closed, open}, Filter: store.Filter{Study: "S1", Site: "1", VisitID: "V", Status: "completed"}},
			[]string{"adverse_events_state (state=? AND sequence<?)"}},
		{store.AdverseEventFilter{States: []tasks.AdverseEventState{open, closed}, Filter: store.Filter{PatientID: "P1"}},
			[]string{"submissions_patient (kind=? AND patient_id=? AND sequence<?)", "USING INDEX sqlite_autoindex_adverse_events_1 (id=?)"}},
		{store.AdverseEventFilter{Filter: store.Filter{Study: "S1"}}, []string{"submissions_study"}},
	} {
		query, args := store.AdverseEventQuery(tc.filter)
		plan := explain(t, s, query, args)
		for _, want := range tc.want {
			require.Contains(t, plan, want)
		}
		require.NotContains(t, plan, "SCAN submissions")
		require.NotContains(t, plan, "SCAN e")
	}
	// Each state gives its rows in order: no more of them are read than a page has.
	query, args := store.AdverseEventQuery(store.AdverseEventFilter{States: []tasks.AdverseEventState{open, closed}})
	require.Equal(t, 2, strings.Count(explain(t, s, query, args), "adverse_events_state (state=? AND sequence<?)"))
}
