// Package dispatcher implements the work on what was accepted: it claims due submissions from a [Ledger], runs
// their tasks on the workers of lanes, and ends every attempt. It never keeps work only in memory, and never
// lets a panic or a shutdown cost a submission.
//
//	Accept ──> Ledger ──Claim──> lane ──> workers ──Execute──> Complete, Retry or Fail ──> Ledger
//
// A [Lane] has workers of its own. The ledger is the reservoir behind it, so a burst fills the disk's queue
// and never the memory.
//
// It does not decide what is accepted, what is due or what is durable: the ledger does. Package embedded has
// the ledger for one machine.
package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/store"
	"casepress/tasks"
)

// Config says how work runs. The zero value of a field means its default.
type Config struct {
	// Lanes are the lanes; each kind's lane must be among them. Required.
	Lanes []Lane
	// NewTask returns the work on a submission: [tasks.Processor.Task] in the service. Required.
	NewTask func(tasks.Work) (tasks.Task, error)
	// Retry says when a failed attempt is tried again.
	Retry RetryPolicy
	// Lease is how long a claim stays with this process without a sign of life. Default 30 seconds.
	Lease time.Duration
	// CaughtUpTimeout bounds how long a read waits for the rows to show everything accepted. Default 5 seconds.
	CaughtUpTimeout time.Duration
	// Metrics is where the figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Logger hears of failures; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Lease = orDefault(c.Lease, 30*time.Second)
	c.CaughtUpTimeout = orDefault(c.CaughtUpTimeout, 5*time.Second)
	c.Retry = c.Retry.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// minLease is the shortest lease: a third of it must leave time to renew it.
const minLease = 10 * time.Millisecond

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

func (c Config) validate() error {
	if c.NewTask == nil {
		return errors.New("a dispatcher needs NewTask")
	}
	if c.Lease < 0 || c.CaughtUpTimeout < 0 {
		return fmt.Errorf("lease %v and caught-up timeout %v: none may be negative", c.Lease, c.CaughtUpTimeout)
	}
	if c.Lease > 0 && c.Lease < minLease {
		return fmt.Errorf("a lease of %v: it must be at least %v", c.Lease, minLease)
	}
	if err := c.Retry.validate(); err != nil {
		return err
	}
	var names []string
	for _, l := range c.Lanes {
		if err := l.validate(); err != nil {
			return err
		}
		if slices.Contains(names, l.Name) {
			return fmt.Errorf("there are two lanes %s", l.Name)
		}
		names = append(names, l.Name)
	}
	for _, k := range tasks.Kinds() {
		if k.IsSubmission() && !slices.Contains(names, k.Lane) {
			return fmt.Errorf("kind %s has the lane %s, which is not there", k.Name, k.Lane)
		}
	}
	return nil
}

// Dispatcher lets work in and sees it through. Use [Start]; all methods are safe for concurrent use.
type Dispatcher struct {
	cfg    Config
	ledger Ledger
	lanes  []*lane
	leases *leases

	stop     context.CancelCauseFunc // ends the claimers
	kill     context.CancelCauseFunc // ends running tasks
	wg       sync.WaitGroup
	draining chan struct{}
	closing  sync.Once
}

// Start begins to work on what the ledger has and returns. [Dispatcher.Close] closes the ledger too; after an
// error the caller still has to.
func Start(ctx context.Context, cfg Config, ledger Ledger) (*Dispatcher, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	d := &Dispatcher{
		cfg: cfg, ledger: ledger, draining: make(chan struct{}),
		leases: newLeases(ledger, cfg.Lease, cfg.Logger),
	}
	exec := &executor{
		ledger: ledger, newTask: cfg.NewTask, policy: cfg.Retry,
		draining: d.isDraining, metrics: newMetrics(), log: cfg.Logger,
	}
	base := context.WithoutCancel(ctx)
	claiming, stop := context.WithCancelCause(base)
	work, kill := context.WithCancelCause(base)
	d.stop, d.kill = stop, kill
	for _, config := range cfg.Lanes {
		d.lanes = append(d.lanes, d.newLane(config, exec))
	}
	exec.metrics.register(cfg.Metrics, d)
	for _, l := range d.lanes {
		l.start(claiming, work)
	}
	d.wg.Go(func() { d.leases.run(work) })
	return d, nil
}

// claimRetry is the pause of a lane whose ledger could not claim.
const claimRetry = time.Second

func (d *Dispatcher) newLane(config Lane, exec *executor) *lane {
	claim := func(ctx context.Context, limit int) ([]Claim, error) {
		claims, err := d.ledger.Claim(ctx, config.Name, limit, d.cfg.Lease)
		d.leases.add(claims)
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			// A ledger that fails must not end the lane: the failure is logged and the claim tried once more.
			d.cfg.Logger.Error("work could not be claimed and will be tried again", "lane", config.Name, "err", err)
			select {
			case <-time.After(claimRetry):
			case <-ctx.Done():
			}
			return claims, nil
		}
		return claims, err
	}
	handle := func(ctx context.Context, claims []Claim) {
		defer d.leases.remove(claims)
		exec.run(ctx, claims, config.Timeout)
	}
	drop := func(claims []Claim) {
		defer d.leases.remove(claims)
		exec.giveBack(context.Background(), claims)
	}
	return newLane(config, claim, handle, drop)
}

