// Package broker implements topics of messages and groups that consume them.
//
// It promises that a published message is on stable storage before Publish returns, and that every group gets it until
// the group has acknowledged or rejected it, across crashes. A consumer sees a message at least once; after the
// acknowledgement is durable (Options.AckDelay) never again. It does not look into payloads, and it does not replicate:
// what the disk loses is lost.
//
// A topic is a commit log. Every group gets every message of its topic; the members of one group share them.
// A delivery is held under a lock: Ack it, Release it for later, Reject it (to the dead-letter topic) or Renew the
// lock; when the lock lapses the message goes to another member. Deliveries are counted.
//
// On disk:
//
//	<dir>/<topic>/log/      the messages, a commitlog; format in message_codec.go
//	<dir>/<topic>/groups/   what the groups did, a commitlog; format in event_codec.go
//	<dir>/~<topic>          the topic was deleted, and what is left of its folder is to be removed
//
// Lock order: Broker.creating, topic.creating, group.lifecycle, Broker.mu, journal.turn, topic.mu, group.mu, dedup.mu.
package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"casepress/commitlog"

	"golang.org/x/sync/semaphore"
)

// Broker is an open data folder. All methods may be called from many goroutines.
type Broker struct {
	dir   string
	opts  Options
	clock clock

	readAhead *readAhead // of all groups
	metrics   *metrics
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	files    *commitlog.Files
	creating *semaphore.Weighted // holds one for each topic that is being opened or made

	mu       sync.Mutex // one change of topics at a time; never held while the disk is waited for
	closed   atomic.Bool
	topics   atomic.Pointer[map[string]*topic] // replaced, never changed
	making   map[string]chan struct{}          // topics that are being made; closed when they are there or failed
	damaged  map[string]error                  // topics that could not be opened; guarded by mu
	removing map[string]chan struct{}          // topics that are being deleted; closed when their files are gone or stay
	removals sync.WaitGroup                    // those of removing, until they have ended
}

// Open opens the folder, creating it if need be, and recovers every topic and group in it. It returns a
// *commitlog.CorruptionError or a *DamageError when files were changed by something other than a crash.
func Open(dir string, o Options) (*Broker, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open broker: %w", err)
	}
	b := &Broker{
		dir: dir, opts: o, clock: newClock(o.Now), readAhead: &readAhead{limit: o.MaxReadAhead},
		creating: semaphore.NewWeighted(openTogether), files: commitlog.NewFiles(o.MaxOpenFiles),
		damaged: make(map[string]error), making: make(map[string]chan struct{}), removing: make(map[string]chan struct{}),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.topics.Store(&map[string]*topic{})
	b.metrics = newMetrics(b)
	if err := b.metrics.register(); err != nil {
		return nil, fmt.Errorf("open broker: %w", err)
	}
	if err := b.openTopics(); err != nil {
		return nil, errors.Join(fmt.Errorf("open broker: %w", err), b.Close())
	}
	if o.RetainAge > 0 || o.RetainBytes > 0 {
		b.wg.Go(b.retain)
	}
	return b, nil
}

func (b *Broker) openTopics() error {
	entries, err := b.opts.FS.ReadDir(b.dir)
	if err != nil {
		return err
	}
	if err := b.finishDeletions(entries); err != nil {
		return err
	}
	if err := b.opts.FS.SyncDir(b.dir); err != nil { // a tombstone taken back must not come again
		return err
	}
	if entries, err = b.opts.FS.ReadDir(b.dir); err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && checkName(e.Name(), maxTopicFolder) == nil {
			names = append(names, e.Name())
		}
	}
	return b.openAll(names)
}

// openAll opens topics side by side. After an error those that are open are topics of the broker all the same.
func (b *Broker) openAll(names []string) error {
	opened, errs := make([]*topic, len(names)), make([]error, len(names))
	var next atomic.Int64
	var openers sync.WaitGroup
	for range min(openTogether, len(names)) {
		openers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				if opened[i], errs[i] = openTopic(b, names[i], filepath.Join(b.dir, names[i])); errs[i] != nil {
					errs[i] = fmt.Errorf("topic %s: %w", names[i], errs[i])
				}
			}
		})
	}
	openers.Wait()
	topics := make(map[string]*topic, len(names))
	for i, name := range names {
		switch {
		case errs[i] == nil:
			topics[name] = opened[i]
		case isDamage(errs[i]) && !b.essential(name):
			b.opts.Logger.Error("a topic cannot be used until it is deleted or mended", "topic", name, "error", errs[i])
			b.damaged[name], errs[i] = errs[i], nil
		}
	}
	b.topics.Store(&topics)
	return errors.Join(errs...)
}

