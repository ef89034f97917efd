package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk"
	"casepress/disk/disktest"
	"casepress/dispatcher/dispatchertest"
	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// flagged is a response to the PHQ-9 whose item 9 has this answer.
func flagged(t testing.TB, id string, item9 int64) tasks.QuestionnaireResponse {
	t.Helper()
	d, ok := instrument.Shipped().Get("phq-9", "1")
	require.True(t, ok)
	answers := instrument.Answers{"9": {Value: item9}}
	flags, err := instrument.Flags(d, answers, nil)
	require.NoError(t, err)
	return tasks.QuestionnaireResponse{
		ID: id, Revision: 1, PatientID: "P-" + id, Rule: d.Identity, Language: "en", Authored: "2026-11-26T20:14:00+08:00",
		Answers: answers, Flags: flags, MediaType: "application/json", Original: fmt.Sprintf(`{"id":%q,"9":%d}`, id, item9),
	}
}

// realWork does what the service does.
func realWork(ctx context.Context, w tasks.Work) (tasks.Result, error) {
	task, err := (&tasks.Processor{}).Task(w)
	if err != nil {
		return nil, err
	}
	return task.Execute(ctx)
}

func eventRef(response string) tasks.Ref {
	return tasks.Ref{Kind: tasks.KindAdverseEvent().Name, ID: tasks.FlagID(response, 1, "phq-9-item-9")}
}

// requireOneEvent waits until the adverse event of each response is opened, and wants as many records of them in the log.
func requireOneEvent(t *testing.T, h dispatchertest.Fixture, responses ...string) {
	t.Helper()
	require.NoError(t, h.CaughtUp(t.Context()))
	for _, id := range responses {
		ref := eventRef(id)
		require.Eventually(t, func() bool {
			row, err := h.Store.Get(t.Context(), ref)
			require.NoError(t, err)
			return row.Status == tasks.Completed
		}, dispatchertest.Patience, dispatchertest.Patience/1000)
		row, err := h.Store.Get(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "P-"+id, row.PatientID)
		require.Equal(t, tasks.AdverseEventResult{State: tasks.StateOpen}, row.Result)
	}
	end, err := h.Broker.End(tasks.TopicAdverseEvents)
	require.NoError(t, err)
	events := 0
	for offset := range end {
		m, err := h.Broker.Read(tasks.TopicAdverseEvents, offset)
		require.NoError(t, err)
		record, err := tasks.DecodeSubmission(m.Payload)
		require.NoError(t, err)
		if record.Kind == tasks.KindAdverseEvent() { // else a request to do the work again, whose result was lost
			events++
		}
	}
	require.Len(t, responses, events)
}

// The process died when the record of a response was in the log, and nothing else had happened: neither its row nor
// the adverse event was there.
func TestFlagOfAnEarlierProcess(t *testing.T) {
	dir := t.TempDir()
	s := dispatchertest.OpenStorage(t, dir, broker.Options{})
	require.NoError(t, s.Broker.CreateTopic(t.Context(), tasks.TopicQuestionnaireResponses))
	for i, response := range []tasks.QuestionnaireResponse{flagged(t, "QR-1", 2), flagged(t, "QR-2", 0), flagged(t, "QR-3", 1), flagged(t, "QR-1", 3)} {
		record, err := tasks.NewSubmission(tasks.KindQuestionnaireResponse(), response).Encode()
		require.NoError(t, err)
		offset, err := s.Broker.Publish(t.Context(), tasks.TopicQuestionnaireResponses, broker.Message{Key: response.ID, Payload: record})
		require.NoError(t, err)
		require.EqualValues(t, i, offset)
	}
	require.NoError(t, s.Shut(t))

	h, shut := open(t, options{Dir: dir, Work: realWork})
	requireOneEvent(t, h, "QR-1", "QR-3")
	_, err := h.Store.Get(t.Context(), eventRef("QR-2"))
	require.ErrorIs(t, err, store.ErrNotFound)
	row, err := h.Store.Get(t.Context(), eventRef("QR-1"))
	require.NoError(t, err)
	require.Equal(t, instrument.Decimal("2"), row.Content.(tasks.AdverseEvent).Flag.Value, "of two records with one id the first counts")
	shut(false)

	dispatchertest.RemoveRows(t, dir)
	h, shut = open(t, options{Dir: dir, Work: realWork})
	requireOneEvent(t, h, "QR-1", "QR-3")
	shut(false)
}

// The folder is copied at any moment while flags are raised, as deaths of the process would leave it.
func TestFlagsAndDeaths(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir, Work: realWork})
	var responses []string
	for round := range 12 {
		id := fmt.Sprintf("QR-%d", round)
		accepted := make(chan error, 1)
		response := tasks.NewSubmission(tasks.KindQuestionnaireResponse(), flagged(t, id, 1))
		go func() {
			_, err := h.Accept(context.Background(), response)
			accepted <- err
		}()
		died := dispatchertest.Copy(t, dir)
		require.NoError(t, <-accepted)
		responses = append(responses, id)

		again, shutAgain := open(t, options{Dir: died, Work: realWork})
		require.NoError(t, again.CaughtUp(t.Context()))
		_, err := again.Accept(t.Context(), response) // the client that has no answer asks once more
		require.NoError(t, err)
		requireOneEvent(t, again, responses...)
		shutAgain(true)
	}
	requireOneEvent(t, h, responses...)
	shut(false)
}

// What was accepted under the id of an adverse event before stays, and holds up nobody.
func TestDerivedIDIsTaken(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir(), Work: realWork})
	other := tasks.AdverseEvent{ID: eventRef("QR-1").ID, PatientID: "P-other", Authored: "2026-11-26T20:14:00+08:00"}
	_, err := h.Accept(t.Context(), tasks.NewSubmission(tasks.KindAdverseEvent(), other))
	require.NoError(t, err)
	for _, id := range []string{"QR-1", "QR-2"} {
		receipt, err := h.Accept(t.Context(), tasks.NewSubmission(tasks.KindQuestionnaireResponse(), flagged(t, id, 1)))
		require.NoError(t, err)
		require.False(t, receipt.Replayed)
	}
	require.NoError(t, h.CaughtUp(t.Context()))
	row, err := h.Store.Get(t.Context(), eventRef("QR-1"))
	require.NoError(t, err)
	require.Equal(t, "P-other", row.PatientID)
	_, err = h.Store.Get(t.Context(), eventRef("QR-2"))
	require.NoError(t, err)
	require.NoError(t, h.Ready())
}

// An adverse event that cannot be stored is no reason to refuse the response, which has the flag in its record; but no row
// of the response is made before it can, so that nothing says that all is done.
func TestDerivedLater(t *testing.T) {
	dir := t.TempDir()
	fsys := disktest.NewFault(disk.OS)
	h, shut := open(t, options{Dir: dir, FS: fsys, Work: realWork})
	fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO, Sticky: true, Match: func(name string) bool {
		return strings.Contains(name, tasks.TopicAdverseEvents)
	}})
	_, err := h.Accept(t.Context(), tasks.NewSubmission(tasks.KindQuestionnaireResponse(), flagged(t, "QR-1", 1)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return h.Ready() != nil }, dispatchertest.Patience, dispatchertest.Patience/1000)
	_, err = h.Store.Get(t.Context(), tasks.Ref{Kind: tasks.KindQuestionnaireResponse().Name, ID: "QR-1"})
	require.ErrorIs(t, err, store.ErrNotFound)
	shut(true)
	fsys.Heal()

	h, _ = open(t, options{Dir: dir, Work: realWork})
	requireOneEvent(t, h, "QR-1")
}
