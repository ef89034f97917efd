package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// compareTime is how long after the start an id that the rows do not know is not taken for free, unless they were all
// compared with the log before. BenchmarkWith100000Reports/Compare says how many are compared in this time: some 20,000
// on a busy machine with two cores.
const compareTime = 2 * time.Second

// compareAgain is how long after a comparison that has failed, and not because of what it has found, the next one begins.
const compareAgain = time.Minute

// compare looks once, in the background, whether the rows have what the log says. Parts of a database may be of
// another time than the rest, and the database does not know: a file put back beside a write-ahead log that it does
// not belong to, a page that a disk never wrote. An id that was lost in this way must not be taken again, and so what
// is not found waits for the answer.
func (l *Ledger) compare(ctx context.Context) error {
	long := time.AfterFunc(compareTime, func() { close(l.compared) })
	err := l.compareAll(ctx)
	l.setUncompared(ctx, err)
	if long.Stop() {
		close(l.compared)
	}
	return err
}

// compareUntilKnown goes on after a comparison that returned err, until one has told whether rows and log agree: a read that failed
// once must not keep the ledger from being ready until a restart.
func (l *Ledger) compareUntilKnown(ctx context.Context, err error) {
	for mayPass(err) && sleep(ctx, compareAgain) {
		err = l.compareAll(ctx)
		l.setUncompared(ctx, err)
	}
}

// mayPass reports whether an error of a comparison says nothing of rows and log themselves.
func mayPass(err error) bool {
	_, log := errors.AsType[*LogDamageError](ExplainDamage(err))
	_, panicked := errors.AsType[*tasks.PanicError](err)
	return err != nil && !log && !panicked && !errors.Is(err, store.ErrDamaged)
}

// setUncompared makes the ledger ready after a comparison without an error, and else not: until a restart, or until the error has
// passed. A panic counts for nothing: it is of one submission, which needs another version of the program.
func (l *Ledger) setUncompared(ctx context.Context, err error) {
	if err == nil {
		l.uncompared.Store(nil)
		return
	}
	if ctx.Err() != nil {
		return
	}
	err = ExplainDamage(err)
	l.cfg.Logger.Error("rows and log do not agree, or could not be compared", "err", err)
	if _, panicked := errors.AsType[*tasks.PanicError](err); !panicked {
		l.uncompared.Store(&err)
	}
}

func (l *Ledger) compareAll(ctx context.Context) error {
	for _, topic := range tasks.Topics() {
		r := l.recorders[topic]
		if err := r.compareRows(ctx); err != nil {
			return fmt.Errorf("compare rows with topics/%s: %w", topic, err)
		}
		if r.compare[0] == 0 { // else records are gone whose keys are taken
			r.known.setWhole()
		}
	}
	return nil
}

// compareRows reads the records that earlier processes made rows of. The store remembers what it finds.
func (r *recorder) compareRows(ctx context.Context) error {
	return r.l.eachRecord(ctx, r.topic, r.compare[0], r.compare[1], func(records []broker.Message) error {
		rows := r.decode(records, func(broker.Message, error) {})
		r.known.add(rows)
		return r.l.store.Compare(ctx, rows)
	})
}

// waitCompared waits until rows and log have been compared, or that takes long.
func (l *Ledger) waitCompared(ctx context.Context) error {
	select {
	case <-l.compared:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isCompared reports whether waitCompared would not wait.
func (l *Ledger) isCompared() bool {
	select {
	case <-l.compared:
		return true
	default:
		return false
	}
}

// first returns the receipt of a submission that is in the rows, once they agree with its record in the log, whose
// bytes are checked whenever they are read. A record that is gone or cannot be read says nothing: what is wrong with
// the log is told elsewhere, and the row has a digest too.
func (l *Ledger) first(ctx context.Context, topic string, s tasks.Submission, found store.Found) (dispatcher.Receipt, error) {
	receipt := dispatcher.Receipt{
		ID: s.Content.Header().ID, SHA256: found.SHA256, Sequence: found.Sequence, ReceivedAt: found.ReceivedAt,
		Status: found.Status, Content: found.Content,
	}
	if !s.Kind.IsSubmission() {
		return receipt, nil
	}
	m, err := l.broker.Read(topic, found.Sequence)
	if end, _ := l.broker.End(topic); err != nil && found.Sequence < end {
		return receipt, nil
	}
	recorded, unreadable := decodeRecord(m)
	if err == nil && unreadable != nil {
		return receipt, nil
	}
	if err != nil || !recorded.Kind.IsSubmission() || recorded.Ref() != s.Ref() {
		recorded = s // the row names a record that is not its own: it cannot be what was received at this moment
	}
	return receipt, l.store.Compare(ctx, []tasks.Recorded{{Offset: found.Sequence, Submission: recorded}})
}
