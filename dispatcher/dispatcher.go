// Package dispatcher keeps the promise between accepting work and finishing it:
// it writes submissions to the log, turns the log into rows, and runs each task
// on a worker until it has completed or failed. It never keeps work only in
// memory, never acknowledges a delivery before the result is stored, and never
// lets a panic or a shutdown cost a submission.
//
//	Submit ──> broker topic ──> recorder ──> rows      (group "records")
//	                       └──> lane ──> workers       (group "workers")
//
// A lane is a bounded channel; the log on disk is the reservoir behind it, so a
// burst fills the disk's queue and never the memory.
//
// If originals are to be dropped, it tells when: once what came of every report
// with them is in the log itself.
package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"casepress/blob"
	"casepress/broker"
	"casepress/commitlog"
	"casepress/store"
	"casepress/tasks"
)

// The topics. They are folder names in the data folder: never rename one.
const (
	// TopicCaseReports holds case reports and requests to retry one.
	TopicCaseReports = "case-reports"
	// TopicImages holds images put ahead of the report that names them.
	TopicImages = "images"
	// TopicCompletions holds what came of reports whose originals may be dropped.
	TopicCompletions = "case-report-completions"
	// TopicUpdates holds a patient-data-update event for every finished report.
	TopicUpdates = "patient-data-update"
)

const (
	groupRecords = "records"
	groupWorkers = "workers"
)

// Errors a caller branches on.
var (
	// ErrUnavailable means nothing was accepted because the log or the rows cannot
	// be written now; the same call may succeed later.
	ErrUnavailable = commitlog.ErrPoisoned
	// ErrNotFailed answers a retry of a report that has not failed.
	ErrNotFailed = errors.New("only a failed report can be retried")
	// ErrOverloaded means that rows lag so far behind the log that accepting more
	// would grow memory without bound.
	ErrOverloaded = errors.New("rows lag too far behind the log")

	errDraining = errors.New("shutting down")
)

// Process does the work on one claimed report: [tasks.ImageProcessingTask] in
// the service. An error means that another attempt may succeed.
type Process func(ctx context.Context, row store.Row, progress func(done, total int)) (tasks.Result, error)

