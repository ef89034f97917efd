package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/store"
	"casepress/tasks"
)

// batched is a lane of one worker that takes everything at once.
func batched(n int) []dispatcher.Lane {
	l := lanes(1)
	l[0].Batch = n
	return l
}

func TestOneOfABatch(t *testing.T) {
	const size = 8
	for what, bad := range map[string]func() (tasks.Result, error){
		"panics": func() (tasks.Result, error) { panic("a decoder went wild") },
		"fails":  func() (tasks.Result, error) { return nil, errors.New("will not do") },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir, size)
			h, _ := open(t, options{
				Dir: dir, Config: config{Lanes: batched(size), Retry: dispatcher.RetryPolicy{MaxAttempts: 1}},
				Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
					if w.Ref().ID == "CR-3" {
						return bad()
					}
					return done(ctx, w)
				},
			})
			for i := range size {
				row := h.Final(t, fmt.Sprintf("CR-%d", i))
				require.Equal(t, 1, row.Attempts)
				if i == 3 {
					require.Equal(t, tasks.Failed, row.Status)
					require.NotEmpty(t, row.Error)
				} else {
					require.Equal(t, tasks.Completed, row.Status)
				}
			}
		})
	}
}

// A shutdown in the middle of a batch keeps what is done, lets or does not let the present task finish, and gives
// back the rest.
func TestShutdownInTheMiddleOfABatch(t *testing.T) {
	const size, reached = 8, 4
	for what, hard := range map[string]bool{"drain": false, "interrupt": true} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir, size)
			middle, finish := make(chan struct{}), make(chan struct{})
			var ran atomic.Int32
			registry := prometheus.NewRegistry()
			h, shut := open(t, options{
				Dir: dir, Config: config{Lanes: batched(size), Metrics: registry},
				Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
					if ran.Add(1) < reached {
						return done(ctx, w)
					}
					close(middle)
					select {
					case <-finish:
						return done(ctx, w)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				},
			})
			<-middle
			closed := make(chan error, 1)
			if hard {
				go func() { closed <- closeHard(h.Dispatcher) }()
			} else {
				go func() { closed <- h.Close(context.Background()) }()
				for h.Ready() == nil { // until the drain has begun
					runtime.Gosched()
				}
				close(finish)
			}
			require.NoError(t, <-closed)
			kept := reached
			if hard {
				kept--
			}
			require.EqualValues(t, reached, ran.Load(), "no further task was begun")
			counts, err := h.Store.Counts(t.Context())
			require.NoError(t, err)
			require.Equal(t, kept, counts["case-report"][tasks.Completed])
			require.Equal(t, size-kept, counts["case-report"][tasks.Accepted])
			require.EqualValues(t, kept, attempts(t, registry, "completed"))
			require.EqualValues(t, size-kept, attempts(t, registry, "interrupted"))
			shut(true)

			h, _ = open(t, options{Dir: dir})
			for i := range size {
				row := h.Final(t, fmt.Sprintf("CR-%d", i))
				require.Equal(t, tasks.Completed, row.Status)
				require.Equal(t, 1, row.Attempts)
			}
		})
	}
}

// panicking is a ledger that panics before it has stored anything.
type panicking struct {
	dispatcher.Ledger
	panics atomic.Int32
}

func (p *panicking) Complete(ctx context.Context, done []dispatcher.Completion) []error {
	if p.panics.Add(1) <= 2 {
		panic("an event went wild")
	}
	return p.Ledger.Complete(ctx, done)
}

func TestAPanicAtTheEndOfAnAttempt(t *testing.T) {
	registry := prometheus.NewRegistry()
	h, _ := open(t, options{
		Dir: t.TempDir(), Config: config{Metrics: registry},
		Wrap: func(below dispatcher.Ledger) dispatcher.Ledger { return &panicking{Ledger: below} },
	})
	h.Submit(t, report("CR-1"))
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 3, row.Attempts)
	require.EqualValues(t, 2, figure(t, registry, "casepress_task_panics_total"))
	require.EqualValues(t, 2, attempts(t, registry, "retried"))
}

