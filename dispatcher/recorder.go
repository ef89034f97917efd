package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// recordBatch is how many records become rows in one transaction at most.
const recordBatch = 512

// recordRest is how long records may wait for company.
const recordRest = 5 * time.Millisecond

// recorder turns one topic into rows, in the topic's order.
type recorder struct {
	d     *Dispatcher
	topic string
	sub   *broker.Subscription
	// recorded is how far the rows have come.
	recorded *watermark
	// inherited is the topic's end when this process started.
	inherited uint64

	mu  sync.Mutex
	err error // why the last try to write rows failed; nil while all is well
}

func newRecorder(d *Dispatcher, topic string) (*recorder, error) {
	end, err := d.broker.End(topic)
	if err != nil {
		return nil, err
	}
	// The recorder is the only member of its group and never gives up a batch, so
	// nobody waits for its locks to expire.
	sub, err := d.broker.Subscribe(topic, groupRecords, broker.SubscribeOptions{Window: 4 * recordBatch, LockTimeout: time.Hour})
	if err != nil {
		return nil, err
	}
	g, err := d.broker.Group(topic, groupRecords)
	if err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	return &recorder{d: d, topic: topic, sub: sub, inherited: end, recorded: newWatermark(g.Start)}, nil
}

// inherit waits until the rows show all that earlier processes put into topics. A
// completion finds the row of its report, and images put ahead of that report, if
// it is taken after them.
func (d *Dispatcher) inherit(ctx context.Context, topics ...string) error {
	for _, topic := range topics {
		r := d.recorders[topic]
		if err := r.recorded.wait(ctx, r.inherited); err != nil {
			return fmt.Errorf("wait for rows of %s: %w", topic, err)
		}
	}
	return nil
}

func (r *recorder) run(ctx context.Context) {
	if r.topic == TopicCompletions && r.d.inherit(ctx, TopicCaseReports, TopicImages) != nil {
		return // shutting down
	}
	for {
		batch, err := r.sub.Receive(ctx, recordBatch)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = r.record(ctx, batch)
		}
		if r.note(err); err != nil && !pause(ctx, time.Second) {
			return
		}
		r.rest(ctx)
	}
}

// rest lets records gather for the next transaction while nobody waits for their
// rows: fewer syncs of the rows leave the disk to the log, which clients do wait
// for.
func (r *recorder) rest(ctx context.Context) {
	t := time.NewTimer(recordRest)
	defer t.Stop()
	select {
	case <-r.recorded.wanted:
	case <-t.C:
	case <-ctx.Done():
	}
}

// record writes the batch and tries again for as long as it takes: rows are owed.
func (r *recorder) record(ctx context.Context, batch []broker.Delivery) error {
	rows, err := r.decode(batch)
	if err != nil {
		return err
	}
	for {
		err := r.d.store.Record(ctx, rows)
		if err == nil {
			break
		}
		if r.note(err); !pause(ctx, time.Second) {
			return err
		}
	}
	next := batch[len(batch)-1].Offset + 1
	r.recorded.advance(next)
	r.d.unrecorded.forget(r.topic, next)
	for _, d := range batch {
		if err := d.Ack(); err != nil && !errors.Is(err, broker.ErrLockLost) {
			return fmt.Errorf("ack offset %d: %w", d.Offset, err)
		}
	}
	return nil
}

// decode leaves out what this build cannot read: it goes to the dead-letter
// topic, where nothing is lost, and must not hold up the records behind it.
func (r *recorder) decode(batch []broker.Delivery) ([]store.Recorded, error) {
	rows := make([]store.Recorded, 0, len(batch))
	for _, d := range batch {
		s, err := tasks.DecodeSubmission(d.Payload)
		if err != nil {
			r.d.cfg.Logger.Error("a record cannot be read", "topic", r.topic, "offset", d.Offset, "err", err)
			if err := d.Reject(err.Error()); err != nil {
				return nil, fmt.Errorf("reject offset %d: %w", d.Offset, err)
			}
			continue
		}
		rows = append(rows, store.Recorded{Offset: d.Offset, Submission: s})
	}
	return rows, nil
}

// note remembers how the last try went and logs a change.
func (r *recorder) note(err error) {
	r.mu.Lock()
	changed := (r.err == nil) != (err == nil)
	r.err = err
	r.mu.Unlock()
	switch {
	case changed && err != nil:
		r.d.cfg.Logger.Error("recording has stopped and will be tried again", "topic", r.topic, "err", err)
	case changed:
		r.d.cfg.Logger.Info("recording goes on", "topic", r.topic)
	}
}

func (r *recorder) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// pause waits for d and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
