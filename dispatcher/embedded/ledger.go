// Package embedded implements the dispatcher's ledger on one machine: the log of package broker decides what is
// accepted and due, and the rows of package store show it.
//
//	Accept ──> topic of the kind ──> recorder ──> rows
//	                            └──> group "workers" ──Claim──> lane
//
// The log wins: rows are made from it, how far they have come stands in their own transaction, and rows that
// were lost or went back are made up from the log at the next start. What cannot be made up, because the log
// itself is older than the rows or has lost its beginning, is refused with the name of what is older.
//
// One process at a time may have a data folder open.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/blob"
	"casepress/broker"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

const (
	// groupWorkers is the consumer group whose deliveries are due work.
	groupWorkers = "workers"
	// groupEvents is the consumer group whose deliveries become events: see tell.go.
	groupEvents = "events"
	// oldGroupRecords is the group of earlier versions that moved with the rows.
	oldGroupRecords = "records"
	// keptShare is the part of the pending bytes that is kept for reserved lanes, and again for all that do not come in
	// batches: one in so many.
	keptShare = 8
)

// Config is what a ledger works with. The zero value of a field means its default.
type Config struct {
	Broker *broker.Broker // required; not closed
	Store  *store.Store   // required; not closed
	// Lease is how long a delivery stays with this process without a sign of life; a claim for longer is refused.
	// Default 30 seconds.
	Lease time.Duration
	// CaughtUpTimeout bounds how long Accept and Restart wait for rows that lag; then they answer ErrBehind, and
	// nothing was accepted. Default 5 seconds.
	CaughtUpTimeout time.Duration
	// MaxPendingBytes bounds the submissions that are in the log but not yet in the rows; beyond it Accept
	// answers ErrOverloaded. If there are reserved lanes, only their kinds may use the last eighth; kinds of lanes that work in
	// batches leave another eighth to all others. Default 64 MiB.
	MaxPendingBytes int64
	// MaxCrashes is how many deaths of the process while it worked on one submission alone fail it. Default 3.
	MaxCrashes int
	// Reserved names the lanes that wait for no other lane.
	Reserved []string
	// Batched names the lanes that work in batches, since what comes to them comes in bursts.
	Batched []string
	// Blobs is the store whose blobs are collected that no row names; nil collects none.
	Blobs blob.Store
	// Drop says that originals are dropped from Blobs once no report needs them.
	Drop bool
	// Metrics is where the figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Logger hears of failures; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Lease == 0 {
		c.Lease = 30 * time.Second
	}
	if c.CaughtUpTimeout == 0 {
		c.CaughtUpTimeout = 5 * time.Second
	}
	if c.MaxPendingBytes == 0 {
		c.MaxPendingBytes = 64 << 20
	}
	if c.MaxCrashes == 0 {
		c.MaxCrashes = 3
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if c.Lease < 0 || c.CaughtUpTimeout < 0 || c.MaxPendingBytes < 0 || c.MaxCrashes < 0 {
		return fmt.Errorf("lease %v, caught-up timeout %v, pending bytes %d and crashes %d: none may be negative",
			c.Lease, c.CaughtUpTimeout, c.MaxPendingBytes, c.MaxCrashes)
	}
	return nil
}

// Ledger is the ledger of one machine. Use [Open].
type Ledger struct {
	cfg    Config
	broker *broker.Broker
	store  *store.Store

	pending   *pending
	recorders map[string]*recorder // by topic
	queues    map[string]*queue    // by lane
	tellers   []*teller
	gate      gate

	restarting chan struct{} // holds a token while a retry is being stored: one at a time
	originals  *originals
	metrics    *metrics
	events     struct {
		complete   atomic.Bool // the topic has every event that no delivery will bring
		impossible atomic.Bool // of a final submission nobody can be told
	}
	damage atomic.Pointer[error] // what reading the whole log has found
	// uncompared is why rows and log do not agree, or could not be compared: then an id may be free only because its row is gone.
	uncompared atomic.Pointer[error]
	compared   chan struct{} // closed when the rows have been compared with the log, or that takes long

	mu       sync.Mutex // guards the rest
	claims   map[store.Held]held
	inWork   map[tasks.Ref]bool
	suspects map[tasks.Ref]bool
	failures map[tasks.Ref]int       // how often a delivery of it could not be dealt with
	due      map[tasks.Ref]time.Time // when the pause after a failed attempt is over, until it comes again

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	closing  sync.Once
	ended    chan struct{} // closed when Close has done all
	closeErr error         // set before ended is closed
}

