package dispatcher_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/store"
	"casepress/tasks"
)

func TestWorkersCanChange(t *testing.T) {
	var running atomic.Int32
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{}, 8)
	h, _ := open(t, options{Dir: t.TempDir(), Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		running.Add(1)
		entered <- struct{}{}
		select {
		case <-leave:
		case <-ctx.Done():
		}
		running.Add(-1)
		left <- struct{}{}
		return done(ctx, w)
	}})
	const reports = 8
	for i := range reports {
		h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
	}
	set := func(n int) { require.NoError(t, h.SetWorkers(dispatchertest.Lane, n)) }
	<-entered
	require.EqualValues(t, 1, running.Load())
	set(3)
	<-entered
	<-entered
	require.EqualValues(t, 3, running.Load())
	require.Equal(t, dispatcher.LaneState{Name: dispatchertest.Lane, Workers: 3, Busy: 3}, h.Lanes()[0])
	set(1)
	set(2)
	set(1)
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
		h.Final(t, fmt.Sprintf("CR-%d", i))
	}

	require.ErrorIs(t, h.SetWorkers("nobody's", 1), dispatcher.ErrNoLane)
	for _, n := range []int{-1, 0, dispatcher.MaxWorkers + 1} {
		var refused *dispatcher.WorkersError
		require.ErrorAs(t, h.SetWorkers(dispatchertest.Lane, n), &refused)
		require.Equal(t, n, refused.Workers)
	}
	l, ok := h.LaneOf(dispatchertest.Lane)
	require.True(t, ok)
	require.Equal(t, 1, l.Batch)
	_, ok = h.LaneOf("nobody's")
	require.False(t, ok)
}

// The number of workers changes wildly while work goes on and while the service ends: nothing is lost, and no
// goroutine stays.
func TestWorkersChangeUnderLoad(t *testing.T) {
	h, shut := open(t, options{Dir: t.TempDir(), Config: config{Lanes: lanes(4)}})
	stop := make(chan struct{})
	var changers sync.WaitGroup
	for n := range 3 {
		changers.Go(func() {
			for i := n; ; i++ {
				select {
				case <-stop:
					return
				default:
					if err := h.SetWorkers(dispatchertest.Lane, 1+i*7%16); err != nil {
						t.Error(err)
					}
					runtime.Gosched()
				}
			}
		})
	}
	for i := range 100 {
		h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
	}
	for i := range 100 {
		require.Equal(t, tasks.Completed, h.Final(t, fmt.Sprintf("CR-%d", i)).Status)
	}
	shut(false)
	close(stop)
	changers.Wait()
	require.NoError(t, h.SetWorkers(dispatchertest.Lane, 5), "without effect any more")
}

// Without a buffer nothing counts as an attempt while it only waits.
func TestNothingIsClaimedBeforeAWorkerIsFree(t *testing.T) {
	for buffer, claimed := range map[int]int{0: 2, 1: 3, 3: 5} {
		t.Run(fmt.Sprint("buffer ", buffer), func(t *testing.T) {
			begun, leave := make(chan struct{}, 8), make(chan struct{})
			l := lanes(2)
			l[0].Buffer = buffer
			h, _ := open(t, options{Dir: t.TempDir(), Config: config{Lanes: l}, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
				begun <- struct{}{}
				select {
				case <-leave:
					return done(ctx, w)
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}})
			for i := range 8 {
				h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
			}
			<-begun
			<-begun
			require.NoError(t, h.CaughtUp(t.Context()))
			processing := func() int {
				counts, err := h.Store.Counts(t.Context())
				require.NoError(t, err)
				return counts["case-report"][tasks.Processing]
			}
			require.Eventually(t, func() bool { return processing() == claimed }, dispatchertest.Patience, time.Millisecond)
			for i := range 8 {
				row, err := h.Store.Get(t.Context(), ref(fmt.Sprintf("CR-%d", i)))
				require.NoError(t, err)
				if i < claimed {
					require.Equal(t, tasks.Processing, row.Status)
				} else {
					require.Equal(t, tasks.Accepted, row.Status)
					require.Zero(t, row.Attempts)
				}
			}
			require.Eventually(t, func() bool { // the rows tell of a claim a moment before it has returned
				b, err := h.Backlog(t.Context(), dispatchertest.Lane)
				require.NoError(t, err)
				require.Equal(t, 8, b.Unfinished)
				return b.Waiting == 8-claimed
			}, dispatchertest.Patience, time.Millisecond)
			close(leave)
			for i := range 8 {
				h.Final(t, fmt.Sprintf("CR-%d", i))
			}
		})
	}
}

// counting counts how many are claimed at once, and how many are completed at once.
type counting struct {
	dispatcher.Ledger
	mu                 sync.Mutex
	claimed, completed []int
}

func (c *counting) Claim(ctx context.Context, lane string, limit int, lease time.Duration) ([]dispatcher.Claim, error) {
	claims, err := c.Ledger.Claim(ctx, lane, limit, lease)
	if len(claims) > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.claimed = append(c.claimed, len(claims))
	}
	return claims, err
}

func (c *counting) Complete(ctx context.Context, done []dispatcher.Completion) []error {
	c.mu.Lock()
	c.completed = append(c.completed, len(done))
	c.mu.Unlock()
	return c.Ledger.Complete(ctx, done)
}

