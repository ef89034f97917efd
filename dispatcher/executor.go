package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"casepress/tasks"
)

// endTimeout bounds the writes that end an attempt. They do not end with the attempt's own context: a result
// that was computed must not be lost because a shutdown began a moment earlier.
const endTimeout = 30 * time.Second

// errDraining is the cause of the end of a task's context when the service stops.
var errDraining = errors.New("shutting down")

// executor runs the tasks of claims and ends their attempts: completed, failed, to be retried, or given back.
type executor struct {
	ledger  Ledger
	newTask func(tasks.Work) (tasks.Task, error)
	policy  RetryPolicy
	// draining reports whether nothing new is to be begun.
	draining func() bool
	metrics  *metrics
	log      *slog.Logger
}

// run executes every claim in turn and ends its attempt. What is completed is completed together at the end.
// Once the drain has begun, those that were not begun are given back.
func (e *executor) run(ctx context.Context, claims []Claim, timeout time.Duration) {
	defer e.recoverPanic(ctx, claims)
	var done []Completion
	for i, c := range claims {
		if e.draining() || context.Cause(ctx) != nil {
			e.giveBack(ctx, claims[i:])
			break
		}
		start := time.Now()
		result, err := e.execute(ctx, c, timeout)
		e.metrics.seconds.WithLabelValues(c.Row.Kind.Name, "task").Observe(time.Since(start).Seconds())
		if err == nil {
			done = append(done, Completion{Claim: c, Result: result})
			continue
		}
		e.endFailed(ctx, c, err)
	}
	e.complete(ctx, done)
}

// execute runs the task within the time limit, if it is above 0. A panic fails the attempt, never the process.
func (e *executor) execute(ctx context.Context, c Claim, timeout time.Duration) (result tasks.Result, err error) {
	if timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the attempt took longer than %v", timeout))
		defer cancel()
		ctx = limited
	}
	defer func() {
		if p := recover(); p != nil {
			e.metrics.panics.WithLabelValues(c.Row.Kind.Name).Inc()
			e.log.Error("a task panicked", "kind", c.Row.Kind.Name, "id", c.Row.ID, "panic", tasks.PanicText(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("the task panicked with %s; the server's log says where, under the same id", tasks.PanicText(p))
		}
	}()
	task, err := e.newTask(tasks.Work{
		Submission: tasks.Submission{Kind: c.Row.Kind, ReceivedAt: c.Row.ReceivedAt, SHA256: c.Row.SHA256, Content: c.Row.Content},
		Sequence:   c.Row.Sequence, Attempt: c.Attempt,
		Progress: func(done, total int) { e.ledger.Progress(c, done, total) },
	})
	if err != nil {
		return nil, err
	}
	result, err = task.Execute(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return result, err
}

// recoverPanic keeps a panic outside of a task, such as in a kind's event, from ending the process: whatever of the
// claims has not ended is tried again.
func (e *executor) recoverPanic(ctx context.Context, claims []Claim) {
	p := recover()
	if p == nil {
		return
	}
	e.log.Error("ending attempts panicked", "panic", tasks.PanicText(p), "stack", string(debug.Stack()))
	end, cancel := ending(ctx)
	defer cancel()
	for _, c := range claims {
		e.metrics.panics.WithLabelValues(c.Row.Kind.Name).Inc()
		cause := reason(fmt.Errorf("the end of the attempt panicked with %s; the server's log says where", tasks.PanicText(p)))
		err := e.ledger.Retry(end, c, cause, e.policy.Pause(c.Attempt-c.Row.BaseAttempts))
		if !errors.Is(err, ErrStale) { // those that had ended before are stale by now
			e.countEnd(c, outcomeRetried, err)
		}
	}
}

// ending returns a context for the writes that end an attempt.
func ending(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
}

func (e *executor) complete(ctx context.Context, done []Completion) {
	if len(done) == 0 {
		return
	}
	end, cancel := ending(ctx)
	defer cancel()
	for i, err := range e.ledger.Complete(end, done) {
		if errors.Is(err, ErrBadResult) { // the task is to blame, as if it had returned an error
			e.endFailed(ctx, done[i].Claim, err)
			continue
		}
		e.countEnd(done[i].Claim, outcomeCompleted, err)
	}
}

// endFailed ends an attempt that returned an error.
func (e *executor) endFailed(ctx context.Context, c Claim, cause error) {
	if errors.Is(context.Cause(ctx), errDraining) {
		e.giveBack(ctx, []Claim{c})
		return
	}
	end, cancel := ending(ctx)
	defer cancel()
	used := c.Attempt - c.Row.BaseAttempts
	if e.policy.Exhausted(used, cause) {
		e.log.Error("a submission has failed", "kind", c.Row.Kind.Name, "id", c.Row.ID, "attempt", c.Attempt, "err", cause)
		e.countEnd(c, outcomeFailed, e.ledger.Fail(end, c, reason(cause)))
		return
	}
	after := e.policy.Pause(used)
	e.log.Warn("an attempt has failed", "kind", c.Row.Kind.Name, "id", c.Row.ID, "attempt", c.Attempt, "nextIn", after, "err", cause)
	e.countEnd(c, outcomeRetried, e.ledger.Retry(end, c, reason(cause), after))
}

// giveBack makes interrupted attempts as if they had never been: a shutdown costs nothing.
func (e *executor) giveBack(ctx context.Context, claims []Claim) {
	end, cancel := ending(ctx)
	defer cancel()
	err := e.ledger.GiveBack(end, claims)
	for _, c := range claims {
		e.countEnd(c, outcomeInterrupted, err)
	}
}

// countEnd counts the end of an attempt. An error other than ErrStale leaves the submission due again.
func (e *executor) countEnd(c Claim, outcome string, err error) {
	switch {
	case err == nil:
		e.metrics.attempts.WithLabelValues(c.Row.Kind.Name, outcome).Inc()
	case errors.Is(err, ErrStale):
		e.metrics.attempts.WithLabelValues(c.Row.Kind.Name, outcomeStale).Inc()
	default:
		e.metrics.attempts.WithLabelValues(c.Row.Kind.Name, outcomeUnstored).Inc()
		e.log.Error("the end of an attempt could not be stored", "kind", c.Row.Kind.Name, "id", c.Row.ID, "attempt", c.Attempt, "outcome", outcome, "err", err)
	}
}
