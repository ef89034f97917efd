package broker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"casepress/commitlog"
)

// A topic is one log of messages with its groups.
type topic struct {
	name    string
	broker  *Broker
	log     *commitlog.Log
	logDir  string
	dedup   *dedup
	journal *journal
	single  *semaphore.Weighted // holds one for each read of a single message under way

	redeliveries prometheus.Counter

	deleted atomic.Bool // or about to be: takes no new groups and members
	ended   atomic.Bool // closed

	creating sync.Mutex // one creation of a group, or one run of retention, at a time
	mu       sync.Mutex // guards groups
	groups   map[string]*group
}

func openTopic(b *Broker, name, dir string) (*topic, error) {
	t := &topic{
		single: semaphore.NewWeighted(singleReads),
		name:   name, broker: b, groups: make(map[string]*group),
		redeliveries: b.metrics.redeliveries.WithLabelValues(b.metrics.topicLabel(name)),
	}
	if err := t.open(dir); err != nil {
		if t.log != nil {
			err = errors.Join(err, t.log.Close())
		}
		return nil, err
	}
	return t, nil
}

func (t *topic) open(dir string) (err error) {
	o := t.broker.opts
	t.logDir = filepath.Join(dir, "log")
	t.log, err = commitlog.Open(t.logDir, commitlog.Options{
		FS: o.FS, Files: t.broker.files, SegmentBytes: o.SegmentBytes, MaxRecordBytes: o.MaxMessageBytes + messageOverhead, Now: o.Now,
		OnCommit: t.broker.metrics.onCommit("messages"), OnDiscard: func(from uint64) { t.dedup.discard(from) },
	})
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	t.broker.metrics.reportCut(t.name, t.log)
	if t.dedup, err = openDedup(t); err != nil {
		return err
	}
	t.journal, err = openJournal(t, filepath.Join(dir, "groups"))
	return err
}

// closeGroups closes every subscription.
func (t *topic) closeGroups() {
	for _, g := range t.allGroups() {
		g.close()
	}
}

func (t *topic) close() error {
	if t.ended.Swap(true) {
		return nil
	}
	return errors.Join(t.journal.close(), t.log.Close())
}

func (t *topic) err() error {
	errs := []error{t.log.Err(), t.journal.err()}
	for _, g := range t.allGroups() {
		if err := g.failure(); err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", g.name, err))
		}
	}
	return errors.Join(errs...)
}

func (t *topic) allGroups() []*group {
	t.mu.Lock()
	defer t.mu.Unlock()
	groups := make([]*group, 0, len(t.groups))
	for _, g := range t.groups {
		groups = append(groups, g)
	}
	return groups
}

func (t *topic) group(name string) *group {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.groups[name]
}

// ensureGroup returns the group, creating it durably if it is new.
func (t *topic) ensureGroup(name string, from Position) (*group, error) {
	t.creating.Lock()
	defer t.creating.Unlock()
	if t.deleted.Load() {
		return nil, fmt.Errorf("%w: %q", ErrNoTopic, t.name)
	}
	if g := t.group(name); g != nil {
		return g, nil
	}
	start, err := from.resolve(t.log)
	if err != nil {
		return nil, err
	}
	return t.create(name, start)
}

// create makes a group that is not there, durably. The caller holds creating.
func (t *topic) create(name string, start uint64) (*group, error) {
	if t.deleted.Load() {
		return nil, fmt.Errorf("%w: %q", ErrNoTopic, t.name)
	}
	g := newGroup(t, name, newGroupState(start, t.broker.opts.MaxUnacked, firstLock()))
	g.state.incarnation = newIncarnation()
	if err := t.journal.create(g); err != nil {
		return nil, err
	}
	return g, nil
}

// singleReads is how many messages of a topic are read singly at once: each takes its whole batch into memory.
const singleReads = 4

// read decodes the message at offset. ctx ends the wait for other reads, not the read.
func (t *topic) read(ctx context.Context, offset uint64) (Message, error) {
	if err := t.single.Acquire(ctx, 1); err != nil {
		return Message{}, fmt.Errorf("read topic %s: %w", t.name, err)
	}
	defer t.single.Release(1)
	records, err := t.log.Read(offset, 1)
	if err != nil {
		return Message{}, fmt.Errorf("read topic %s: %w", t.name, err)
	}
	if len(records) == 0 || records[0].Offset != offset {
		return Message{}, &DamageError{Topic: t.name, Offset: offset, Err: errMissing}
	}
	return t.decode(records[0])
}

func (t *topic) decode(r commitlog.Record) (Message, error) {
	m, err := decodeMessage(r.Payload)
	if err != nil {
		return Message{}, &DamageError{Topic: t.name, Offset: r.Offset, Err: err}
	}
	m.Topic, m.Offset, m.Time = t.name, r.Offset, r.Time
	return m, nil
}

var errMissing = errors.New("message is missing")
