package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// MismatchError says that the log and the rows of a data folder do not belong together. Nothing was changed.
type MismatchError struct {
	Topic  string
	Reason string
	Cure   string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("topics/%s and casepress.db do not belong together: %s. %s", e.Topic, e.Reason, e.Cure)
}

const (
	cureOlderLog = "The log is older than the rows: put back the newer topics folder. If it is lost, move casepress.db* away and start: rows are made again from the log, and what only the newer log had is lost"

	cureOtherLog = "One of the two is of another data folder: put back the pair that belongs together"
	cureNoStart  = "Put back the missing segments"
)

// recover checks that log and rows belong together and prepares the recorders; then it sees to what was in work
// when an earlier process died.
func (l *Ledger) recover(ctx context.Context) error {
	for _, topic := range tasks.Topics() {
		if err := l.checkTopic(ctx, topic); err != nil {
			return err
		}
	}
	if err := l.checkEvents(ctx); err != nil {
		return err
	}
	// Now that all were found to belong together, something may be changed.
	for _, topic := range tasks.Topics() {
		r, err := l.newRecorder(ctx, topic)
		if err != nil {
			return err
		}
		l.recorders[topic] = r
	}
	if err := l.openEvents(ctx); err != nil {
		return err
	}
	for topic := range l.recorders {
		l.deleteOldGroup(topic)
	}
	found, err := l.store.Recover(ctx, l.cfg.MaxCrashes)
	if err != nil {
		return fmt.Errorf("recover rows: %w", err)
	}
	suspects, err := l.store.Suspects(ctx)
	if err != nil {
		return fmt.Errorf("suspects: %w", err)
	}
	for _, ref := range suspects {
		l.suspects[ref] = true
		k, err := tasks.KindOf(ref.Kind)
		if err != nil {
			return fmt.Errorf("suspects: %w", err)
		}
		if slices.Contains(l.cfg.Reserved, k.Lane) {
			l.gate.expect(ref)
		}
	}
	if found.Interrupted > 0 {
		l.cfg.Logger.Warn("the last process ended while it was at work", "submissions", found.Interrupted, "failed", len(found.Failed))
	}
	for _, row := range found.Failed {
		l.cfg.Logger.Error("a submission has failed", "kind", row.Kind.Name, "id", row.ID, "err", row.Error)
	}
	return nil
}

// checkTopic returns a *MismatchError unless the topic's log and the rows belong together, or can be made to.
func (l *Ledger) checkTopic(ctx context.Context, topic string) error {
	info, mark, err := l.standing(ctx, topic)
	if err != nil || completionsLost(info, mark) {
		return err
	}
	return l.checkMark(info, mark)
}

// standing is where the topic's log and rows stand.
func (l *Ledger) standing(ctx context.Context, topic string) (info broker.TopicInfo, mark store.Watermark, err error) {
	if info, err = l.broker.Topic(topic); err != nil {
		return info, mark, err
	}
	// Where the rows tell of no watermark, they were lost, or a version of the program wrote them that kept none: they
	// are recorded from the start of the log. Where the rows stood only they know; recording again changes nothing.
	if mark, _, err = l.store.Watermark(ctx, topic); err != nil {
		return info, mark, fmt.Errorf("watermark of %s: %w", topic, err)
	}
	return info, mark, nil
}

func (l *Ledger) newRecorder(ctx context.Context, topic string) (*recorder, error) {
	info, mark, err := l.standing(ctx, topic)
	if err != nil {
		return nil, err
	}
	if completionsLost(info, mark) {
		if err := l.restoreCompletions(ctx, info); err != nil {
			return nil, err
		}
		if info, mark, err = l.standing(ctx, topic); err != nil {
			return nil, err
		}
	}
	return &recorder{l: l, topic: topic, known: newKnown(), compare: [2]uint64{info.Start, mark.Next}, endAtStart: info.End, recorded: newWatermark(mark.Next), stamping: make(chan struct{}, 1)}, nil
}