// Config says how work runs. The zero value of a field means its default.
type Config struct {
	// Workers is how many tasks run at once, 1 to MaxWorkers. Default 1.
	Workers int
	// TaskTimeout ends an attempt that takes longer. Default 2 minutes.
	TaskTimeout time.Duration
	// MaxAttempts is how often a task is tried before its report is failed.
	// Want of disk space fails no report, however often. Default 8.
	MaxAttempts int
	// Backoff is the pause before the second attempt; it doubles with each
	// further one up to MaxBackoff, less a random part of up to half. Defaults
	// 1 second and 5 minutes.
	Backoff, MaxBackoff time.Duration
	// LockTimeout is how long a delivery stays with this process without a sign
	// of life. Default 30 seconds.
	LockTimeout time.Duration
	// MaxUnrecorded bounds the submissions that are in the log but not yet in
	// the rows; beyond it [Dispatcher.Submit] answers ErrOverloaded. Default 100,000.
	MaxUnrecorded int
	// Drop is the store whose originals are dropped once no report needs them; nil
	// keeps them.
	Drop   blob.Store
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Workers = min(max(c.Workers, 1), MaxWorkers)
	c.TaskTimeout = orDefault(c.TaskTimeout, 2*time.Minute)
	c.MaxAttempts = orDefault(c.MaxAttempts, 8)
	c.Backoff = orDefault(c.Backoff, time.Second)
	c.MaxBackoff = orDefault(c.MaxBackoff, 5*time.Minute)
	c.LockTimeout = orDefault(c.LockTimeout, 30*time.Second)
	c.MaxUnrecorded = orDefault(c.MaxUnrecorded, 100_000)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Dispatcher lets work in and sees it through. Use [Start]; all methods are safe
// for concurrent use.
type Dispatcher struct {
	cfg     Config
	broker  *broker.Broker
	store   *store.Store
	process Process

	unrecorded *unrecorded
	recorders  map[string]*recorder // by topic
	lane       *lane
	counters   counters
	recheck    recheck
	damage     atomic.Pointer[error] // what reading the whole log has found

	stop     context.CancelCauseFunc // ends feeders and recorders
	kill     context.CancelCauseFunc // ends running tasks
	wg       sync.WaitGroup
	draining chan struct{}
	closing  sync.Once
}

// Start opens the topics, begins to record and to work, and returns. It does not
// take ownership of b and st: close them after [Dispatcher.Close].
func Start(ctx context.Context, cfg Config, b *broker.Broker, st *store.Store, process Process) (*Dispatcher, error) {
	d := &Dispatcher{
		cfg: cfg.withDefaults(), broker: b, store: st, process: process,
		unrecorded: newUnrecorded(), recorders: map[string]*recorder{}, recheck: newRecheck(), draining: make(chan struct{}),
	}
	for _, topic := range []string{TopicCaseReports, TopicImages, TopicCompletions, TopicUpdates} {
		if err := b.CreateTopic(ctx, topic); err != nil {
			return nil, fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	if err := d.remake(ctx); err != nil {
		return nil, fmt.Errorf("make rows again: %w", err)
	}
	if err := d.subscribe(); err != nil {
		return nil, errors.Join(err, d.unsubscribe())
	}

	base := context.WithoutCancel(ctx)
	feed, stop := context.WithCancelCause(base)
	work, kill := context.WithCancelCause(base)
	d.stop, d.kill = stop, kill
	for _, r := range d.recorders {
		d.wg.Go(func() { r.run(feed) })
	}
	if d.cfg.Drop != nil {
		d.wg.Go(func() { d.sweep(feed) })
	}
	d.lane.start(feed, work, d.cfg.Workers)
	d.wg.Go(func() { d.verify(feed) })
	return d, nil
}

// verify reads every byte of the log once, in the background: opening it has
// checked only the newest part, so that the start does not take longer with every
// year.
func (d *Dispatcher) verify(ctx context.Context) {
	start := time.Now()
	err := d.broker.Verify(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.cfg.Logger.Error("the log is damaged", "err", err)
		d.damage.Store(&err)
	default:
		d.cfg.Logger.Info("the whole log is sound", "took", time.Since(start).Round(time.Millisecond).String())
	}
}

// remake starts the groups anew if the rows are gone while the log remembers:
// every row is made again from the log, and every report is worked on again, but
// for those whose completion the log has too. The order matters if the process
// ends in between: the records come last, because their position is what tells
// that rows are missing.
func (d *Dispatcher) remake(ctx context.Context) error {
	empty, err := d.store.Empty(ctx)
	if err != nil || !empty {
		return err
	}
	for _, g := range []struct{ topic, group string }{
		{TopicImages, groupRecords}, {TopicCompletions, groupRecords}, {TopicCaseReports, groupWorkers}, {TopicCaseReports, groupRecords},
	} {
		info, err := d.broker.Group(g.topic, g.group)
		if errors.Is(err, broker.ErrNoGroup) || err == nil && info.Next == 0 {
			continue // it has not begun
		}
		if err != nil {
			return err
		}
		d.cfg.Logger.Warn("the rows are gone and are made again from the log", "topic", g.topic, "group", g.group, "records", info.End)
		if _, err := d.broker.SetPosition(g.topic, g.group, broker.Earliest); err != nil {
			return fmt.Errorf("set %s of %s back: %w", g.group, g.topic, err)
		}
	}
	return nil
}

func (d *Dispatcher) subscribe() error {
	for _, topic := range []string{TopicCaseReports, TopicImages, TopicCompletions} {
		r, err := newRecorder(d, topic)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
		d.recorders[topic] = r
	}
	l, err := newLane(d, TopicCaseReports)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", TopicCaseReports, err)
	}
	d.lane = l
	return nil
}

func (d *Dispatcher) unsubscribe() error {
	var errs []error
	for _, r := range d.recorders {
		errs = append(errs, r.sub.Close())
	}
	if d.lane != nil {
		errs = append(errs, d.lane.sub.Close())
	}
	return errors.Join(errs...)
}

// Close drains: nothing new is taken up, running tasks may finish until ctx
// ends, then they are interrupted and their attempts given back. It returns when
// every goroutine has ended.
func (d *Dispatcher) Close(ctx context.Context) error {
	var err error
	d.closing.Do(func() {
		close(d.draining)
		d.stop(errDraining)
		interrupt := context.AfterFunc(ctx, func() { d.kill(errDraining) })
		d.lane.wait()
		interrupt()
		d.kill(errDraining)
		d.lane.keeper.Wait()
		d.wg.Wait()
		err = d.unsubscribe()
	})
	return err
}

// SetWorkers changes how many tasks run at once. Fewer takes effect as tasks
// finish; none is interrupted. n is brought into 1 to MaxWorkers.
func (d *Dispatcher) SetWorkers(n int) { d.lane.resize(min(max(n, 1), MaxWorkers)) }

// Ready reports whether work can be accepted and recorded: nil, or why not.
func (d *Dispatcher) Ready() error {
	if d.isDraining() {
		return errDraining
	}
	if err := d.broker.Err(); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if err := d.damage.Load(); err != nil {
		return fmt.Errorf("log: %w", *err)
	}
	for topic, r := range d.recorders {
		if err := r.failure(); err != nil {
			return fmt.Errorf("recording %s: %w", topic, err)
		}
	}
	return nil
}

// CaughtUp waits until the rows show everything that was accepted before the
// call, or until ctx ends.
func (d *Dispatcher) CaughtUp(ctx context.Context) error {
	for topic, r := range d.recorders {
		end, err := d.broker.End(topic)
		if err != nil {
			return fmt.Errorf("end of %s: %w", topic, err)
		}
		if err := r.recorded.wait(ctx, end); err != nil {
			return fmt.Errorf("wait for rows of %s: %w", topic, err)
		}
	}
	return nil
}

// Backlog says how much accepted work waits for its first attempt.
type Backlog struct {
	// Waiting counts reports that no worker has taken up yet.
	Waiting int
	// Unfinished counts reports that are not finished: waiting, running or
	// between two attempts.
	Unfinished int
	// OldestAge is how long the oldest waiting report has waited. Reports
	// between two attempts do not count: one that keeps failing must not close
	// the door to the others.
	OldestAge time.Duration
}

// Backlog returns the present backlog. It reads no disk.
func (d *Dispatcher) Backlog(context.Context) (Backlog, error) {
	g, err := d.broker.Group(TopicCaseReports, groupWorkers)
	if err != nil {
		return Backlog{}, fmt.Errorf("backlog: %w", err)
	}
	b := Backlog{Waiting: g.Waiting + d.lane.queued(), Unfinished: g.Lag}
	if !g.OldestWaiting.IsZero() {
		b.OldestAge = max(0, time.Since(g.OldestWaiting))
	}
	return b, nil
}
