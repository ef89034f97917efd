package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// Accept publishes s once per key. A write that has begun goes on when ctx ends: whoever hands in the same meanwhile waits
// for it.
func (l *Ledger) Accept(ctx context.Context, s tasks.Submission) (dispatcher.Receipt, error) {
	return l.acceptAndDerive(ctx, s, nil)
}

// acceptAndDerive is Accept; the record is written with those of others if with says so.
func (l *Ledger) acceptAndDerive(ctx context.Context, s tasks.Submission, with *gathered) (dispatcher.Receipt, error) {
	if l.ctx.Err() != nil {
		return dispatcher.Receipt{}, dispatcher.ErrClosed
	}
	topic := s.Kind.Topic
	if topic == "" {
		return dispatcher.Receipt{}, fmt.Errorf("a %s has no topic of its own", s.Kind.Name)
	}
	receipt, err := l.accept(ctx, topic, s, with)
	if err != nil || receipt.Replayed {
		// They were stored for nothing, unless the write is still under way: then pending names them.
		l.originals.addCandidates(originalsOf(s.Content)...)
	}
	if err == nil && !receipt.Replayed {
		l.tellReceived(ctx, s, receipt)
		if late := l.derive(ctx, s); late != nil {
			l.cfg.Logger.Warn("what follows from a submission is accepted when its row is made", "err", late)
		}
	}
	return receipt, err
}

// records are buffers for records on their way to the log.
var records = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the largest buffer that is kept.
const maxPooled = 16 << 10

// Record is Accept of what a task has done, and returns when its row is there: whoever sees the task finished sees this, too.
func (l *Ledger) Record(ctx context.Context, s tasks.Submission) error {
	got, err := l.Accept(ctx, s)
	if err != nil {
		return err
	}
	open, cancel := l.untilClosed(ctx)
	defer cancel()
	// What was found in the rows has no sequence here.
	if err := l.recorders[s.Kind.Topic].recorded.wait(open, got.Sequence+1); err != nil {
		return fmt.Errorf("wait for the row of %s: %w", s.Content.Key(), l.closedError(ctx))
	}
	return nil
}

func (l *Ledger) accept(ctx context.Context, topic string, s tasks.Submission, with *gathered) (dispatcher.Receipt, error) {
	ahead, err := l.broker.End(tasks.TopicImages)
	if err != nil {
		return dispatcher.Receipt{}, fmt.Errorf("end of %s: %w", tasks.TopicImages, err)
	}
	if s.Kind.IsSubmission() {
		s.ImagesEnd = ahead
	}
	s.ReceivedAt = now()
	buffer := records.Get().(*[]byte)
	record, err := s.Append((*buffer)[:0])
	if err != nil {
		return dispatcher.Receipt{}, err
	}
	if with == nil && cap(record) <= maxPooled { // else others may write it after this call
		*buffer = record
		defer records.Put(buffer) // the log copies what it takes
	}
	key := keyOf(s)
	for {
		e, owner := l.pending.add(key, int64(len(record)+entryOverhead), l.maxPending(s.Kind), originalsOf(s.Content))
		switch {
		case owner:
			return l.acceptOwned(ctx, topic, e, s, record, with)
		case e == nil:
			return dispatcher.Receipt{}, dispatcher.ErrOverloaded
		}
		with.leave()
		select {
		case <-e.done:
		case <-ctx.Done():
			return dispatcher.Receipt{}, ctx.Err()
		}
		switch {
		case errors.Is(e.err, dispatcher.ErrOutcomeUnknown) && e.receipt.SHA256 == s.SHA256:
			return dispatcher.Receipt{}, e.err
		case errors.Is(e.err, dispatcher.ErrOutcomeUnknown): // this content is not there; what may be there would be in its way
			return dispatcher.Receipt{}, fmt.Errorf("%w: a write under the same id failed, and the log takes no more", dispatcher.ErrUnavailable)
		case e.err != nil:
			continue // the first one was not accepted: this one tries for itself
		}
		receipt, err := replay(e.receipt, s.SHA256)
		if err != nil || !s.Kind.Rows.Repeat {
			return receipt, err
		}
		// The same content is to be recorded again, in the order in which it came: once the first one is.
		l.recorders[topic].recorded.want()
		if err := l.recorded(ctx, e); err != nil {
			return dispatcher.Receipt{}, err
		}
	}
}