// essential says whether the program cannot work without a topic.
func (b *Broker) essential(topic string) bool {
	return b.opts.Essential == nil || isOneOf(topic, b.opts.Essential)
}

// isDamage says whether files are not what was written.
func isDamage(err error) bool {
	_, corrupt := errors.AsType[*commitlog.CorruptionError](err)
	_, damaged := errors.AsType[*DamageError](err)
	return corrupt || damaged
}

// damage returns why a topic cannot be used, nil if it can or is not there.
func (b *Broker) damage(topic string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.damaged[topic]
}

// ensureTopic returns a topic, making it if need be and if check, unless nil, lets it. While a topic of that name is being
// deleted or made it waits.
func (b *Broker) ensureTopic(ctx context.Context, name string, check func(name string) error) (*topic, error) {
	for {
		if t := (*b.topics.Load())[name]; t != nil && !b.closed.Load() {
			return t, nil
		}
		t, busy, err := b.tryCreate(ctx, name, check)
		if busy == nil {
			return t, err
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("topic %s is being made or deleted: %w", name, ctx.Err())
		}
	}
}

// tryCreate is ensureTopic without the wait for whoever makes or deletes a topic of that name: it returns what tells when that
// has ended.
func (b *Broker) tryCreate(ctx context.Context, name string, check func(name string) error) (t *topic, busy <-chan struct{}, err error) {
	if err := b.creating.Acquire(ctx, 1); err != nil {
		return nil, nil, err
	}
	defer b.creating.Release(1)
	b.mu.Lock()
	t, busy = (*b.topics.Load())[name], b.busy(name)
	switch {
	case b.closed.Load():
		err = ErrClosed
	case b.damaged[name] != nil:
		err = b.damaged[name]
	case t == nil && busy == nil && check != nil:
		err = check(name)
	}
	if err != nil || t != nil || busy != nil {
		b.mu.Unlock()
		return t, busy, err
	}
	made := make(chan struct{})
	b.making[name] = made
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.making, name)
		close(made)
	}()
	if err := b.finishDeletion(name); err != nil {
		return nil, nil, fmt.Errorf("remove deleted topic %s: %w", name, err)
	}
	if t, err = openTopic(b, name, filepath.Join(b.dir, name)); err != nil {
		return nil, nil, fmt.Errorf("topic %s: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	topics := maps.Clone(*b.topics.Load())
	topics[name] = t
	b.topics.Store(&topics)
	return t, nil, nil
}

// busy tells when whoever makes or deletes a topic whose folder the name may stand for has done so; nil if nobody does. The
// caller holds mu.
func (b *Broker) busy(name string) <-chan struct{} {
	for _, all := range []map[string]chan struct{}{b.making, b.removing} {
		for other, ended := range all {
			if strings.EqualFold(other, name) {
				return ended
			}
		}
	}
	return nil
}

// Close gives every delivery back uncounted, makes what the groups did durable and closes the logs. Receive,
// Publish and deliveries return ErrClosed from then on. A second Close does nothing.
func (b *Broker) Close() error {
	b.mu.Lock()
	wasClosed := b.closed.Swap(true)
	b.mu.Unlock()
	if wasClosed {
		return nil
	}
	b.metrics.unregister()
	b.cancel()
	b.wg.Wait()
	b.removals.Wait()
	_ = b.creating.Acquire(context.Background(), openTogether) // whoever comes later finds the broker closed
	b.creating.Release(openTogether)
	topics := b.sorted()
	var errs []error
	for _, t := range topics {
		t.closeGroups()
	}
	for _, t := range topics {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

// Err returns nil, or why the broker no longer does its whole job, as far as Options.Essential topics go: every log that a failed write or sync has
// poisoned (errors.Is commitlog.ErrPoisoned) and every group that cannot read on, with the topic's name. Reopening
// helps; a failure to read that is no damage is tried again every second and may pass.
func (b *Broker) Err() error {
	var errs []error
	for _, t := range b.sorted() {
		if !b.essential(t.name) {
			continue
		}
		if err := t.err(); err != nil {
			errs = append(errs, fmt.Errorf("topic %s: %w", t.name, err))
		}
	}
	return errors.Join(errs...)
}

// CreateTopic returns when the topic is there and survives a power cut. It is idempotent. Names are 1-128 of
// A-Z a-z 0-9 . _ - and not only dots; one that differs from another topic's only in case is refused, since some file
// systems would keep both in one folder.
func (b *Broker) CreateTopic(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkName(name, maxName); err != nil {
		return err
	}
	_, err := b.ensureTopic(ctx, name, b.checkCase)
	return err
}

// checkCase refuses a new topic that differs from another one, or from the dead-letter topic that another one may get,
// only in case. The caller holds mu.
func (b *Broker) checkCase(name string) error {
	for _, other := range slices.AppendSeq(b.names(), maps.Keys(b.making)) {
		for _, taken := range []string{other, DeadLetterTopic(other)} {
			if taken != name && strings.EqualFold(taken, name) {
				return fmt.Errorf("%w: name %q differs only in case from %q; use that name or another one", ErrInvalid, name, taken)
			}
		}
	}
	return nil
}

// Topics returns the names of all topics, sorted, those that are damaged included.
func (b *Broker) Topics() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.names()
}

// names is Topics for a caller that holds mu.
func (b *Broker) names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(*b.topics.Load())), maps.Keys(b.damaged))
	slices.Sort(names)
	return names
}

