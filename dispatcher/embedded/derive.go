package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"casepress/dispatcher"
	"casepress/tasks"
)

// What follows from a submission, such as the adverse event of an urgent flag, is accepted twice over: at once when the
// submission was accepted, so that it waits behind nothing; and by the recorder before it makes the submission's row.
// The first may be lost with the process. The second cannot: a record stays due until its row has committed. Keys are
// made of the submission's own, so that what follows is there once.

// derivingFirst returns all topics, first those from whose records others follow: once their rows are there, so are the
// records that follow.
func derivingFirst() []string {
	var all []string
	for _, k := range tasks.Kinds() {
		if k.Derive != nil && !slices.Contains(all, k.Topic) {
			all = append(all, k.Topic)
		}
	}
	for _, topic := range tasks.Topics() {
		if !slices.Contains(all, topic) {
			all = append(all, topic)
		}
	}
	return all
}

// derive accepts what follows from a submission that is on stable storage.
func (l *Ledger) derive(ctx context.Context, s tasks.Submission) error {
	if s.Kind.Derive == nil {
		return nil
	}
	var derived []tasks.Submission
	err := tasks.Guard(func() error {
		derived = s.Kind.Derive(s.Content)
		return nil
	})
	if err != nil {
		return fmt.Errorf("what follows from %s %s: %w", s.Kind.Name, s.Content.Key(), err)
	}
	for _, d := range derived {
		_, err := l.Accept(ctx, d)
		if conflict, ok := errors.AsType[*dispatcher.ConflictError](err); ok {
			// What is stored is there to be looked at, and never changes.
			l.cfg.Logger.Error("what follows from a submission was accepted before with other content",
				"kind", d.Kind.Name, "id", d.Content.Key(), "of", s.Content.Key(), "err", conflict)
			continue
		}
		if err != nil {
			return fmt.Errorf("accept the %s that follows from %s %s: %w", d.Kind.Name, s.Kind.Name, s.Content.Key(), err)
		}
	}
	return nil
}

// deriveAll accepts what follows from records that are about to become rows.
func (r *recorder) deriveAll(ctx context.Context, rows []tasks.Recorded) error {
	for _, one := range rows {
		err := r.l.derive(ctx, one.Submission)
		if _, panicked := errors.AsType[*tasks.PanicError](err); panicked {
			// It must not hold up the records behind it, and would panic again.
			r.l.cfg.Logger.Error("what follows from a record cannot be made", "topic", r.topic, "offset", one.Offset, "err", err)
			r.l.logPanic(err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