var _ dispatcher.Ledger = (*Ledger)(nil)

// Open opens the ledger: it checks that log and rows belong together, makes up rows that the log is ahead of,
// and returns. A *MismatchError says that they do not.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Ledger{
		cfg: cfg.withDefaults(), broker: cfg.Broker, store: cfg.Store,
		pending: newPending(), recorders: map[string]*recorder{}, queues: map[string]*queue{},
		compared: make(chan struct{}), ended: make(chan struct{}), claims: map[store.Held]held{}, inWork: map[tasks.Ref]bool{}, suspects: map[tasks.Ref]bool{},
		due: map[tasks.Ref]time.Time{}, failures: map[tasks.Ref]int{}, restarting: make(chan struct{}, 1),
	}
	l.metrics = newMetrics(cfg.Metrics)
	l.originals = newOriginals(l)
	for _, topic := range append(tasks.Topics(), tasks.TopicUpdates) {
		if err := l.broker.CreateTopic(ctx, topic); err != nil {
			return nil, fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	if err := l.recover(ctx); err != nil {
		return nil, err
	}
	if err := l.subscribe(); err != nil {
		return nil, errors.Join(err, l.unsubscribe())
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.start()
	return l, nil
}

func (l *Ledger) start() {
	for _, r := range l.recorders {
		l.wg.Go(func() { r.run(l.ctx) })
	}
	for _, t := range l.tellers {
		l.wg.Go(func() { t.run(l.ctx) })
	}
	l.wg.Go(func() { l.requeueLost(l.ctx) })
	l.wg.Go(func() {
		err := l.compare(l.ctx)
		l.publishMissing(l.ctx) // not beside it: both read all rows
		l.compareUntilKnown(l.ctx, err)
	})
	l.wg.Go(func() { l.verify(l.ctx) })
	if l.originals.blobs != nil {
		l.wg.Go(func() { l.originals.sweep(l.ctx) })
	}
	if l.cfg.Blobs != nil {
		l.wg.Go(func() { l.collect(l.ctx) })
	}
}

func (l *Ledger) subscribe() error {
	for _, k := range tasks.Kinds() {
		if k.Rows.Events != nil {
			sub, err := l.broker.Subscribe(k.Topic, groupEvents, broker.SubscribeOptions{LockTimeout: l.cfg.Lease})
			if err != nil {
				return fmt.Errorf("subscribe to %s: %w", k.Topic, err)
			}
			l.tellers = append(l.tellers, &teller{l, k, sub})
		}
		if !k.IsSubmission() {
			continue
		}
		q := l.queues[k.Lane]
		if q == nil {
			q = newQueue(k.Lane, slices.Contains(l.cfg.Reserved, k.Lane))
			l.queues[k.Lane] = q
		}
		if slices.Contains(q.topics, k.Topic) {
			continue
		}
		sub, err := l.broker.Subscribe(k.Topic, groupWorkers, broker.SubscribeOptions{Window: maxHeld, LockTimeout: l.cfg.Lease})
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", k.Topic, err)
		}
		q.topics, q.subs = append(q.topics, k.Topic), append(q.subs, sub)
	}
	return nil
}

func (l *Ledger) unsubscribe() error {
	var errs []error
	for _, q := range l.queues {
		for _, sub := range q.subs {
			errs = append(errs, sub.Close())
		}
	}
	for _, t := range l.tellers {
		errs = append(errs, t.sub.Close())
	}
	return errors.Join(errs...)
}

// beginUntilClosed begins something that Close waits for until wg.Done, and reports whether it did: not once Close has
// begun.
func (l *Ledger) beginUntilClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.wg.Add(1)
	return true
}

