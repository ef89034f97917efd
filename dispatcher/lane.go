package dispatcher

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"casepress/broker"
)

// lane carries deliveries of one topic from a feeder to its workers over a
// bounded channel. Every delivery on it is kept alive by renewing its lock until
// a worker has settled it.
//
//	broker ──feed──> chan delivery ──> worker
//	                              └──> worker …
//
// A shared channel was measured against a pool of channels (chan chan): see
// BenchmarkPool.
type lane struct {
	d     *Dispatcher
	topic string
	sub   *broker.Subscription
	queue chan broker.Delivery
	quit  chan struct{} // a token in it ends one worker when that worker is free

	feeder  sync.WaitGroup
	keeper  sync.WaitGroup
	crew    sync.WaitGroup
	running runningSet

	sizing  sync.Mutex // guards workers
	workers int
	feeding context.Context // ends when nothing new is to be begun
	work    context.Context // of the tasks

	mu   sync.Mutex // guards held; never taken together with sizing
	held map[uint64]broker.Delivery
}

const (
	// laneBuffer is small on purpose: waiting work belongs on disk.
	laneBuffer = 16
	// MaxWorkers is the most that a lane runs.
	MaxWorkers = 1024
)

func newLane(d *Dispatcher, topic string) (*lane, error) {
	// The window is what may be held at once: the buffer, the workers and what
	// the feeder has in hand. Workers may grow at run time.
	sub, err := d.broker.Subscribe(topic, groupWorkers, broker.SubscribeOptions{
		Window: laneBuffer + MaxWorkers + 1, LockTimeout: d.cfg.LockTimeout,
	})
	if err != nil {
		return nil, err
	}
	return &lane{
		d: d, topic: topic, sub: sub,
		queue: make(chan broker.Delivery, laneBuffer),
		quit:  make(chan struct{}, MaxWorkers),
		held:  map[uint64]broker.Delivery{},
	}, nil
}

// start begins to feed until feed ends; work is the context of the tasks.
func (l *lane) start(feed, work context.Context, workers int) {
	l.feeding, l.work = feed, work
	l.feeder.Go(func() { l.feed(feed) })
	l.resize(workers)
	l.keeper.Go(func() { l.keep(work) })
}

// wait returns when the feeder and every worker have ended; what was queued but
// not begun is left to the subscription's Close, which gives it back.
func (l *lane) wait() {
	l.feeder.Wait()
	l.crew.Wait()
}

func (l *lane) feed(ctx context.Context) {
	defer close(l.queue)
	for {
		// One at a time: a delivery taken is a delivery that other members of the
		// group cannot work on.
		batch, err := l.sub.Receive(ctx, 1)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.d.cfg.Logger.Error("receiving work has failed and will be tried again", "topic", l.topic, "err", err)
			if !pause(ctx, time.Second) {
				return
			}
			continue
		}
		for _, d := range batch {
			l.hold(d)
			select {
			case l.queue <- d:
			case <-ctx.Done():
				return
			}
		}
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
		case d, ok := <-l.queue:
			if !ok {
				return
			}
			if !l.d.isDraining() {
				l.d.handle(ctx, l, d)
			}
			l.drop(d)
		}
	}
}

// resize starts workers or asks some to end when they are free, so that n run.
func (l *lane) resize(n int) {
	l.sizing.Lock()
	defer l.sizing.Unlock()
	for ; l.workers > n; l.workers-- {
		l.quit <- struct{}{} // never blocks: there are at most MaxWorkers
	}
	for ; l.workers < n; l.workers++ {
		select {
		case <-l.quit: // one that was asked to end stays instead
		default:
			l.crew.Go(func() { l.worker(l.work) })
		}
	}
}

// queued counts deliveries that wait for a worker.
func (l *lane) queued() int { return len(l.queue) }

func (l *lane) hold(d broker.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[d.Offset] = d
}

func (l *lane) drop(d broker.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, d.Offset)
}

// keep renews the locks of everything on the lane, three times per lock timeout.
func (l *lane) keep(ctx context.Context) {
	tick := time.NewTicker(l.d.cfg.LockTimeout / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.renew()
		}
	}
}

func (l *lane) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.held {
		if err := d.Renew(); err != nil {
			// The delivery will come again; the attempt number keeps the late
			// worker's result from counting.
			l.d.cfg.Logger.Warn("a lock could not be renewed", "topic", l.topic, "offset", d.Offset, "err", err)
			delete(l.held, d.Offset)
		}
	}
}

// runningSet holds the reports that this process is working on.
type runningSet struct{ ids sync.Map }

func (s *runningSet) begin(id string) bool {
	_, busy := s.ids.LoadOrStore(id, struct{}{})
	return !busy
}

func (s *runningSet) end(id string) { s.ids.Delete(id) }

// Stats counts what has happened since the process started.
type Stats struct {
	Completed, Failed, Retried, Panics, Interrupted int64
}

type counters struct {
	completed, failed, retried, panics, interrupted atomic.Int64
}

// Stats returns the counters.
func (d *Dispatcher) Stats() Stats {
	c := &d.counters
	return Stats{
		Completed: c.completed.Load(), Failed: c.failed.Load(), Retried: c.retried.Load(),
		Panics: c.panics.Load(), Interrupted: c.interrupted.Load(),
	}
}
