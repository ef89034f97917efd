package progress_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/progress"
	"casepress/store"
)

const patience = time.Minute

// trial is a broker and the rows that follow it, in one folder.
type trial struct {
	testing.TB
	dir      string
	broker   *broker.Broker
	rows     *progress.Rows
	consumer *progress.Consumer
}

func openTrial(t testing.TB, dir string) *trial {
	t.Helper()
	b, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{})
	require.NoError(t, err)
	rows, err := progress.Open(t.Context(), filepath.Join(dir, "progress.db"), quiet)
	require.NoError(t, err)
	c, err := progress.Start(t.Context(), rows, b, quiet)
	require.NoError(t, err)
	return &trial{t, dir, b, rows, c}
}

func (t *trial) close() {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, t.consumer.Close(ctx))
	require.NoError(t, t.rows.Close())
	require.NoError(t, t.broker.Close())
}

// publish publishes events as the service does.
func (t *trial) publish(events ...progress.Event) {
	t.Helper()
	messages := make([]broker.Message, len(events))
	for i, e := range events {
		messages[i] = message(e)
	}
	_, err := t.broker.Publish(t.Context(), progress.Topic, messages...)
	require.NoError(t, err)
}

func message(e progress.Event) broker.Message {
	status := "failed"
	if e.Completed {
		status = "completed"
	}
	wire := map[string]any{
		"id": e.ID, "type": progress.Topic, "time": e.FinishedAt, "kind": e.Kind, "submissionId": e.SubmissionID, "revision": e.Revision,
		"occurredAt": e.OccurredAt, "study": e.Study, "site": e.Site, "patientId": e.PatientID, "visitId": e.VisitID, "status": status, "attempt": e.Attempt, "url": e.URL,
	}
	if e.Kind == "questionnaire-response" {
		wire["instrument"] = e.Item
	}
	payload, err := json.Marshal(wire)
	if err != nil {
		panic(err)
	}
	return broker.Message{ID: e.ID, Key: e.Study + "/" + e.PatientID, Payload: payload}
}

// caughtUp waits until every event is in the rows or a dead letter, and acknowledged.
func (t *trial) caughtUp() {
	t.Helper()
	require.Eventually(t, func() bool {
		behind, err := t.consumer.Behind()
		require.NoError(t, err)
		group, err := t.broker.Group(progress.Topic, progress.Group)
		require.NoError(t, err)
		return behind == 0 && group.Lag == 0
	}, patience, time.Millisecond)
}

func (t *trial) deadLetters() (reasons []string) {
	t.Helper()
	letters, _, err := t.broker.DeadLetters(progress.Topic, 0, 100)
	require.NoError(t, err)
	for _, m := range letters {
		reasons = append(reasons, m.Header(broker.DeadReason))
	}
	return reasons
}

// many are the responses of some patients.
func many(n int) (all []progress.Event) {
	for i := range n {
		all = append(all, response(fmt.Sprintf("QR-%d", i), fmt.Sprintf("P%d", i%37), "V01", []string{"phq-9", "gad-7"}[i/37%2], "2026-11-01"))
	}
	return all
}

func TestConsumer(t *testing.T) {
	dir := t.TempDir()
	trial := openTrial(t, dir)
	trial.publish(many(1000)...)
	trial.caughtUp()
	page := read(t, trial.rows, s1, progress.Query{}, "2026-11-01")
	require.Len(t, page.Patients, 37)
	require.Equal(t, 2*37, page.Totals.Completed)
	want := read(t, trial.rows, s1, progress.Query{PatientID: "P7"}, "2026-11-01")
	require.Empty(t, trial.deadLetters())
	trial.close()

	trial = openTrial(t, dir) // goes on, and does nothing again
	trial.publish(response("QR-late", "P7", "V01", "case-report", "2026-11-01"))
	trial.caughtUp()
	require.NotEqual(t, want, read(t, trial.rows, s1, progress.Query{PatientID: "P7"}, "2026-11-01"))
	positions, err := trial.rows.Positions(t.Context(), progress.Topic)
	require.NoError(t, err)
	require.EqualValues(t, 1001, positions[0].Next)
	trial.close()
}