// What NewTask refuses or forgets fails the attempt.
func TestATaskThatCannotBeMade(t *testing.T) {
	var calls atomic.Int32
	h, _ := open(t, options{Dir: t.TempDir(), Config: config{
		Retry: dispatcher.RetryPolicy{MaxAttempts: 3, Backoff: time.Millisecond},
		NewTask: func(tasks.Work) (tasks.Task, error) {
			if calls.Add(1) == 1 {
				return nil, errors.New("no work is known for it")
			}
			return nil, nil
		},
	}})
	h.Submit(t, report("CR-1"))
	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Failed, row.Status)
	require.Equal(t, 3, row.Attempts)
}

// A result that can never be stored is a failed attempt: it uses up the budget, and what is done beside it completes.
func TestAResultThatCannotBeStored(t *testing.T) {
	const size = 4
	dir := t.TempDir()
	prepare(t, dir, size)
	registry := prometheus.NewRegistry()
	h, _ := open(t, options{
		Dir: dir, Config: config{Metrics: registry, Lanes: batched(size), Retry: dispatcher.RetryPolicy{MaxAttempts: 2, Backoff: time.Millisecond}},
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if w.Ref().ID == "CR-1" {
				return tasks.CaseReportResult{Images: make([]tasks.ImageResult, 5)}, nil // the report has one
			}
			return done(ctx, w)
		},
	})
	for i := range size {
		row := h.Final(t, fmt.Sprintf("CR-%d", i))
		if i != 1 {
			require.Equal(t, tasks.Completed, row.Status)
			continue
		}
		require.Equal(t, tasks.Failed, row.Status)
		require.Equal(t, 2, row.Attempts)
		require.Contains(t, row.Error, "5 images")
	}
	require.NoError(t, h.Close(t.Context())) // what has ended is counted by then
	require.Zero(t, attempts(t, registry, "unstored"))
	require.EqualValues(t, 1, attempts(t, registry, "retried"))
	require.EqualValues(t, 1, attempts(t, registry, "failed"))
}

// slowToRenew loses every lease that it is asked to renew once.
type slowToRenew struct {
	dispatcher.Ledger
	mu      sync.Mutex
	renewed map[store.Held]int
	lost    chan dispatcher.Claim
}

func (l *slowToRenew) Renew(ctx context.Context, lease time.Duration, held []dispatcher.Claim) []dispatcher.Claim {
	lost := l.Ledger.Renew(ctx, lease, held)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range held {
		if l.renewed[c.Held()]++; l.renewed[c.Held()] == 3 {
			l.lost <- c
			lost = append(lost, c)
		}
	}
	return lost
}

// Leases are renewed for as long as work goes on, and no more once they are lost.
func TestLeases(t *testing.T) {
	ledger := &slowToRenew{renewed: map[store.Held]int{}, lost: make(chan dispatcher.Claim, 8)}
	finish := make(chan struct{})
	h, _ := open(t, options{
		Dir: t.TempDir(), Config: config{Lanes: lanes(2), Lease: 30 * time.Millisecond},
		Wrap: func(below dispatcher.Ledger) dispatcher.Ledger { ledger.Ledger = below; return ledger },
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			<-finish
			return done(ctx, w)
		},
	})
	h.Submit(t, report("CR-1"))
	h.Submit(t, report("CR-2"))
	first, second := <-ledger.lost, <-ledger.lost
	require.NotEqual(t, first.Held(), second.Held())
	close(finish)
	h.Final(t, "CR-1")
	h.Final(t, "CR-2")
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	require.Equal(t, map[store.Held]int{first.Held(): 3, second.Held(): 3}, ledger.renewed)
}

// A read waits for the rows no longer than it is told to.
func TestCaughtUpIsBounded(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir(), Config: config{CaughtUpTimeout: 50 * time.Millisecond}})
	require.NoError(t, h.Ledger.CaughtUp(t.Context()))
	require.NoError(t, h.Store.Close()) // rows can no longer be written
	fresh := dispatchertest.Submission(report("CR-1"))
	fresh.Fresh = true
	_, err := h.Accept(t.Context(), fresh)
	require.NoError(t, err, "the log alone is enough to accept")
	require.ErrorIs(t, h.CaughtUp(t.Context()), dispatcher.ErrBehind)
	_, err = dispatcher.Lookup(t.Context(), h.Dispatcher, func(context.Context) (int, error) { return 0, store.ErrNotFound })
	require.ErrorIs(t, err, dispatcher.ErrBehind)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = h.CaughtUp(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, dispatcher.ErrBehind)
}
