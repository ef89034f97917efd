package dispatcher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/broker"
	"casepress/disk"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a dispatcher with the real broker and store below it.
type house struct {
	*dispatcher.Dispatcher
	broker *broker.Broker
	store  *store.Store
	dir    string
}

type options struct {
	dir     string
	fs      disk.FS
	noDedup bool // opening does not read back what is recent
	config  dispatcher.Config
	process dispatcher.Process
}

func done(context.Context, store.Row, func(int, int)) (tasks.Result, error) {
	return tasks.Result{Report: tasks.Document{Pages: 1}}, nil
}

// open builds a house and returns it with its close, which the test's end calls
// too. hard interrupts running tasks.
func open(t *testing.T, o options) (h house, shut func(hard bool)) {
	t.Helper()
	settings := broker.Options{FS: o.fs}
	if o.noDedup {
		settings.DedupWindow = -1
	}
	b, err := broker.Open(filepath.Join(o.dir, "topics"), settings)
	require.NoError(t, err)
	st, err := store.Open(t.Context(), filepath.Join(o.dir, "rows.db"))
	require.NoError(t, err)
	if o.process == nil {
		o.process = done
	}
	o.config.Backoff, o.config.MaxBackoff = time.Millisecond, 2*time.Millisecond
	d, err := dispatcher.Start(t.Context(), o.config, b, st, o.process)
	require.NoError(t, err)
	var once sync.Once
	shut = func(hard bool) {
		once.Do(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if hard {
				cancel()
			}
			require.NoError(t, d.Close(ctx))
			require.NoError(t, st.Close())
			if err := b.Close(); o.fs == nil {
				require.NoError(t, err)
			}
		})
	}
	t.Cleanup(func() { shut(true) })
	return house{d, b, st, o.dir}, shut
}

func report(id string) tasks.CaseReport {
	return tasks.CaseReport{ID: id, PatientID: "P001", Images: []tasks.Image{{ImageID: "A", SHA256: "00ff", Bytes: 3, MediaType: "image/jpeg"}}}
}

// final waits until the report is completed or failed.
func (h house) final(t *testing.T, id string) store.Row {
	t.Helper()
	require.NoError(t, h.CaughtUp(t.Context()))
	changed, stop := h.store.Watch(id)
	defer stop()
	for {
		row, err := h.store.CaseReport(t.Context(), id)
		require.NoError(t, err)
		if row.Status.Final() {
			return row
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s is still %s", id, row.Status)
		}
	}
}

// updates reads n events.
func (h house) updates(t *testing.T, n int) []dispatcher.Update {
	t.Helper()
	sub, err := h.broker.Subscribe(dispatcher.TopicUpdates, "test", broker.SubscribeOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var events []dispatcher.Update
	for len(events) < n {
		batch, err := sub.Receive(ctx, n-len(events))
		require.NoError(t, err)
		for _, dl := range batch {
			var u dispatcher.Update
			require.NoError(t, json.Unmarshal(dl.Payload, &u))
			events = append(events, u)
			require.NoError(t, dl.Ack())
		}
	}
	return events
}

func TestSubmittedReportCompletes(t *testing.T) {
	h, _ := open(t, options{dir: t.TempDir()})
	receipt, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	require.Equal(t, "CR-1", receipt.ID)
	require.Equal(t, report("CR-1").Digest(), receipt.SHA256)
	require.False(t, receipt.Replayed)

	row := h.final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 1, row.Attempts)
	require.Equal(t, receipt.Sequence, row.Sequence)
	require.True(t, receipt.ReceivedAt.Equal(row.ReceivedAt))

	event := h.updates(t, 1)[0]
	require.Equal(t, dispatcher.Update{
		ID: "CR-1/1", Type: "patient-data-update", Time: row.FinishedAt, Kind: "case-report", ReportID: "CR-1",
		PatientID: "P001", Status: "completed", Attempt: 1, Sequence: receipt.Sequence, URL: "/case-reports/CR-1",
	}, event)
}

// A process that is killed right after a 202 leaves a record that no row tells of.
func TestRecordOfAnEarlierProcess(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{})
	require.NoError(t, err)
	require.NoError(t, b.CreateTopic(t.Context(), dispatcher.TopicCaseReports))
	r := report("CR-1")
	payload, err := tasks.Submission{Kind: tasks.KindCaseReport, SHA256: r.Digest(), CaseReport: &r}.Encode()
	require.NoError(t, err)
	_, err = b.Publish(t.Context(), dispatcher.TopicCaseReports, broker.Message{Payload: payload})
	require.NoError(t, err)
	require.NoError(t, b.Close())

	h, _ := open(t, options{dir: dir})
	receipt, err := h.Submit(t.Context(), r)
	require.NoError(t, err)
	require.True(t, receipt.Replayed, "the id is taken although no row told so at the start")
	require.Equal(t, tasks.Completed, h.final(t, "CR-1").Status)
}