// What can never be applied is a dead letter with the reason, once, and holds up nobody.
func TestPoison(t *testing.T) {
	dir := t.TempDir()
	trial := openTrial(t, dir)
	bad := message(response("QR-1", "P1", "V01", "phq-9", "2026-11-01"))
	bad.ID, bad.Payload = "", []byte(`{"type":"patient-data-update","patientId":"P1"}`)
	good := message(response("QR-2", "P1", "V01", "phq-9", "2026-11-01"))
	stray := response("QR-2", "P2", "V01", "phq-9", "2026-11-01")
	stray.Attempt, stray.ID = 2, "stray"
	adverse := broker.Message{Key: "S1/P1", Payload: []byte(`{"type":"adverse-event","step":"received"}`)}
	_, err := trial.broker.Publish(t.Context(), progress.Topic, bad, good, adverse, bad)
	require.NoError(t, err)
	trial.caughtUp() // or the stray one could be first
	trial.publish(stray)
	trial.caughtUp()
	letters := trial.deadLetters()
	require.Len(t, letters, 3)
	require.Contains(t, letters[0], "kind: must be 1 to 64")
	require.Contains(t, letters[2], "known of another patient")
	require.Len(t, read(t, trial.rows, s1, progress.Query{}, "2026-11-01").Patients, 1)
	trial.close()

	trial = openTrial(t, dir)
	trial.caughtUp()
	require.Len(t, trial.deadLetters(), 3, "they are not rejected again")
	trial.close()
}

// Rows that are lost, older, or of another topic are made again from this one.
func TestRowsThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "progress.db")
	trial := openTrial(t, dir)
	trial.publish(many(300)...)
	trial.caughtUp()
	trial.close()
	older, err := os.ReadFile(path)
	require.NoError(t, err)

	trial = openTrial(t, dir)
	trial.publish(many(600)[300:]...)
	trial.caughtUp()
	want := read(t, trial.rows, s1, progress.Query{PatientID: "P3"}, "2026-11-01")
	trial.close()

	made := func() {
		t.Helper()
		trial := openTrial(t, dir)
		trial.caughtUp()
		require.Equal(t, want, read(t, trial.rows, s1, progress.Query{PatientID: "P3"}, "2026-11-01"))
		trial.close()
	}
	require.NoError(t, os.WriteFile(path, older, 0o600))
	made()
	require.NoError(t, os.Remove(path))
	made()

	// Another topic: longer than the one that the rows are of, and then shorter.
	for _, n := range []int{700, 10} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "topics")))
		trial = openTrial(t, dir)
		require.Empty(t, read(t, trial.rows, s1, progress.Query{}, "2026-11-01").Patients)
		events := many(n)
		for i := range events {
			events[i].Site = fmt.Sprint(n)
		}
		trial.publish(events...)
		trial.caughtUp()
		require.Equal(t, []string{fmt.Sprint(n)}, sitesOf(read(t, trial.rows, s1, progress.Query{}, "2026-11-01")))
		trial.close()

		require.NoError(t, os.WriteFile(path, older, 0o600)) // of the first topic
		trial = openTrial(t, dir)
		trial.caughtUp()
		require.Equal(t, []string{fmt.Sprint(n)}, sitesOf(read(t, trial.rows, s1, progress.Query{}, "2026-11-01")))
		trial.close()
	}
}

// Acknowledgements that are lost bring events again, and that changes nothing.
func TestAcknowledgementsAreLost(t *testing.T) {
	dir := t.TempDir()
	groups := filepath.Join(dir, "topics", progress.Topic, "groups")
	trial := openTrial(t, dir)
	trial.publish(many(100)...)
	trial.caughtUp()
	trial.close()
	older := t.TempDir()
	require.NoError(t, os.CopyFS(older, os.DirFS(groups)))

	trial = openTrial(t, dir)
	trial.publish(many(600)[100:]...)
	trial.caughtUp()
	want := read(t, trial.rows, s1, progress.Query{PatientID: "P3"}, "2026-11-01")
	trial.close()
	for _, restore := range []bool{true, false} {
		require.NoError(t, os.RemoveAll(groups))
		if restore {
			require.NoError(t, os.CopyFS(groups, os.DirFS(older)))
		}
		trial = openTrial(t, dir)
		trial.publish(response("QR-1", "P3", "V01", "phq-9", "2026-11-01"))
		trial.caughtUp()
		require.Equal(t, want, read(t, trial.rows, s1, progress.Query{PatientID: "P3"}, "2026-11-01"))
		trial.close()
	}
}

// A database that cannot be written to for a while loses nothing: events wait.
func TestRowsThatFailForAWhile(t *testing.T) {
	dir := t.TempDir()
	trial := openTrial(t, dir)
	other, err := store.OpenDatabase(t.Context(), filepath.Join(dir, "progress.db"), os.DirFS("."))
	require.NoError(t, err)
	tx, err := other.Writes.BeginTx(t.Context(), nil) // which keeps all others from writing
	require.NoError(t, err)
	trial.publish(many(10)...)
	require.Eventually(t, func() bool {
		group, err := trial.broker.Group(progress.Topic, progress.Group)
		require.NoError(t, err)
		return group.InFlight > 0
	}, patience, time.Millisecond)
	behind, err := trial.consumer.Behind()
	require.NoError(t, err)
	require.EqualValues(t, 10, behind)
	require.NoError(t, tx.Rollback())
	require.NoError(t, other.Close())
	trial.caughtUp()
	require.Len(t, read(t, trial.rows, s1, progress.Query{}, "2026-11-01").Patients, 10)
	trial.close()
}