// End returns the offset that the topic's next message will get.
func (b *Broker) End(topic string) (uint64, error) {
	t, err := b.topic(topic)
	if err != nil {
		return 0, err
	}
	return t.log.End(), nil
}

// LockTimeout returns that of Options.
func (b *Broker) LockTimeout() time.Duration { return b.opts.LockTimeout }

// HasTopic says whether there is a topic of that name.
func (b *Broker) HasTopic(name string) bool {
	return (*b.topics.Load())[name] != nil || b.damage(name) != nil
}

// Flush returns when every Ack, Release, Reject and return of a delivery made before the call is durable, of these
// topics, or of all if none is named. Nobody needs to call it: it happens by itself within Options.AckDelay.
func (b *Broker) Flush(ctx context.Context, topics ...string) error {
	if b.closed.Load() {
		return ErrClosed
	}
	list := b.sorted()
	if len(topics) > 0 {
		list = b.named(topics)
	}
	for _, t := range list {
		if err := t.journal.flush(ctx); err != nil {
			return fmt.Errorf("topic %s: %w", t.name, err)
		}
	}
	return nil
}

// Verify reads every byte of every log and returns the first *commitlog.CorruptionError. It runs beside
// everything else.
func (b *Broker) Verify(ctx context.Context) error {
	for _, t := range b.sorted() {
		for _, l := range []*commitlog.Log{t.log, t.journal.log} {
			if err := l.Verify(ctx); err != nil {
				return fmt.Errorf("verify topic %s: %w", t.name, err)
			}
		}
	}
	return nil
}

func (b *Broker) topic(name string) (*topic, error) {
	if b.closed.Load() {
		return nil, ErrClosed
	}
	t := (*b.topics.Load())[name]
	if t != nil {
		return t, nil
	}
	if err := b.damage(name); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %q", ErrNoTopic, name)
}

// named returns those of the named topics that there are.
func (b *Broker) named(names []string) (list []*topic) {
	topics := *b.topics.Load()
	for _, name := range names {
		if t := topics[name]; t != nil {
			list = append(list, t)
		}
	}
	return list
}

func (b *Broker) sorted() []*topic {
	topics := *b.topics.Load()
	list := make([]*topic, 0, len(topics))
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		list = append(list, topics[name])
	}
	return list
}

func firstLock() uint64 { return rand.Uint64() }

func newIncarnation() uint64 { return max(rand.Uint64(), 1) }