// Rows are a view of the log: without the database they are made again.
func TestLostRowsAreMadeAgain(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{dir: dir})
	var receipts []dispatcher.Receipt
	for i := range 5 {
		receipt, err := h.Submit(t.Context(), report(fmt.Sprintf("CR-%d", i)))
		require.NoError(t, err)
		receipts = append(receipts, receipt)
		h.final(t, receipt.ID)
	}
	img := tasks.Image{ImageID: "IMG007", SHA256: "aa", Bytes: 1, MediaType: "image/png"}
	_, err := h.RegisterImage(t.Context(), "P001", img)
	require.NoError(t, err)
	shut(false)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "rows.db"+suffix)))
	}

	for range 2 { // the second start finds rows and leaves them alone
		h, shut = open(t, options{dir: dir})
		for _, first := range receipts {
			row := h.final(t, first.ID)
			require.Equal(t, tasks.Completed, row.Status)
			require.Equal(t, 1, row.Attempts)
			require.Equal(t, first.Sequence, row.Sequence)
			again, err := h.Submit(t.Context(), report(first.ID))
			require.NoError(t, err)
			require.True(t, again.Replayed)
		}
		require.NoError(t, h.CaughtUp(t.Context()))
		stored, err := h.store.Image(t.Context(), "P001", "IMG007")
		require.NoError(t, err)
		require.Equal(t, img, stored)
		shut(false)
	}
}

func TestServerMakesAnID(t *testing.T) {
	h, _ := open(t, options{dir: t.TempDir()})
	a, err := h.Submit(t.Context(), report(""))
	require.NoError(t, err)
	b, err := h.Submit(t.Context(), report(""))
	require.NoError(t, err)
	require.NotEqual(t, a.ID, b.ID)
	require.Equal(t, tasks.Completed, h.final(t, a.ID).Status)
	require.Equal(t, tasks.Completed, h.final(t, b.ID).Status)
}

func TestSameIDAgain(t *testing.T) {
	dir := t.TempDir()
	other := report("CR-1")
	other.Notes = "something else"
	renamed := report("CR-1")
	renamed.Images[0].Name = "IMG_0001 (1).jpg"

	check := func(h house, first dispatcher.Receipt) {
		again, err := h.Submit(t.Context(), renamed)
		require.NoError(t, err)
		require.True(t, again.Replayed)
		require.Equal(t, first.Sequence, again.Sequence)
		require.Equal(t, first.SHA256, again.SHA256)
		require.True(t, first.ReceivedAt.Equal(again.ReceivedAt))

		_, err = h.Submit(t.Context(), other)
		var conflict *dispatcher.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, dispatcher.ConflictError{ID: "CR-1", Stored: first.SHA256, Offered: other.Digest()}, *conflict)
		end, err := h.broker.End(dispatcher.TopicCaseReports)
		require.NoError(t, err)
		require.EqualValues(t, 1, end)
	}
	h, shut := open(t, options{dir: dir})
	first, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	check(h, first) // from memory or from the rows, whichever is first
	h.final(t, "CR-1")
	check(h, first) // from the rows
	shut(false)
	h, _ = open(t, options{dir: dir})
	check(h, first) // after a restart
}

func TestSameIDAtOnceIsOneReport(t *testing.T) {
	h, _ := open(t, options{dir: t.TempDir()})
	var clients sync.WaitGroup
	var fresh, conflicts, replays atomic.Int32
	for i := range 64 {
		clients.Go(func() {
			r := report("CR-1")
			r.Notes = fmt.Sprint(i % 2)
			receipt, err := h.Submit(t.Context(), r)
			var conflict *dispatcher.ConflictError
			switch {
			case errors.As(err, &conflict):
				conflicts.Add(1)
			case err != nil:
				t.Error(err)
			case receipt.Replayed:
				replays.Add(1)
			default:
				fresh.Add(1)
			}
		})
	}
	clients.Wait()
	require.EqualValues(t, 1, fresh.Load())
	require.EqualValues(t, 31, replays.Load())
	require.EqualValues(t, 32, conflicts.Load())
}

