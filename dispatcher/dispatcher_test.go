package dispatcher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/store"
	"casepress/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	options = dispatchertest.Options
	config  = dispatcher.Config
)

var (
	open   = dispatchertest.Open
	report = dispatchertest.Report
	done   = dispatchertest.Done
	pages  = dispatchertest.Pages
	ref    = dispatchertest.Ref
)

// pagesOf is the number of pages of a completed report.
func pagesOf(row store.Row) int { return row.Result.(tasks.CaseReportResult).PDF.Pages }

// blocked waits for the end of the task's context.
func blocked(ctx context.Context) (tasks.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// lanes is the lane of case reports.
func lanes(workers int) []dispatcher.Lane {
	return []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: workers}}
}

// updates reads n events.
func updates(t *testing.T, h dispatchertest.Fixture, n int) []tasks.Update {
	t.Helper()
	sub, err := h.Broker.Subscribe(tasks.TopicUpdates, "test", broker.SubscribeOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), dispatchertest.Patience)
	defer cancel()
	var events []tasks.Update
	for len(events) < n {
		batch, err := sub.Receive(ctx, n-len(events))
		require.NoError(t, err)
		for _, dl := range batch {
			var u tasks.Update
			require.NoError(t, json.Unmarshal(dl.Payload, &u))
			events = append(events, u)
			require.NoError(t, dl.Ack())
		}
	}
	return events
}

// attempts is how many attempts ended so.
func attempts(t *testing.T, r *prometheus.Registry, outcome string) (n float64) {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "casepress_task_attempts_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "outcome" && l.GetValue() == outcome {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

func figure(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestPanicFailsTheAttemptOnly(t *testing.T) {
	var calls atomic.Int32
	registry := prometheus.NewRegistry()
	h, _ := open(t, options{Dir: t.TempDir(), Config: config{Metrics: registry}, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		if calls.Add(1) == 1 {
			panic("a decoder went wild")
		}
		return done(ctx, w)
	}})
	h.Submit(t, report("CR-1"))
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 2, row.Attempts)
	require.EqualValues(t, 1, figure(t, registry, "casepress_task_panics_total"))
	require.EqualValues(t, 1, attempts(t, registry, "retried"))
}

// What a task panics with may be made of what a patient said: neither the row, which everybody sees, nor the log has it.
func TestTheTextOfAPanicIsKeptNowhere(t *testing.T) {
	var log bytes.Buffer
	h, shut := open(t, options{
		Dir: t.TempDir(), Config: config{Retry: dispatcher.RetryPolicy{MaxAttempts: 1}, Logger: slog.New(slog.NewTextHandler(&log, nil))},
		Work: func(_ context.Context, w tasks.Work) (tasks.Result, error) {
			panic(fmt.Sprintf("no page for %s", w.Content.(tasks.CaseReport).Notes))
		},
	})
	r := report("CR-1")
	r.Notes = "Tuesday's rash"
	h.Submit(t, r)
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Failed, row.Status)
	require.Equal(t, "the task panicked with a value of type string; the server's log says where, under the same id", row.Error)
	shut(false)
	require.Contains(t, log.String(), "id=CR-1")
	require.Contains(t, log.String(), "dispatcher_test.go", "the stack says where")
	require.NotContains(t, log.String(), "rash")
}

func TestAttemptsEndAndRestartBeginsAnew(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	h, _ := open(t, options{
		Dir: t.TempDir(), Config: config{Retry: dispatcher.RetryPolicy{MaxAttempts: 3, Backoff: time.Millisecond}},
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if broken.Load() {
				return nil, errors.New("the font is broken")
			}
			return done(ctx, w)
		},
	})
	h.Submit(t, report("CR-1"))
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Failed, row.Status)
	require.Equal(t, 3, row.Attempts)
	require.Contains(t, row.Error, "the font is broken")

	status, err := h.Restart(t.Context(), ref("CR-1"))
	require.NoError(t, err)
	require.Equal(t, tasks.Failed, status)
	row = h.Until(t, "CR-1", func(r store.Row) bool { return r.Attempts == 6 && r.Status.Final() })
	require.Equal(t, tasks.Failed, row.Status, "still broken, and with a budget of its own")

	broken.Store(false)
	_, err = h.Restart(t.Context(), ref("CR-1"))
	require.NoError(t, err)
	row = h.Final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)

	_, err = h.Restart(t.Context(), ref("CR-1"))
	require.ErrorIs(t, err, dispatcher.ErrNotFailed)
	_, err = h.Restart(t.Context(), ref("nobody"))
	require.ErrorIs(t, err, store.ErrNotFound)

	events := updates(t, h, 3)
	ids := []string{events[0].ID, events[1].ID, events[2].ID}
	require.Equal(t, []string{"CR-1/3", "CR-1/6", "CR-1/7"}, ids)
}

