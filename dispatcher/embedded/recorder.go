package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

const (
	// recordBatch is how many records become rows in one write: what is urgent waits for no more than one.
	recordBatch = 128
	// farBehind is how many records are too many to let more gather.
	farBehind = 512
	// recordBytes is how much of the log one transaction reads at most.
	recordBytes = 4 << 20
	// recordDelay is how long a record may wait for others, to share one transaction with them, while nobody waits for
	// its row.
	recordDelay = 20 * time.Millisecond
	// burstDelay is how long records wait at most in a burst, which are 1,000 a second: burstRecords in recordDelay at
	// first, and so many times that in burstSteps of it, for the disk answers many at once. Then whoever hands them in
	// has the processors, and rows are made and worked on when the burst is over.
	burstDelay   = time.Second
	burstRecords = 20
	burstSteps   = 5
	// burstShare is the part of [Config.MaxPendingBytes] that ends the wait: one in so many.
	burstShare = 4
	// recordRetry is the pause after a failure.
	recordRetry = time.Second
)

// recorder turns one topic into rows, in the topic's order. How far it has come stands in the rows' own
// transaction, so that rows that went back are made up from the log.
type recorder struct {
	l     *Ledger
	topic string
	// recorded is how far the rows have come.
	recorded *watermark
	// endAtStart is the topic's end when this process started.
	endAtStart uint64
	// known are the keys of its submissions.
	known *known
	// compare is from where to where, exclusive, rows and records are compared: what earlier processes have recorded.
	compare [2]uint64
	// stamping holds a token while what is recorded about a submission gets its time and its place in the log.
	stamping chan struct{}

	mu  sync.Mutex
	err error // why the last try to write rows failed; nil while all is well
}

// run records until ctx ends.
func (r *recorder) run(ctx context.Context) {
	if r.topic == tasks.TopicCompletions && r.l.caughtUpToStart(ctx, tasks.TopicCaseReports, tasks.TopicImages) != nil {
		return // shutting down
	}
	for ctx.Err() == nil {
		if err := r.follow(ctx); ctx.Err() == nil {
			r.setFailure(err)
			sleep(ctx, recordRetry)
		}
	}
}

// follow reads the topic from where the rows stand and returns the error that ends it.
func (r *recorder) follow(ctx context.Context) error {
	from := r.recorded.value()
	f, err := r.l.broker.Follow(r.topic, from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	for {
		messages, err := f.Next(ctx, recordBytes)
		if err != nil {
			return err
		}
		for batch := range slices.Chunk(messages, recordBatch) {
			if err := r.record(ctx, batch); err != nil {
				return err
			}
		}
		r.setFailure(nil)
		r.waitForBatch(ctx)
	}
}

// waitForBatch lets records gather for the next transaction while nobody waits for their rows: fewer syncs of the rows
// leave the disk, and in a burst the processors, to the log, which clients do wait for.
func (r *recorder) waitForBatch(ctx context.Context) {
	end := r.end()
	if end > r.recorded.value()+farBehind {
		return // behind already
	}
	began := time.Now()
	for steps := 1; time.Since(began) < burstDelay; steps = burstSteps {
		t := time.NewTimer(time.Duration(steps) * recordDelay)
		select {
		case <-r.recorded.wanted:
			t.Stop()
			return
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		before := end
		end = r.end()
		if end < before+uint64(steps*burstRecords) || r.l.pending.size() > r.l.cfg.MaxPendingBytes/burstShare {
			return
		}
	}
}

// end is the end of the topic, or where the rows stand if it cannot be told.
func (r *recorder) end() uint64 {
	end, err := r.l.broker.End(r.topic)
	if err != nil {
		return r.recorded.value()
	}
	return end
}

// record makes rows of the batch.
func (r *recorder) record(ctx context.Context, batch []broker.Message) error {
	rows := r.decode(batch, func(m broker.Message, err error) {
		// What this program cannot read must not hold up the records behind it. It stays in the log, and a
		// worker puts it among the dead letters, where people see it.
		r.l.cfg.Logger.Error("a record cannot be read", "topic", r.topic, "offset", m.Offset, "err", err)
		r.l.logPanic(err)
		r.l.metrics.unreadable.Inc()
	})
	if err := r.deriveAll(ctx, rows); err != nil {
		return err
	}
	r.known.add(rows)
	last := batch[len(batch)-1]
	if err := r.l.store.Record(r.l.writing(ctx, r.topic), r.topic, rows, store.Watermark{Next: last.Offset + 1, Check: check(last)}); err != nil {
		return err
	}
	r.recorded.advance(last.Offset + 1)
	r.l.pending.forget(r.topic, last.Offset+1)
	return nil
}

// decodeRecord reads a record of the log. A panic of its kind is an error as any other.
func decodeRecord(m broker.Message) (s tasks.Submission, err error) {
	err = tasks.Guard(func() error {
		s, err = tasks.DecodeSubmission(m.Payload)
		return err
	})
	return s, err
}

// decode reads the records of the batch; those that cannot be read it leaves out and tells of.
func (r *recorder) decode(batch []broker.Message, unreadable func(broker.Message, error)) []tasks.Recorded {
	rows := make([]tasks.Recorded, 0, len(batch))
	for _, m := range batch {
		s, err := decodeRecord(m)
		if err != nil {
			r.known.setUnsure()
			unreadable(m, err)
			continue
		}
		rows = append(rows, tasks.Recorded{Offset: m.Offset, Submission: s})
	}
	return rows
}

// check identifies a record, so that rows notice when the log below them is another one.
func check(m broker.Message) string {
	sum := sha256.Sum256(m.Payload)
	return fmt.Sprintf("%d-%s", m.Time.UnixMicro(), hex.EncodeToString(sum[:8]))
}

// setFailure remembers how the last try went and logs a change.
func (r *recorder) setFailure(err error) {
	r.mu.Lock()
	changed := (r.err == nil) != (err == nil)
	r.err = err
	r.mu.Unlock()
	switch {
	case changed && err != nil:
		r.l.cfg.Logger.Error("recording has stopped and will be tried again", "topic", r.topic, "err", err)
		r.l.logPanic(err)
	case changed:
		r.l.cfg.Logger.Info("recording goes on", "topic", r.topic)
	}
}

func (r *recorder) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
