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

// A bit that would hide a case from all lists, as an exercise or in another state, is told.
func TestAHiddenCaseIsTold(t *testing.T) {
	for _, change := range []string{`exercise = 1`, `state = 'closed'`} {
		s, path := damageable(t)
		log := recordCases(t, s, "A1", "X1")
		require.NoError(t, s.Compare(t.Context(), log))
		require.NoError(t, store.ExecOnWriter(s, `UPDATE adverse_events SET `+change+` WHERE id = 'A1'`))
		requireTells(t, s.Compare(t.Context(), log), path)
		requireTells(t, s.Ping(t.Context()), path)
	}
}

// Whoever tells people of cases reads the few that are open, and the few steps that are new, and not all.
func TestOpenCasesUseAnIndex(t *testing.T) {
	s := openStore(t)
	plan := explain(t, s, store.OpenCasesQuery, nil)
	require.Contains(t, plan, "adverse_events_state (state=?)")
	require.NotContains(t, plan, "SCAN")
	plan = explain(t, s, store.StepsAfterQuery, []any{1, 1})
	require.Contains(t, plan, "adverse_event_steps_sequence (sequence>?)")
	require.NotContains(t, plan, "SCAN")
	require.NotContains(t, plan, "TEMP B-TREE")
}

// recordCases records adverse events of these ids, an exercise where the id begins with X, and returns what it recorded.
func recordCases(t *testing.T, s *store.Store, ids ...string) (batch []tasks.Recorded) {
	t.Helper()
	for i, id := range ids {
		e := tasks.AdverseEvent{ID: id, Study: "S1", PatientID: "P1", Exercise: id[0] == 'X', Report: &tasks.Report{Description: id, KnownAt: "2026-11-26T12:00:00Z", Original: id}}
		sub := tasks.NewSubmission(tasks.KindAdverseEvent(), e)
		sub.ReceivedAt = received
		batch = append(batch, tasks.Recorded{Offset: uint64(i), Submission: sub})
	}
	require.NoError(t, s.Record(t.Context(), tasks.TopicAdverseEvents, batch, store.Watermark{Next: uint64(len(ids)), Check: "c"}))
	return batch
}

// Exercises are neither counted nor listed, unless they are asked for.
func TestExercises(t *testing.T) {
	s := openStore(t)
	recordCases(t, s, "A1", "X1", "A2", "X2", "X3")
	counts, err := s.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, counts["adverse-event"][tasks.Accepted])
	_, err = s.Claim(t.Context(), []tasks.Ref{{Kind: "adverse-event", ID: "X1"}, {Kind: "adverse-event", ID: "A1"}})
	require.NoError(t, err)
	counts, err = s.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[tasks.Status]int{tasks.Accepted: 1, tasks.Processing: 1, tasks.Retrying: 0, tasks.Completed: 0, tasks.Failed: 0}, counts["adverse-event"])

	open := []tasks.AdverseEventState{tasks.StateOpen}
	for _, of := range []store.AdverseEventFilter{
		{}, {States: open}, {Filter: store.Filter{PatientID: "P1"}}, {States: open, Filter: store.Filter{PatientID: "P1", Study: "S1"}},
	} {
		for exercises, want := range map[store.Exercises][]string{
			store.WithoutExercises: {"A2", "A1"}, store.OnlyExercises: {"X3", "X2", "X1"}, store.WithExercises: {"X3", "X2", "A2", "X1", "A1"},
		} {
			of.Exercises = exercises
			require.Equal(t, want, listedIDs(t, s, of), "%+v", of)
			paged := of
			paged.Limit = 1
			rows, next, err := s.ListAdverseEvents(t.Context(), paged)
			require.NoError(t, err)
			paged.Cursor = next
			second, _, err := s.ListAdverseEvents(t.Context(), paged)
			require.NoError(t, err)
			got := []string{rows[0].ID, second[0].ID}
			require.Equal(t, want[:2], got)
		}
	}
}

func listedIDs(t *testing.T, s *store.Store, f store.AdverseEventFilter) (ids []string) {
	t.Helper()
	rows, _, err := s.ListAdverseEvents(t.Context(), f)
	require.NoError(t, err)
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	return ids
}

// Whoever tells people of cases reads what is open once, and then what has changed, and is woken by any change.
func TestOpenCasesAndStepsAfter(t *testing.T) {
	s := openStore(t)
	recordCases(t, s, "A1", "A2", "A3")
	changed, stop := s.Watch(tasks.Ref{Kind: "adverse-event"})
	defer stop()
	open, last, err := s.OpenCases(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.OpenCase{{ID: "A1", Study: "S1"}, {ID: "A2", Study: "S1"}, {ID: "A3", Study: "S1"}}, open)
	require.EqualValues(t, 2, last)
	none, err := s.StepsAfter(t.Context(), last, 10)
	require.NoError(t, err)
	require.Empty(t, none)

	steps := []tasks.AdverseEventStep{
		{ID: "A1", Step: tasks.StepNotification, Rung: 1, Attempt: 1, Channel: "e", Name: "nurse"},
		{ID: "A2", Step: tasks.StepNotification, Rung: 1, Attempt: 1, Channel: "e", Name: "nurse", Failed: true, Reason: "x"},
		{ID: "A3", Step: tasks.StepAcknowledgement, Name: "Ann", Decision: tasks.DecisionSAE},
	}
	var batch []tasks.Recorded
	for i, step := range steps {
		sub := tasks.NewSubmission(tasks.KindAdverseEventStep(), step)
		sub.ReceivedAt = received
		batch = append(batch, tasks.Recorded{Offset: uint64(3 + i), Submission: sub}, tasks.Recorded{Offset: uint64(6 + i), Submission: sub}) // twice
	}
	require.NoError(t, s.Record(t.Context(), tasks.TopicAdverseEvents, batch, store.Watermark{Next: 9, Check: "c"}))
	<-changed
	after, err := s.StepsAfter(t.Context(), last, 2)
	require.NoError(t, err)
	require.Equal(t, []store.StepOf{{OpenCase: store.OpenCase{ID: "A1", Study: "S1"}, Offset: 3}, {OpenCase: store.OpenCase{ID: "A2", Study: "S1"}, Offset: 4}}, after)
	open, last, err = s.OpenCases(t.Context())
	require.NoError(t, err)
	require.Len(t, open, 2)
	require.EqualValues(t, 5, last, "the same step, recorded twice, is one")
	require.Equal(t, []string{"A1"}, listedIDs(t, s, store.AdverseEventFilter{States: []tasks.AdverseEventState{tasks.StateNotified}}))
	require.NoError(t, s.Check(t.Context()))
}

func TestAlertChannels(t *testing.T) {
	s := openStore(t)
	failing := store.AlertChannel{Study: "S1", Channel: "e", FailingSince: received, LastAt: received, LastError: "x"}
	for _, c := range []store.AlertChannel{{Study: "S1", Channel: "e", LastAt: received}, {Study: "S2", Channel: "e", LastAt: received}, failing} {
		require.NoError(t, s.SaveAlertChannel(t.Context(), c))
	}
	all, err := s.AlertChannels(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.AlertChannel{failing, {Study: "S2", Channel: "e", LastAt: received}}, all)
}