func TestTimeoutIsRetried(t *testing.T) {
	var calls atomic.Int32
	h, _ := open(t, options{
		Dir: t.TempDir(), Config: config{Lanes: []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: 1, Timeout: 5 * time.Millisecond}}, Retry: dispatcher.RetryPolicy{MaxAttempts: 2, Backoff: time.Millisecond}},
		Work: func(ctx context.Context, _ tasks.Work) (tasks.Result, error) {
			calls.Add(1)
			return blocked(ctx)
		},
	})
	h.Submit(t, report("CR-1"))
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Failed, row.Status)
	require.Contains(t, row.Error, "took longer than 5ms")
	require.EqualValues(t, 2, calls.Load())
}

func TestShutdownUsesUpNoAttempt(t *testing.T) {
	dir := t.TempDir()
	for range 5 { // more than MaxAttempts, and more than the crashes that would fail it
		begun := make(chan struct{})
		registry := prometheus.NewRegistry()
		h, shut := open(t, options{
			Dir: dir, Config: config{Metrics: registry, Retry: dispatcher.RetryPolicy{MaxAttempts: 2}},
			Work: func(ctx context.Context, _ tasks.Work) (tasks.Result, error) {
				close(begun)
				return blocked(ctx)
			},
		})
		h.Submit(t, report("CR-1"))
		<-begun
		require.NoError(t, closeHard(h.Dispatcher))
		require.EqualValues(t, 1, attempts(t, registry, "interrupted"))
		shut(true)
	}
	h, _ := open(t, options{Dir: dir})
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 1, row.Attempts)
	require.Zero(t, row.Crashes)
	require.False(t, row.Suspect)
}

func closeHard(d *dispatcher.Dispatcher) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return d.Close(ctx)
}

func TestGracefulCloseLetsTasksFinish(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		close(begun)
		<-finish
		return done(ctx, w)
	}})
	h.Submit(t, report("CR-1"))
	<-begun
	closed := make(chan struct{})
	go func() { shut(false); close(closed) }()
	for h.Ready() == nil { // until the drain has begun
		runtime.Gosched()
	}
	_, err := h.Accept(t.Context(), dispatchertest.Submission(report("CR-2")))
	require.ErrorIs(t, err, dispatcher.ErrUnavailable, "nothing new is taken in while draining")
	_, err = h.Restart(t.Context(), ref("CR-1"))
	require.ErrorIs(t, err, dispatcher.ErrUnavailable)
	close(finish)
	<-closed

	s := dispatchertest.OpenStorage(t, dir, broker.Options{})
	defer func() { require.NoError(t, s.Shut(t)) }()
	row, err := s.Store.Get(t.Context(), ref("CR-1"))
	require.NoError(t, err)
	require.Equal(t, tasks.Completed, row.Status)
}

// A worker whose lease was lost finishes late: its result must not count, and the delivery must not be ended by it.
func TestLateWorker(t *testing.T) {
	var st *store.Store
	claimed := make(chan store.Row, 1)
	registry := prometheus.NewRegistry()
	ready := make(chan struct{})
	h, _ := open(t, options{Dir: t.TempDir(), Config: config{Metrics: registry}, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		<-ready
		if w.Attempt > 1 {
			return done(ctx, w)
		}
		newer, err := st.Claim(ctx, []tasks.Ref{w.Ref()}) // as another process would after the lease ran out
		if err == nil {
			held := store.Held{Ref: w.Ref(), Attempt: newer[0].Row.Attempts}
			err = errors.Join(st.Complete(ctx, []store.Completion{{Held: held, Result: pages(7)}})...)
		}
		claimed <- newer[0].Row
		return pages(99), err
	}})
	st = h.Store
	close(ready)
	h.Submit(t, report("CR-1"))
	newer := <-claimed
	require.Equal(t, 2, newer.Attempts)
	row := h.Final(t, "CR-1")
	require.Equal(t, 7, pagesOf(row))
	require.Equal(t, 2, row.Attempts)
	require.Equal(t, "CR-1/2", updates(t, h, 1)[0].ID, "the newer attempt's result is told of, at the latest by the delivery that comes again")
	require.NoError(t, h.Close(t.Context())) // what has ended is counted by then
	require.EqualValues(t, 1, attempts(t, registry, "stale"))
	require.Zero(t, attempts(t, registry, "completed"))
}

