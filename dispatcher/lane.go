package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Lane says how work of some kinds runs, apart from the work of all other lanes.
type Lane struct {
	// Name is what kinds call it; it stands in metrics and in the address /lanes/{name}.
	Name string
	// Workers is how many hand-overs are worked on at once, 1 to MaxWorkers. It can change at run time.
	Workers int
	// Buffer is how many hand-overs may be claimed beyond those that workers have. With 0, which suits slow
	// work, only what a worker is free for is claimed: nothing counts as an attempt while it only waits.
	Buffer int
	// Batch is the most claims in one hand-over: a worker executes each and completes them in one commit. 0
	// means 1.
	Batch int
	// Timeout ends an attempt that takes longer. 0: none, for tasks that bound their own work because they also
	// wait.
	Timeout time.Duration
	// MaxBacklogAge is the age of the oldest waiting submission above which nothing new is taken in for this
	// lane. 0: no limit.
	MaxBacklogAge time.Duration
	// Reserved says that work on this lane is refused by no floor of disk space and no backlog, and waits for
	// no other lane: adverse events.
	Reserved bool
}

// MaxWorkers is the most workers that a lane runs.
const MaxWorkers = 1024

// maxBatch is the most claims that are completed in one commit.
const maxBatch = 512

func (l Lane) validate() error {
	switch {
	case l.Name == "":
		return fmt.Errorf("a lane has no name")
	case l.Workers < 1 || l.Workers > MaxWorkers:
		return &WorkersError{Lane: l.Name, Workers: l.Workers}
	case l.Buffer < 0:
		return fmt.Errorf("lane %s has a buffer of %d: it must be 0 or more", l.Name, l.Buffer)
	case l.MaxBacklogAge < 0:
		return fmt.Errorf("lane %s has a longest age of its backlog of %v: it must be 0 or more", l.Name, l.MaxBacklogAge)
	case l.Timeout < 0:
		return fmt.Errorf("lane %s has a timeout of %v: it must be 0 or more", l.Name, l.Timeout)
	case l.Batch < 0 || l.Batch > maxBatch:
		return fmt.Errorf("lane %s has batches of %d: they must be of 1 to %d", l.Name, l.Batch, maxBatch)
	}
	return nil
}

// WorkersError refuses a number of workers.
type WorkersError struct {
	Lane    string
	Workers int
}

func (e *WorkersError) Error() string {
	return fmt.Sprintf("lane %s with %d workers: it must have 1 to %d", e.Lane, e.Workers, MaxWorkers)
}

// lane carries claims from one claimer to its workers over a channel.
//
//	ledger ──Claim──> claimer ──chan []Claim──> worker ──> handle
//	                                      └──> worker …
//
// The claimer claims only while fewer than Workers + Buffer hand-overs are out. A shared channel was measured
// against a pool of channels (chan chan): see BenchmarkPool.
type lane struct {
	Lane
	claim  func(ctx context.Context, limit int) ([]Claim, error)
	handle func(ctx context.Context, claims []Claim)
	drop   func(claims []Claim) // gives back what no worker has taken up

	queue   chan []Claim
	quit    chan struct{} // a token in it ends one worker when that worker is free
	wake    chan struct{} // holds a token when out or workers has changed
	claimer sync.WaitGroup
	running sync.WaitGroup

	mu      sync.Mutex // guards the rest
	workers int
	out     int // hand-overs claimed and not done
	busy    int // of these, how many a worker has
	work    context.Context
	closed  bool // no worker may start any more
}

func newLane(config Lane, claim func(context.Context, int) ([]Claim, error), handle func(context.Context, []Claim), drop func([]Claim)) *lane {
	config.Batch = max(config.Batch, 1)
	return &lane{
		Lane: config, claim: claim, handle: handle, drop: drop,
		queue: make(chan []Claim, config.Buffer),
		quit:  make(chan struct{}, MaxWorkers),
		wake:  make(chan struct{}, 1),
	}
}

// start begins to claim, until claiming ends; work is the context of the tasks.
func (l *lane) start(claiming, work context.Context) {
	l.mu.Lock()
	l.work = work
	l.mu.Unlock()
	l.claimer.Go(func() { l.claimLoop(claiming) })
	l.resize(l.Workers)
}

// wait returns when the claimer and every worker have ended.
func (l *lane) wait() {
	l.claimer.Wait()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.running.Wait()
}

func (l *lane) claimLoop(ctx context.Context) {
	defer close(l.queue)
	for {
		free := l.waitForWorkers(ctx)
		if free == 0 {
			return
		}
		limit := l.Batch
		if l.Reserved {
			limit = max(limit, min(free, maxClaimed))
		}
		claims, err := l.claim(ctx, limit)
		if len(claims) == 0 && err != nil {
			return // ctx has ended, or the ledger is closed
		}
		for handOver := range slices.Chunk(claims, l.Batch) {
			l.count(1, 0)
			select {
			case l.queue <- handOver:
			case <-ctx.Done():
				l.drop(handOver)
				l.count(-1, 0)
			}
		}
	}
}

// maxClaimed is for how many free workers of a reserved lane is claimed at once: a claim costs a commit, and for one after the
// other the workers would wait. On other lanes what is claimed together would wait together for suspects, which run alone.
const maxClaimed = 32

// waitForWorkers waits until another hand-over may be claimed, and returns how many; 0 when ctx has ended.
func (l *lane) waitForWorkers(ctx context.Context) (free int) {
	for {
		l.mu.Lock()
		free = l.workers + l.Buffer - l.out
		l.mu.Unlock()
		if ctx.Err() != nil {
			return 0
		}
		if free > 0 {
			return free
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return 0
		}
	}
}

func (l *lane) count(out, busy int) {
	l.mu.Lock()
	l.out += out
	l.busy += busy
	l.mu.Unlock()
	l.wakeClaimer()
}

func (l *lane) wakeClaimer() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) worker(ctx context.Context) {
	for {
		// A worker that is to end does so before it takes up more.
		select {
		case <-l.quit:
			return
		default:
		}
		select {
		case <-l.quit:
			return
		case claims, open := <-l.queue:
			if !open {
				return
			}
			l.count(0, 1)
			l.handle(ctx, claims)
			l.count(-1, -1)
		}
	}
}

// resize starts workers or asks some to end when they are free, so that n run. Fewer takes effect as tasks
// finish; none is interrupted.
func (l *lane) resize(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	for ; l.workers > n; l.workers-- {
		l.quit <- struct{}{} // never blocks: there are at most MaxWorkers
	}
	for ; l.workers < n; l.workers++ {
		select {
		case <-l.quit: // one that was asked to end stays instead
		default:
			l.running.Go(func() { l.worker(l.work) })
		}
	}
	l.wakeClaimer()
}

// state returns the number of workers and how many of them have work.
func (l *lane) state() (workers, busy int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.workers, l.busy
}