func TestRegisterImage(t *testing.T) {
	h, _ := open(t, options{dir: t.TempDir()})
	img := tasks.Image{ImageID: "IMG007", SHA256: "aa", Bytes: 1, MediaType: "image/png"}
	created, err := h.RegisterImage(t.Context(), "P001", img)
	require.NoError(t, err)
	require.True(t, created)
	stored, err := h.store.Image(t.Context(), "P001", "IMG007")
	require.NoError(t, err, "it can be found as soon as the call returns")
	require.Equal(t, img, stored)

	created, err = h.RegisterImage(t.Context(), "P001", img)
	require.NoError(t, err)
	require.False(t, created)

	created, err = h.RegisterImage(t.Context(), "P002", img)
	require.NoError(t, err)
	require.True(t, created, "ids are a patient's own")

	img.SHA256 = "bb"
	_, err = h.RegisterImage(t.Context(), "P001", img)
	var conflict *dispatcher.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, dispatcher.ConflictError{ID: "IMG007", Stored: "aa", Offered: "bb"}, *conflict)
}

func TestPanicFailsTheAttemptOnly(t *testing.T) {
	var calls atomic.Int32
	h, _ := open(t, options{dir: t.TempDir(), process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
		if calls.Add(1) == 1 {
			panic("a decoder went wild")
		}
		return done(ctx, row, p)
	}})
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	row := h.final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 2, row.Attempts)
	require.EqualValues(t, 1, h.Stats().Panics)
	require.EqualValues(t, 1, h.Stats().Retried)
}

func TestAttemptsEndAndRetryStartsAnew(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	h, _ := open(t, options{
		dir: t.TempDir(), config: dispatcher.Config{MaxAttempts: 3},
		process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
			if broken.Load() {
				return tasks.Result{}, errors.New("the disk is full")
			}
			return done(ctx, row, p)
		},
	})
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	row := h.final(t, "CR-1")
	require.Equal(t, tasks.Failed, row.Status)
	require.Equal(t, 3, row.Attempts)
	require.Contains(t, row.Error, "the disk is full")
	dead := h.deadLetters(t)
	require.EqualValues(t, 1, dead)

	status, err := h.Retry(t.Context(), "CR-1")
	require.NoError(t, err)
	require.Equal(t, tasks.Failed, status)
	row = h.final(t, "CR-1")
	require.Equal(t, tasks.Failed, row.Status, "still broken")
	require.Equal(t, 6, row.Attempts, "a retry has a budget of its own")

	broken.Store(false)
	_, err = h.Retry(t.Context(), "CR-1")
	require.NoError(t, err)
	row = h.final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)

	_, err = h.Retry(t.Context(), "CR-1")
	require.ErrorIs(t, err, dispatcher.ErrNotFailed)
	_, err = h.Retry(t.Context(), "nobody")
	require.ErrorIs(t, err, store.ErrNotFound)

	events := h.updates(t, 3)
	ids := []string{events[0].ID, events[1].ID, events[2].ID}
	require.Equal(t, []string{"CR-1/3", "CR-1/6", "CR-1/7"}, ids)
}

// deadLetters waits for the first dead letter and counts what is there.
func (h house) deadLetters(t *testing.T) uint64 {
	t.Helper()
	sub, err := h.broker.Subscribe(dispatcher.TopicCaseReports+".dead", "test", broker.SubscribeOptions{})
	for errors.Is(err, broker.ErrNoTopic) { // made by the first rejection
		sub, err = h.broker.Subscribe(dispatcher.TopicCaseReports+".dead", "test", broker.SubscribeOptions{})
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	batch, err := sub.Receive(ctx, 10)
	require.NoError(t, err)
	require.NotEmpty(t, batch)
	end, err := h.broker.End(dispatcher.TopicCaseReports + ".dead")
	require.NoError(t, err)
	return end
}

func TestTaskTimeoutIsRetried(t *testing.T) {
	var calls atomic.Int32
	h, _ := open(t, options{
		dir: t.TempDir(), config: dispatcher.Config{TaskTimeout: 5 * time.Millisecond, MaxAttempts: 2},
		process: func(ctx context.Context, _ store.Row, _ func(int, int)) (tasks.Result, error) {
			calls.Add(1)
			<-ctx.Done()
			return tasks.Result{}, ctx.Err()
		},
	})
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	row := h.final(t, "CR-1")
	require.Equal(t, tasks.Failed, row.Status)
	require.Contains(t, row.Error, "took longer than 5ms")
	require.EqualValues(t, 2, calls.Load())
}

func TestShutdownUsesUpNoAttempt(t *testing.T) {
	dir := t.TempDir()
	for range 5 { // more than MaxAttempts
		begun := make(chan struct{})
		h, shut := open(t, options{
			dir: dir, config: dispatcher.Config{MaxAttempts: 2},
			process: func(ctx context.Context, _ store.Row, _ func(int, int)) (tasks.Result, error) {
				close(begun)
				<-ctx.Done()
				return tasks.Result{}, ctx.Err()
			},
		})
		_, err := h.Submit(t.Context(), report("CR-1"))
		require.NoError(t, err)
		<-begun
		shut(true)
		require.EqualValues(t, 1, h.Stats().Interrupted)
	}
	h, _ := open(t, options{dir: dir})
	row := h.final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 1, row.Attempts)
}