// A worker that waits for a row which the stopped recorder will never write must not hold up the end.
func TestCloseWhileRowsAreMissing(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir()})
	require.NoError(t, h.Store.Close())
	fresh := dispatchertest.Submission(report("CR-2"))
	fresh.Fresh = true
	_, err := h.Accept(t.Context(), fresh)
	require.NoError(t, err)
	for {
		g, err := h.Broker.Group(tasks.TopicCaseReports, "workers")
		require.NoError(t, err)
		if g.Waiting == 0 {
			break // a claim has it in hand
		}
		runtime.Gosched()
	}
	for b := (dispatcher.Backlog{}); b.Waiting != 1 || b.OldestAge <= 0; { // what is received and not claimed waits
		b, err = h.Backlog(t.Context(), dispatchertest.Lane)
		require.NoError(t, err)
		runtime.Gosched()
	}
	ctx, cancel := context.WithTimeout(t.Context(), dispatchertest.Patience)
	defer cancel()
	require.NoError(t, h.Close(ctx))
	require.NoError(t, ctx.Err(), "Close waited for its deadline")
}

func TestFullDiskFailsNoReport(t *testing.T) {
	var calls atomic.Int32
	var h dispatchertest.Fixture
	ready := make(chan struct{})
	h, _ = open(t, options{
		Dir: t.TempDir(), Config: config{Retry: dispatcher.RetryPolicy{MaxAttempts: 2, Backoff: time.Millisecond}},
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			<-ready
			if calls.Add(1) <= 5 {
				return nil, fmt.Errorf("stage: %w", &fs.PathError{Op: "write", Path: "/srv/data/blobs/tmp/1", Err: syscall.ENOSPC})
			}
			if row, err := h.Store.Get(ctx, w.Ref()); err != nil || row.Error != "stage: write 1: no space left on device" {
				return nil, fmt.Errorf("the error was told as %q: %w", row.Error, err)
			}
			return done(ctx, w)
		},
	})
	close(ready)
	h.Submit(t, report("CR-1"))
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status, row.Error)
	require.Equal(t, 6, row.Attempts)
}

func TestBacklog(t *testing.T) {
	release := make(chan struct{})
	h, _ := open(t, options{Dir: t.TempDir(), Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return done(ctx, w)
	}})
	b, err := h.Backlog(t.Context(), dispatchertest.Lane)
	require.NoError(t, err)
	require.Zero(t, b)
	for i := range 40 {
		h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
	}
	b, err = h.Backlog(t.Context(), dispatchertest.Lane)
	require.NoError(t, err)
	require.Equal(t, 40, b.Unfinished)
	require.GreaterOrEqual(t, b.Waiting, 39)
	require.Positive(t, b.OldestAge)
	b, err = h.Backlog(t.Context(), "nobody's")
	require.NoError(t, err)
	require.Zero(t, b)
	close(release)
	for i := range 40 {
		h.Final(t, fmt.Sprintf("CR-%d", i))
	}
}

// Limits are refused, never clamped.
func TestSettingsAreRefused(t *testing.T) {
	newTask := dispatchertest.Work(done).NewTask
	lane := func(change func(*dispatcher.Lane)) config {
		l := dispatcher.Lane{Name: dispatchertest.Lane, Workers: 1}
		change(&l)
		return config{NewTask: newTask, Lanes: []dispatcher.Lane{l}}
	}
	for want, c := range map[string]config{
		"NewTask":                  {Lanes: lanes(1)},
		"which is not there":       {NewTask: newTask},
		"two lanes case-reports":   {NewTask: newTask, Lanes: append(lanes(1), lanes(1)...)},
		"timeout of -1s":           lane(func(l *dispatcher.Lane) { l.Timeout = -time.Second }),
		"lease -1s":                {NewTask: newTask, Lanes: lanes(1), Lease: -time.Second},
		"caught-up timeout -1s":    {NewTask: newTask, Lanes: lanes(1), CaughtUpTimeout: -time.Second},
		"at least 10ms":            {NewTask: newTask, Lanes: lanes(1), Lease: 1},
		"policy of -1":             {NewTask: newTask, Lanes: lanes(1), Retry: dispatcher.RetryPolicy{MaxAttempts: -1}},
		"no name":                  lane(func(l *dispatcher.Lane) { l.Name = "" }),
		"with 0 workers":           lane(func(l *dispatcher.Lane) { l.Workers = 0 }),
		"with 1025 workers":        lane(func(l *dispatcher.Lane) { l.Workers = 1025 }),
		"buffer of -1":             lane(func(l *dispatcher.Lane) { l.Buffer = -1 }),
		"batches of 513":           lane(func(l *dispatcher.Lane) { l.Batch = 513 }),
		"batches of -1":            lane(func(l *dispatcher.Lane) { l.Batch = -1 }),
		"age of its backlog of -1": lane(func(l *dispatcher.Lane) { l.MaxBacklogAge = -1 }),
	} {
		_, err := dispatcher.Start(t.Context(), c, nil)
		require.ErrorContains(t, err, want)
	}
}