// Close drains: nothing new is taken up, running tasks may finish until ctx ends, then they are interrupted
// and their attempts given back. It returns when every goroutine has ended and the ledger is closed; or, where the disk
// hangs, with an error, once interruptedTimeout and closeTimeout are over.
func (d *Dispatcher) Close(ctx context.Context) error {
	var err error
	d.closing.Do(func() {
		close(d.draining)
		d.stop(errDraining)
		interrupt := context.AfterFunc(ctx, func() { d.kill(errDraining) })
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, l := range d.lanes {
				l.wait()
			}
			interrupt()
			d.kill(errDraining)
			d.wg.Wait()
		}()
		err = awaitEnd(ctx, ended)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, d.ledger.Close(closing))
	})
	return err
}

const (
	// closeTimeout bounds how long a hung disk can hold up the close of the ledger.
	closeTimeout = 10 * time.Second
	// interruptedTimeout bounds how long tasks take to end that were interrupted: for most of it their ends may be
	// written.
	interruptedTimeout = endTimeout + 10*time.Second
)

// awaitEnd waits until all workers have ended, which must be soon once ctx has.
func awaitEnd(ctx context.Context, ended <-chan struct{}) error {
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-ended:
		return nil
	case <-time.After(interruptedTimeout):
		return fmt.Errorf("tasks did not end within %v after they were interrupted; the next start begins them once more", interruptedTimeout)
	}
}

func (d *Dispatcher) isDraining() bool {
	select {
	case <-d.draining:
		return true
	default:
		return false
	}
}

// Accept lets a submission in: see [Ledger]. What it refers to must lie durably in the blob store. After
// [Dispatcher.Close] has begun it refuses with ErrUnavailable.
func (d *Dispatcher) Accept(ctx context.Context, s tasks.Submission) (Receipt, error) {
	if d.isDraining() {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, errDraining)
	}
	return d.ledger.Accept(ctx, s)
}

// AcceptAll lets submissions in that come together: see [Ledger], and Accept for what goes for each.
func (d *Dispatcher) AcceptAll(ctx context.Context, all []tasks.Submission) []Outcome {
	if !d.isDraining() {
		return d.ledger.AcceptAll(ctx, all)
	}
	outcomes := make([]Outcome, len(all))
	for i := range outcomes {
		outcomes[i].Err = fmt.Errorf("%w: %w", ErrUnavailable, errDraining)
	}
	return outcomes
}

// Restart lets a failed submission run again: see [Ledger]. On return reads show it as accepted. With ErrBehind
// the outcome is unknown; the same call again restarts it once.
func (d *Dispatcher) Restart(ctx context.Context, of tasks.Ref) (tasks.Status, error) {
	if d.isDraining() {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, errDraining)
	}
	was, err := d.ledger.Restart(ctx, of)
	if err != nil {
		return was, err
	}
	return was, d.CaughtUp(ctx)
}

// CaughtUp waits until reads show everything that was accepted before the call. It returns ErrBehind when that
// takes longer than [Config.CaughtUpTimeout].
func (d *Dispatcher) CaughtUp(ctx context.Context, topics ...string) error {
	bounded, cancel := context.WithTimeoutCause(ctx, d.cfg.CaughtUpTimeout, ErrBehind)
	defer cancel()
	err := d.ledger.CaughtUp(bounded, topics...)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return fmt.Errorf("%w: %w", ErrBehind, err)
	}
	return err
}

// Lookup reads by read, and once more after the rows have caught up if it answers store.ErrNotFound: so a
// client that holds a receipt never hears that there is nothing. topics are those from whose records what is read can come,
// none means all: a burst in another one must not hold it up.
func Lookup[T any](ctx context.Context, d *Dispatcher, read func(context.Context) (T, error), topics ...string) (T, error) {
	v, err := read(ctx)
	if !errors.Is(err, store.ErrNotFound) {
		return v, err
	}
	if err := d.CaughtUp(ctx, topics...); err != nil {
		return v, err
	}
	return read(ctx)
}

// LaneState is how a lane stands.
type LaneState struct {
	Name    string
	Workers int
	Busy    int // workers that have work
}

// Lanes returns the state of every lane, in the order of [Config.Lanes].
func (d *Dispatcher) Lanes() []LaneState {
	states := make([]LaneState, len(d.lanes))
	for i, l := range d.lanes {
		states[i].Name = l.Name
		states[i].Workers, states[i].Busy = l.state()
	}
	return states
}

// LaneOf returns the settings of the lane of that name.
func (d *Dispatcher) LaneOf(name string) (Lane, bool) {
	for _, l := range d.lanes {
		if l.Name == name {
			return l.Lane, true
		}
	}
	return Lane{}, false
}

// ErrNoLane says that there is no lane of that name.
var ErrNoLane = errors.New("no such lane")

// SetWorkers changes how many workers a lane has. Fewer takes effect as tasks finish; none is interrupted. It
// returns ErrNoLane, or a *WorkersError for a number that is not 1 to MaxWorkers. A restart forgets it.
func (d *Dispatcher) SetWorkers(name string, n int) error {
	for _, l := range d.lanes {
		if l.Name != name {
			continue
		}
		if n < 1 || n > MaxWorkers {
			return &WorkersError{Lane: name, Workers: n}
		}
		l.resize(n)
		return nil
	}
	return fmt.Errorf("%w: %q", ErrNoLane, name)
}

// Backlog returns how much work of the lane waits.
func (d *Dispatcher) Backlog(ctx context.Context, lane string) (Backlog, error) {
	return d.ledger.Backlog(ctx, lane)
}

// Ready reports whether work can be accepted and recorded: nil, or why not.
func (d *Dispatcher) Ready() error {
	if d.isDraining() {
		return errDraining
	}
	return d.ledger.Ready()
}