// maxPending returns how many bytes may be pending in all for one more submission of the kind to be let in. A share is kept
// for reserved lanes, so that a burst of anything else does not refuse what must not be refused: neither work of such a lane
// nor what is recorded about it in its topic, such as the acknowledgement of an adverse event. And one is kept from what comes in
// bursts, so that questionnaires stop no case report.
func (l *Ledger) maxPending(k *tasks.Kind) int64 {
	all, share := l.cfg.MaxPendingBytes, l.cfg.MaxPendingBytes/keptShare
	if len(l.cfg.Reserved) > 0 && !l.isReserved(k.Topic) {
		all -= share
	}
	if slices.Contains(l.cfg.Batched, k.Lane) {
		all -= share
	}
	return all
}

// isReserved reports whether the topic has work of a reserved lane.
func (l *Ledger) isReserved(topic string) bool {
	return slices.ContainsFunc(tasks.Kinds(), func(k *tasks.Kind) bool { return k.Topic == topic && slices.Contains(l.cfg.Reserved, k.Lane) })
}

// writing is ctx for writes about records of the topic: those about work of a reserved lane go before others.
func (l *Ledger) writing(ctx context.Context, topic string) context.Context {
	if l.isReserved(topic) {
		return store.Urgent(ctx)
	}
	return ctx
}