// deleteOldGroup deletes the group by which earlier versions of the program kept how far the rows had come. Nobody
// moves it any more, so it would hold back retention.
func (l *Ledger) deleteOldGroup(topic string) {
	err := l.broker.DeleteGroup(topic, oldGroupRecords)
	switch {
	case err == nil:
		l.cfg.Logger.Info("deleted a group that is not needed any more", "topic", topic, "group", oldGroupRecords)
	case !errors.Is(err, broker.ErrNoGroup): // such as of a full disk; the next start tries again
		l.cfg.Logger.Warn("a group that is not needed any more could not be deleted", "topic", topic, "group", oldGroupRecords, "err", err)
	}
}

func (l *Ledger) checkMark(info broker.TopicInfo, mark store.Watermark) error {
	switch {
	case mark.Next > info.End:
		return &MismatchError{info.Topic, fmt.Sprintf("the rows have come to record %d, the log ends at %d", mark.Next, info.End), cureOlderLog}
	case mark.Next < info.Start:
		return &MismatchError{info.Topic, fmt.Sprintf("the rows have come to record %d, the log begins at %d", mark.Next, info.Start), cureNoStart}
	case mark.Check == "" || mark.Next == info.Start:
		return nil
	}
	m, err := l.broker.Read(info.Topic, mark.Next-1)
	if err != nil {
		return fmt.Errorf("read record %d of %s: %w", mark.Next-1, info.Topic, err)
	}
	if check(m) != mark.Check {
		return &MismatchError{info.Topic, fmt.Sprintf("record %d of the log is not the one that the rows were made of", mark.Next-1), cureOtherLog}
	}
	return nil
}

// requeueBatch is how many unfinished rows are looked at in one query.
const requeueBatch = 512

// requeueLost gives every unfinished submission a delivery again whose own was acknowledged: its result was lost
// with a part of the rows. It looks once, when the rows show all that earlier processes accepted.
func (l *Ledger) requeueLost(ctx context.Context) {
	if l.caughtUpToStart(ctx, tasks.Topics()...) != nil {
		return // shutting down
	}
	for _, k := range tasks.Kinds() {
		for k.IsSubmission() {
			n, err := l.requeueLostOf(ctx, k)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				if n > 0 {
					l.cfg.Logger.Warn("results were lost, and the work is done again", "kind", k.Name, "submissions", n)
				}
				break
			}
			l.cfg.Logger.Error("lost work could not be looked for and will be looked for again", "kind", k.Name, "err", err)
			if !sleep(ctx, failureDelay) {
				return
			}
		}
	}
}

func (l *Ledger) requeueLostOf(ctx context.Context, k *tasks.Kind) (requeued int, err error) {
	end := l.recorders[k.Topic].endAtStart
	for after := store.FromStart; ; {
		due, err := l.store.Unfinished(ctx, k, after, requeueBatch)
		if err != nil {
			return requeued, err
		}
		for _, d := range due {
			if d.Sequence >= end {
				return requeued, nil // accepted by this process
			}
			if d.DueSequence >= end {
				continue // queued again by this process
			}
			lost, err := l.isLost(ctx, k, d)
			if err != nil {
				return requeued, err
			}
			if lost {
				if err := l.requeue(ctx, k, tasks.NewRetry(d.Ref, d.Attempts), func() {}); err != nil {
					return requeued, err
				}
				l.metrics.requeued.Inc()
				requeued++
			}
		}
		if len(due) < requeueBatch {
			return requeued, nil
		}
		after = due[len(due)-1].Sequence
	}
}

// isLost reports whether the submission is unfinished although its delivery was acknowledged.
func (l *Ledger) isLost(ctx context.Context, k *tasks.Kind, d store.Due) (bool, error) {
	done, err := l.broker.Acknowledged(k.Topic, groupWorkers, d.DueSequence)
	if err != nil || !done {
		return false, err
	}
	// It may have been finished between the two looks.
	row, err := l.store.Get(ctx, d.Ref)
	return err == nil && !row.Status.Final(), err
}