func TestGracefulCloseLetsTasksFinish(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	dir := t.TempDir()
	h, shut := open(t, options{dir: dir, process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
		close(begun)
		<-finish
		return done(ctx, row, p)
	}})
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	<-begun
	closed := make(chan struct{})
	go func() { shut(false); close(closed) }()
	for h.Ready() == nil { // until the drain has begun
	}
	_, err = h.Submit(t.Context(), report("CR-2"))
	require.ErrorIs(t, err, dispatcher.ErrUnavailable, "nothing new is taken in while draining")
	close(finish)
	<-closed

	st, err := store.Open(t.Context(), filepath.Join(dir, "rows.db"))
	require.NoError(t, err)
	defer st.Close()
	row, err := st.CaseReport(t.Context(), "CR-1")
	require.NoError(t, err)
	require.Equal(t, tasks.Completed, row.Status)
}

// A process that ends between the result and the acknowledgement leaves a
// delivery of finished work behind: it must be settled without work, and the
// event must not be missing.
func TestFinishedWorkComesAgain(t *testing.T) {
	dir := t.TempDir()
	begun := make(chan struct{})
	var st *store.Store
	h, shut := open(t, options{dir: dir, process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
		result, _ := done(ctx, row, p)
		err := st.Complete(ctx, row.ID, row.Attempts, result) // as if the process died right after
		close(begun)
		<-ctx.Done()
		return tasks.Result{}, errors.Join(err, ctx.Err())
	}})
	st = h.store
	_, err := h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	<-begun
	shut(true)

	h, _ = open(t, options{dir: dir, process: func(context.Context, store.Row, func(int, int)) (tasks.Result, error) {
		t.Error("finished work was done again")
		return tasks.Result{}, nil
	}})
	event := h.updates(t, 1)[0]
	require.Equal(t, "CR-1/1", event.ID)
	require.Equal(t, "completed", event.Status)
	require.Equal(t, 1, h.final(t, "CR-1").Attempts)
}

func TestWorkersCanChange(t *testing.T) {
	var running atomic.Int32
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{}, 8)
	h, _ := open(t, options{dir: t.TempDir(), config: dispatcher.Config{Workers: 1}, process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
		running.Add(1)
		entered <- struct{}{}
		<-leave
		running.Add(-1)
		left <- struct{}{}
		return done(ctx, row, p)
	}})
	const reports = 8
	for i := range reports {
		_, err := h.Submit(t.Context(), report(fmt.Sprintf("CR-%d", i)))
		require.NoError(t, err)
	}
	<-entered
	require.EqualValues(t, 1, running.Load())
	h.SetWorkers(3)
	<-entered
	<-entered
	require.EqualValues(t, 3, running.Load())
	h.SetWorkers(1)
	h.SetWorkers(2)
	h.SetWorkers(1)
	for range 2 { // two of the three workers end with their task …
		leave <- struct{}{}
		<-left
	}
	for range reports - 3 {
		leave <- struct{}{} // … and the third goes on alone
		<-entered
		require.EqualValues(t, 1, running.Load())
	}
	close(leave)
	for i := range reports {
		h.final(t, fmt.Sprintf("CR-%d", i))
	}
}

func TestUnreadableRecordHoldsUpNothing(t *testing.T) {
	h, _ := open(t, options{dir: t.TempDir()})
	_, err := h.broker.Publish(t.Context(), dispatcher.TopicCaseReports, broker.Message{Payload: []byte(`{"v":99}`)})
	require.NoError(t, err)
	_, err = h.Submit(t.Context(), report("CR-1"))
	require.NoError(t, err)
	require.Equal(t, tasks.Completed, h.final(t, "CR-1").Status)
	require.NoError(t, h.Ready())
	require.NotZero(t, h.deadLetters(t), "it is kept")
}

func TestBacklog(t *testing.T) {
	release := make(chan struct{})
	h, _ := open(t, options{dir: t.TempDir(), process: func(ctx context.Context, row store.Row, p func(int, int)) (tasks.Result, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return done(ctx, row, p)
	}})
	b, err := h.Backlog(t.Context())
	require.NoError(t, err)
	require.Zero(t, b)
	for i := range 40 {
		_, err := h.Submit(t.Context(), report(fmt.Sprintf("CR-%d", i)))
		require.NoError(t, err)
	}
	b, err = h.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, 40, b.Unfinished)
	require.Positive(t, b.Waiting)
	require.Positive(t, b.OldestAge)
	close(release)
	for i := range 40 {
		h.final(t, fmt.Sprintf("CR-%d", i))
	}
}