// untilClosed returns a context that ends with ctx or with the ledger.
func (l *Ledger) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// closedError is why a wait under untilClosed is over: ctx's error, or ErrClosed.
func (l *Ledger) closedError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return dispatcher.ErrClosed
}

// verify reads every byte of the log once, in the background: opening it has checked only the newest part, so
// that the start does not take longer with every year.
func (l *Ledger) verify(ctx context.Context) {
	start := time.Now()
	err := l.broker.Verify(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		err = ExplainDamage(err)
		l.cfg.Logger.Error("the log is damaged", "err", err)
		l.damage.Store(&err)
	default:
		l.cfg.Logger.Info("the whole log is sound", "took", time.Since(start).Round(time.Millisecond).String())
	}
}

// CaughtUp waits until the rows of the topics, or of every topic if there are none, have come past the topic's end as of
// now.
func (l *Ledger) CaughtUp(ctx context.Context, topics ...string) error {
	waiting, cancel := l.untilClosed(ctx)
	defer cancel()
	err := l.caughtUpIn(waiting, topics)
	if err != nil && waiting.Err() != nil {
		return fmt.Errorf("%w: %w", l.closedError(ctx), err)
	}
	return err
}

func (l *Ledger) caughtUp(ctx context.Context) error { return l.caughtUpIn(ctx, nil) }

func (l *Ledger) caughtUpIn(ctx context.Context, topics []string) error {
	for _, topic := range derivingFirst() {
		if len(topics) > 0 && !slices.Contains(topics, topic) {
			continue
		}
		end, err := l.broker.End(topic)
		if err != nil {
			return fmt.Errorf("end of %s: %w", topic, err)
		}
		if err := l.recorders[topic].recorded.wait(ctx, end); err != nil {
			return fmt.Errorf("wait for rows of %s: %w", topic, err)
		}
	}
	return l.waitCompared(ctx)
}

// caughtUpToStart waits until the rows show all that earlier processes put into the topics.
func (l *Ledger) caughtUpToStart(ctx context.Context, topics ...string) error {
	for _, topic := range topics {
		r := l.recorders[topic]
		if err := r.recorded.wait(ctx, r.endAtStart); err != nil {
			return fmt.Errorf("wait for rows of %s: %w", topic, err)
		}
	}
	return nil
}

// Ready reports whether work can be accepted and recorded: nil, or why not.
func (l *Ledger) Ready() error {
	if l.ctx.Err() != nil {
		return dispatcher.ErrClosed
	}
	if err := l.broker.Err(); err != nil {
		return fmt.Errorf("broker: %w", ExplainDamage(err))
	}
	if err := l.damage.Load(); err != nil {
		return fmt.Errorf("log: %w", *err)
	}
	if err := l.uncompared.Load(); err != nil {
		return *err
	}
	for topic, r := range l.recorders {
		if err := r.failure(); err != nil {
			return fmt.Errorf("recording %s: %w", topic, err)
		}
	}
	return nil
}

// Close returns when the ledger's goroutines have ended, and gives back deliveries that are still held; or when ctx ends
// before, as where the disk hangs. Then writes that had begun go on, and what was accepted is in the log as ever: only
// what was never answered may be missing, and the next start looks for missing events. A second call waits once more.
func (l *Ledger) Close(ctx context.Context) error {
	l.closing.Do(func() {
		l.mu.Lock()
		l.cancel()
		l.mu.Unlock()
		go func() {
			defer close(l.ended)
			l.wg.Wait()
			l.closeErr = l.unsubscribe()
			// The event of whatever claim has ended is in its topic by now.
			if err := l.closeEvents(context.Background()); err != nil {
				l.cfg.Logger.Warn("the next start will look through all events", "err", err)
			}
		}()
	})
	select {
	case <-l.ended:
		return l.closeErr
	case <-ctx.Done():
	}
	select {
	case <-l.ended: // after all
		return l.closeErr
	default:
		return fmt.Errorf("close ledger: a write to the log or the rows has not ended: %w", ctx.Err())
	}
}