// recorded waits until the entry is no longer pending.
func (l *Ledger) recorded(ctx context.Context, e *entry) error {
	return l.waitBounded(ctx, func(ctx context.Context) error {
		select {
		case <-e.gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// waitBounded waits for rows, for no longer than CaughtUpTimeout. Its error is ctx's, ErrBehind or ErrClosed, or else
// that of wait.
func (l *Ledger) waitBounded(ctx context.Context, wait func(context.Context) error) error {
	open, cancel := l.untilClosed(ctx)
	defer cancel()
	waiting, stop := context.WithTimeout(open, l.cfg.CaughtUpTimeout)
	defer stop()
	err := wait(waiting)
	switch {
	case err == nil || waiting.Err() == nil:
		return err
	case open.Err() != nil:
		return fmt.Errorf("%w: %w", l.closedError(ctx), err)
	default: // without the deadline's own error, which would stand for an outcome that is unknown
		return fmt.Errorf("%w: %v", dispatcher.ErrBehind, err) //nolint:errorlint // see above
	}
}

// acceptOwned decides about s, which nobody else with its key can do meanwhile.
func (l *Ledger) acceptOwned(ctx context.Context, topic string, e *entry, s tasks.Submission, record []byte, with *gathered) (dispatcher.Receipt, error) {
	begun := false
	defer func() {
		if !begun { // after a panic nobody must wait for it
			l.pending.dropUnended(e, dispatcher.ErrUnavailable)
		}
	}()
	earlier, err := l.find(ctx, topic, s)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		l.pending.drop(e, dispatcher.Receipt{}, err)
		return dispatcher.Receipt{}, err
	}
	if known {
		receipt, err := replay(earlier, s.SHA256)
		if err != nil || !s.Kind.Rows.Repeat {
			l.pending.drop(e, earlier, nil)
			return receipt, err
		}
	}
	receipt := dispatcher.Receipt{ID: s.Content.Header().ID, SHA256: s.SHA256, ReceivedAt: s.ReceivedAt, Content: s.Content}
	if s.Kind.IsSubmission() {
		receipt.Status = tasks.Accepted
	}
	begin := func() (writing, error) { return with.begin(ctx, l, topic, message(s.Ref(), record)) }
	if with == nil && !s.Kind.IsSubmission() {
		begin = func() (writing, error) {
			w, at, err := l.beginInTurn(ctx, topic, s, record)
			receipt.ReceivedAt = at
			return w, err
		}
	}
	offset, err := l.publish(ctx, topic, begin, func(offset uint64, err error) {
		if err != nil {
			if errors.Is(err, dispatcher.ErrOutcomeUnknown) {
				l.pending.keepUnknown(e, s.SHA256, err)
				return
			}
			l.pending.drop(e, dispatcher.Receipt{}, err)
			l.originals.addCandidates(e.originals...)
			return
		}
		stored := receipt
		stored.Sequence = offset
		l.pending.keep(topic, l.recorders[topic].recorded, e, stored)
	})
	begun = true
	if err != nil {
		return dispatcher.Receipt{}, err
	}
	receipt.Sequence, receipt.Replayed = offset, known
	return receipt, nil
}

// find asks the rows, unless the key is known to be new, once these show everything that an earlier process accepted: what this process accepted
// is pending until the rows have it.
func (l *Ledger) find(ctx context.Context, topic string, s tasks.Submission) (dispatcher.Receipt, error) {
	if s.Fresh {
		return dispatcher.Receipt{}, store.ErrNotFound
	}
	if r := l.recorders[topic]; s.Kind.IsSubmission() && r.recorded.value() >= r.endAtStart && r.known.lacks(keyOf(s)) {
		return dispatcher.Receipt{}, store.ErrNotFound
	}
	err := l.waitBounded(ctx, func(ctx context.Context) error {
		if !s.Kind.IsSubmission() {
			return l.caughtUpIn(ctx, append([]string{topic}, s.Kind.ChangedBy...)) // it may have come with a submission, on another topic
		}
		return l.caughtUpToStart(ctx, topic)
	})
	if err != nil {
		return dispatcher.Receipt{}, err
	}
	compared := l.isCompared()
	found, err := l.store.Find(ctx, s)
	if errors.Is(err, store.ErrNotFound) && !compared {
		if err := l.waitBounded(ctx, l.waitCompared); err != nil {
			return dispatcher.Receipt{}, err
		}
		found, err = l.store.Find(ctx, s)
	}
	if err != nil {
		return dispatcher.Receipt{}, err
	}
	return l.first(ctx, topic, s, found)
}

// replay answers a submission whose key was accepted before.
func replay(earlier dispatcher.Receipt, offered string) (dispatcher.Receipt, error) {
	if earlier.SHA256 != offered {
		return dispatcher.Receipt{}, &dispatcher.ConflictError{ID: earlier.ID, Stored: earlier.SHA256, Offered: offered}
	}
	earlier.Replayed = true
	return earlier, nil
}

// message is a record as it is published.
func message(about tasks.Ref, record []byte) broker.Message {
	return broker.Message{Key: about.Kind + "/" + about.ID, Payload: record}
}

// beginInTurn begins to write what is recorded about a submission, with the time of that moment, which it returns: buffer is
// written over. One of a topic goes at a time, so that times have the order of the log; one whose log waits for the disk holds up no
// other topic. Such a record may have waited for rows, and the step of a case that came a moment later need not: with the times at
// which they came, the timeline would go backwards.
func (l *Ledger) beginInTurn(ctx context.Context, topic string, s tasks.Submission, buffer []byte) (writing, time.Time, error) {
	turn := l.recorders[topic].stamping
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return writing{}, time.Time{}, ctx.Err()
	}
	s.ReceivedAt = now()
	record, err := s.Append(buffer[:0])
	if err != nil {
		return writing{}, time.Time{}, err
	}
	pending, err := l.broker.Enqueue(ctx, topic, []broker.Message{message(s.Ref(), record)}, nil)
	return writing{alone: pending}, s.ReceivedAt, err
}

// publish writes the record that begin begins to write, and calls ended with the outcome. When ctx ends before, as where the
// disk hangs, it returns ctx's error: then the outcome is not known yet, and the write goes on until the record is on stable
// storage or the log is poisoned. Only then is there a goroutine that waits for it.
func (l *Ledger) publish(ctx context.Context, topic string, begin func() (writing, error), ended func(uint64, error)) (uint64, error) {
	if !l.beginUntilClosed() {
		ended(0, dispatcher.ErrClosed)
		return 0, dispatcher.ErrClosed
	}
	left := false
	defer func() {
		if !left {
			l.wg.Done()
		}
	}()
	w, err := begin()
	if err != nil { // nothing was stored
		err = publishError(topic, err)
		ended(0, err)
		return 0, err
	}
	offset, err := w.wait(ctx)
	if err != nil && errors.Is(err, ctx.Err()) {
		left = true
		go func() {
			defer l.wg.Done()
			offset, err := w.wait(context.WithoutCancel(ctx))
			ended(offset, publishError(topic, err))
		}()
		return 0, publishError(topic, err)
	}
	err = publishError(topic, err)
	ended(offset, err)
	return offset, err
}

// writing is a record on its way to the log, alone or with others.
type writing struct {
	alone broker.Pending
	with  *gathering // nil: alone
	place int        // in with
}

// wait returns the record's offset when it is on stable storage. It ends with ctx, the write does not.
func (w *writing) wait(ctx context.Context) (uint64, error) {
	if w.with == nil {
		return w.alone.First, waitError(w.alone.Wait(ctx))
	}
	select {
	case <-w.with.written:
	case <-ctx.Done():
		select {
		case <-w.with.written: // after all
		default:
			return 0, ctx.Err()
		}
	}
	return w.with.offsets[w.place], w.with.errs[w.place]
}

// waitError says of an error of a write that had begun whether the record may be there all the same. One that was refused
// before it began is not.
func waitError(err error) error {
	if errors.Is(err, commitlog.ErrPoisoned) {
		return fmt.Errorf("%w: %w", dispatcher.ErrOutcomeUnknown, err)
	}
	return err
}

// publishError says of an error of the log whether it may pass.
func publishError(topic string, err error) error {
	if errors.Is(err, commitlog.ErrPoisoned) || errors.Is(err, commitlog.ErrNotPrepared) || errors.Is(err, broker.ErrClosed) {
		err = fmt.Errorf("%w: %w", dispatcher.ErrUnavailable, err)
	}
	if err != nil {
		err = fmt.Errorf("publish to %s: %w", topic, err)
	}
	return err
}

// Restart publishes a request to retry: so it survives as surely as the submission did. One call at a time does so: where
// the disk hangs, a call that is given up leaves its write under way, and the next ones wait for that.
func (l *Ledger) Restart(ctx context.Context, of tasks.Ref) (tasks.Status, error) {
	if l.ctx.Err() != nil {
		return "", dispatcher.ErrClosed
	}
	err := l.waitBounded(ctx, func(ctx context.Context) error {
		select {
		case l.restarting <- struct{}{}:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for an earlier retry to be stored: %w", ctx.Err())
		}
	})
	if err != nil {
		return "", err
	}
	ended := sync.OnceFunc(func() { <-l.restarting })
	status, begun, err := l.restart(ctx, of, ended)
	if !begun {
		ended()
	}
	if err != nil {
		return status, err
	}
	return status, l.waitBounded(ctx, l.caughtUp)
}

// restart is Restart for the one whose turn it is. It reports whether a write has begun, which calls ended at its end.
func (l *Ledger) restart(ctx context.Context, of tasks.Ref, ended func()) (was tasks.Status, begun bool, err error) {
	if err := l.waitBounded(ctx, l.caughtUp); err != nil {
		return "", false, err
	}
	row, err := l.store.Get(ctx, of)
	if err != nil {
		return "", false, err
	}
	if row.Status != tasks.Failed {
		return row.Status, false, dispatcher.ErrNotFailed
	}
	if row.Suspect { // it has failed because the process died of it: it must not run beside others now
		l.suspect(of)
	}
	return row.Status, true, l.requeue(ctx, row.Kind, tasks.NewRetry(of, row.Attempts), ended)
}

// requeue publishes a delivery more of a submission. ended is called when the write has ended, which may be later.
func (l *Ledger) requeue(ctx context.Context, k *tasks.Kind, r tasks.Retry, ended func()) error {
	s := tasks.NewSubmission(tasks.KindRetry(), r)
	s.ReceivedAt = now()
	record, err := s.Encode()
	if err != nil {
		ended()
		return err
	}
	alone := func() (writing, error) { return (*gathered)(nil).begin(ctx, l, k.Topic, message(r.Ref(), record)) }
	_, err = l.publish(ctx, k.Topic, alone, func(uint64, error) { ended() })
	return err
}

// now is the present as the log and the rows keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// originalsOf returns the digests of the originals that a submission brought.
func originalsOf(c tasks.Content) []string {
	if b, ok := c.(interface{ Originals() []string }); ok {
		return b.Originals()
	}
	return nil
}
