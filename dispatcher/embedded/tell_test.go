package embedded_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// Whoever is to be told that an adverse event was received waits for no rows, and is told once.
func TestReceivedIsToldBeforeItsRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writing := make(chan struct{})
		changeAKind(t, tasks.KindAdverseEvent(), func(k *tasks.Kind) {
			insert := k.Rows.Insert
			k.Rows.Insert = func(tx tasks.Tx, r tasks.Recorded) error {
				<-writing
				return insert(tx, r)
			}
		})
		h, _ := open(t, options{Dir: t.TempDir(), Work: realWork})
		e := tasks.AdverseEvent{ID: "AE-1", Study: "S1", PatientID: "P1", Report: &tasks.Report{Description: "d", Original: "{}"}}
		_, err := h.Accept(t.Context(), tasks.NewSubmission(tasks.KindAdverseEvent(), e))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		told := events(t, h.Broker)
		require.Len(t, told, 1)
		_, err = h.Store.Get(t.Context(), tasks.Ref{Kind: tasks.KindAdverseEvent().Name, ID: "AE-1"})
		require.ErrorIs(t, err, store.ErrNotFound)

		close(writing)
		time.Sleep(time.Minute)
		fromRows, err := h.Store.Events(t.Context(), tasks.KindAdverseEvent(), store.FromStart, 10)
		require.NoError(t, err)
		require.Len(t, fromRows, 1)
		require.Equal(t, fromRows[0].Event, told[0])
		require.Equal(t, []string{"adverse-event/AE-1/1", told[0].ID}, eventIDs(t, h.Broker), "that it is handed over, and what was told before")
	})
}

// A record that is no work, such as a step, is not counted among what waits.
func TestStepsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := open(t, options{Dir: t.TempDir(), Work: realWork})
		for _, c := range []tasks.Submission{
			tasks.NewSubmission(tasks.KindAdverseEvent(), tasks.AdverseEvent{ID: "AE-1", PatientID: "P1", Report: &tasks.Report{Original: "{}"}}),
			tasks.NewSubmission(tasks.KindAdverseEventStep(), tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepFollowUp, FollowUpID: "1"}),
		} {
			_, err := h.Accept(t.Context(), c)
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		b, err := h.Ledger.Backlog(t.Context(), tasks.KindAdverseEvent().Lane)
		require.NoError(t, err)
		require.Equal(t, dispatcher.Backlog{}, b)
	})
}