// What a worker takes at once is completed in one call of the ledger, which is one transaction of its rows.
func TestABatchIsCompletedTogether(t *testing.T) {
	const size = 512
	dir := t.TempDir()
	var ledger *counting
	var ran atomic.Int32
	l := lanes(1)
	l[0].Batch = size
	prepare(t, dir, size)
	h, _ := open(t, options{
		Dir: dir, Config: config{Lanes: l},
		Wrap: func(below dispatcher.Ledger) dispatcher.Ledger {
			ledger = &counting{Ledger: below}
			return ledger
		},
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			ran.Add(1)
			return done(ctx, w)
		},
	})
	for i := range size {
		require.Equal(t, tasks.Completed, h.Final(t, fmt.Sprintf("CR-%d", i)).Status)
	}
	require.EqualValues(t, size, ran.Load())
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	require.Equal(t, ledger.claimed, ledger.completed)
	require.Greater(t, slices.Max(ledger.completed), size/16, "how many there are to claim depends on how much the log has read")
}

// prepare lets reports in without any work on them.
func prepare(t *testing.T, dir string, n int) {
	t.Helper()
	h, shut := open(t, options{Dir: dir, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) { return blocked(ctx) }})
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			_, err := h.Accept(t.Context(), dispatchertest.Submission(report(fmt.Sprintf("CR-%d", i))))
			if err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	require.NoError(t, h.CaughtUp(t.Context()))
	shut(true)
}

// twoLanes puts every report whose id begins with "B" on a lane of its own, which only the name tells apart.
type twoLanes struct {
	dispatcher.Ledger
	b chan dispatcher.Claim
}

func (l *twoLanes) Claim(ctx context.Context, lane string, limit int, lease time.Duration) ([]dispatcher.Claim, error) {
	if lane == dispatchertest.Lane {
		for {
			claims, err := l.Ledger.Claim(ctx, lane, limit, lease)
			var a []dispatcher.Claim
			for _, c := range claims {
				if c.Row.ID[0] == 'B' {
					l.b <- c
				} else {
					a = append(a, c)
				}
			}
			if len(a) > 0 || err != nil {
				return a, err
			}
		}
	}
	select {
	case c := <-l.b:
		return []dispatcher.Claim{c}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	h, _ := open(t, options{
		Dir: t.TempDir(),
		Config: config{Lanes: []dispatcher.Lane{
			{Name: dispatchertest.Lane, Workers: 1, Buffer: 20}, {Name: "quick", Workers: 1},
		}},
		Wrap: func(below dispatcher.Ledger) dispatcher.Ledger {
			return &twoLanes{Ledger: below, b: make(chan dispatcher.Claim, 16)}
		},
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if w.Ref().ID == "A-slow" {
				close(begun)
				<-finish
			}
			return done(ctx, w)
		},
	})
	h.Submit(t, report("A-slow"))
	<-begun
	for i := range 5 {
		h.Submit(t, report(fmt.Sprintf("A-%d", i)))
		h.Submit(t, report(fmt.Sprintf("B-%d", i)))
	}
	for i := range 5 {
		require.Equal(t, tasks.Completed, h.Final(t, fmt.Sprintf("B-%d", i)).Status)
	}
	require.Equal(t, dispatcher.LaneState{Name: dispatchertest.Lane, Workers: 1, Busy: 1}, h.Lanes()[0])
	row, err := h.Store.Get(t.Context(), ref("A-slow"))
	require.NoError(t, err)
	require.Equal(t, tasks.Processing, row.Status, "the other lane's work is still under way")
	close(finish)
	for i := range 5 {
		require.Equal(t, tasks.Completed, h.Final(t, fmt.Sprintf("A-%d", i)).Status)
	}
}

// A lane survives a ledger that cannot claim for a while.
type failingOnce struct {
	dispatcher.Ledger
	failed atomic.Bool
}

func (l *failingOnce) Claim(ctx context.Context, lane string, limit int, lease time.Duration) ([]dispatcher.Claim, error) {
	if l.failed.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("no connection")
	}
	return l.Ledger.Claim(ctx, lane, limit, lease)
}

func TestALaneSurvivesAFailedClaim(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir(), Wrap: func(l dispatcher.Ledger) dispatcher.Ledger { return &failingOnce{Ledger: l} }})
	h.Submit(t, report("CR-1"))
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
}

// A hand-over that no worker has taken up when the service ends is given back, uncounted.
func TestBufferedWorkIsGivenBack(t *testing.T) {
	begun := make(chan struct{}, 8)
	l := lanes(1)
	l[0].Buffer = 3
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir, Config: config{Lanes: l}, Work: func(ctx context.Context, _ tasks.Work) (tasks.Result, error) {
		begun <- struct{}{}
		return blocked(ctx)
	}})
	for i := range 4 {
		h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
	}
	<-begun
	for i := range 4 {
		h.Until(t, fmt.Sprintf("CR-%d", i), func(r store.Row) bool { return r.Status == tasks.Processing })
	}
	shut(true)
	require.Empty(t, begun, "a task was begun during the drain")
	h, _ = open(t, options{Dir: dir})
	for i := range 4 {
		row := h.Final(t, fmt.Sprintf("CR-%d", i))
		require.Equal(t, 1, row.Attempts)
		require.Zero(t, row.Crashes)
	}
}
