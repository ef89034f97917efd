package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// settleTimeout bounds the writes that end an attempt. They do not end with the
// attempt's own context: a result that was computed must not be lost because a
// shutdown began a moment earlier.
const settleTimeout = 30 * time.Second

// busyDelay is when a delivery comes back whose report is being worked on here.
const busyDelay = time.Second

// handle works on one delivery and settles it: acknowledged, released for
// another attempt, or rejected. Where even that fails, the lock expires and the
// delivery comes again.
func (d *Dispatcher) handle(ctx context.Context, l *lane, dl broker.Delivery) {
	err := d.work(ctx, l, dl)
	if err == nil || errors.Is(err, broker.ErrLockLost) {
		return
	}
	d.cfg.Logger.Error("an attempt could not be settled", "topic", l.topic, "offset", dl.Offset, "err", err)
	if err := dl.Release(d.backoff(dl.Count)); err != nil && !errors.Is(err, broker.ErrLockLost) {
		d.cfg.Logger.Error("a delivery could not be released", "topic", l.topic, "offset", dl.Offset, "err", err)
	}
}

func (d *Dispatcher) work(ctx context.Context, l *lane, dl broker.Delivery) error {
	id, err := reportID(dl.Payload)
	if err != nil {
		return dl.Reject(err.Error())
	}
	if err := d.recorders[l.topic].recorded.wait(l.feeding, dl.Offset+1); err != nil {
		return nil // shutting down: the subscription's Close gives the delivery back
	}
	if err := d.inherit(l.feeding, TopicCompletions); err != nil {
		return nil // shutting down; what is completed already may have no originals
	}
	if !l.running.begin(id) {
		return dl.Release(busyDelay)
	}
	defer l.running.end(id)

	row, err := d.store.Claim(ctx, id)
	switch {
	case errors.Is(err, store.ErrFinal):
		return d.again(ctx, dl, id)
	case errors.Is(err, store.ErrNotFound):
		return dl.Reject("the record never became a row")
	case err != nil:
		return fmt.Errorf("claim: %w", err)
	}
	result, err := d.attempt(ctx, row)
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return d.settleAttempt(settle, ctx, dl, row, result, err)
}

// reportID is the report that a record of TopicCaseReports is about.
func reportID(payload []byte) (string, error) {
	s, err := tasks.DecodeSubmission(payload)
	switch {
	case err != nil:
		return "", err
	case s.CaseReport != nil:
		return s.CaseReport.ID, nil
	case s.Retry != nil:
		return s.Retry.ID, nil
	}
	return "", fmt.Errorf("kind %q does not belong here", s.Kind)
}

// again settles a delivery whose report is finished already: the process ended
// between the result and the acknowledgement, and perhaps before the event. The
// event's id is the same, so that a consumer drops the repeat.
func (d *Dispatcher) again(ctx context.Context, dl broker.Delivery, id string) error {
	return d.finish(ctx, dl, id, dl.Ack)
}

// attempt runs the task within its time limit. A panic fails the attempt, never
// the process.
func (d *Dispatcher) attempt(ctx context.Context, row store.Row) (result tasks.Result, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.cfg.TaskTimeout, fmt.Errorf("the attempt took longer than %v", d.cfg.TaskTimeout))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			d.counters.panics.Add(1)
			d.cfg.Logger.Error("a task panicked", "report", row.ID, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the task panicked: %v", p)
		}
	}()
	result, err = d.process(ctx, row, func(done, total int) {
		if err := d.store.Progress(ctx, row.ID, row.Attempts, done, total); err != nil {
			d.cfg.Logger.Debug("progress was not noted", "report", row.ID, "err", err)
		}
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return result, err
}

func (d *Dispatcher) settleAttempt(settle, ctx context.Context, dl broker.Delivery, row store.Row, result tasks.Result, err error) error {
	switch used := row.Attempts - row.BaseAttempts; {
	case err == nil:
		return d.complete(settle, dl, row, result)
	case errors.Is(context.Cause(ctx), errDraining):
		return d.giveBack(settle, dl, row)
	case used >= d.cfg.MaxAttempts && !outOfSpace(err):
		return d.fail(settle, dl, row, err)
	default:
		return d.retryLater(settle, dl, row, d.backoff(used), err)
	}
}

// outOfSpace says that the attempt failed for want of disk space. That is no
// fault of the report's: it is tried until there is room, and never failed for it.
func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// reason is the error as the row shows it to clients: without the server's folders.
func reason(err error) string {
	text := err.Error()
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		text = strings.ReplaceAll(text, p.Path, filepath.Base(p.Path))
	}
	return text
}

// complete follows the order that makes a crash harmless at any point: result
// row, event, completion in the log if originals are dropped, acknowledgement.
func (d *Dispatcher) complete(ctx context.Context, dl broker.Delivery, row store.Row, result tasks.Result) error {
	if err := d.store.Complete(ctx, row.ID, row.Attempts, result); err != nil {
		return unlessStale(err, "store result")
	}
	d.counters.completed.Add(1)
	return d.finish(ctx, dl, row.ID, dl.Ack)
}

func (d *Dispatcher) fail(ctx context.Context, dl broker.Delivery, row store.Row, cause error) error {
	d.cfg.Logger.Error("a report has failed", "report", row.ID, "attempts", row.Attempts, "err", cause)
	if err := d.store.Fail(ctx, row.ID, row.Attempts, reason(cause)); err != nil {
		return unlessStale(err, "store failure")
	}
	d.counters.failed.Add(1)
	return d.finish(ctx, dl, row.ID, func() error { return dl.Reject(reason(cause)) })
}

func (d *Dispatcher) finish(ctx context.Context, dl broker.Delivery, id string, settle func() error) error {
	row, err := d.store.CaseReport(ctx, id)
	if err != nil {
		return fmt.Errorf("read finished report: %w", err)
	}
	if err := d.announce(ctx, row); err != nil {
		return err
	}
	if err := d.releaseOriginals(ctx, row); err != nil {
		return err
	}
	return settle()
}

func (d *Dispatcher) retryLater(ctx context.Context, dl broker.Delivery, row store.Row, after time.Duration, cause error) error {
	d.cfg.Logger.Warn("an attempt has failed", "report", row.ID, "attempt", row.Attempts, "again_in", after, "err", cause)
	if err := d.store.Retrying(ctx, row.ID, row.Attempts, reason(cause), time.Now().Add(after)); err != nil {
		return unlessStale(err, "store retry")
	}
	d.counters.retried.Add(1)
	return dl.Release(after)
}

// giveBack makes an interrupted attempt as if it had never been: a shutdown
// costs nothing.
func (d *Dispatcher) giveBack(ctx context.Context, dl broker.Delivery, row store.Row) error {
	d.counters.interrupted.Add(1)
	if err := d.store.Unclaim(ctx, row.ID, row.Attempts); err != nil {
		return unlessStale(err, "give the attempt back")
	}
	return nil // the subscription's Close releases the delivery without counting it
}

// unlessStale drops the error of a worker that came too late: somebody else has
// the report, and has or will have the delivery.
func unlessStale(err error, op string) error {
	if errors.Is(err, store.ErrStale) {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}

// backoff is the pause after the given number of attempts: doubling, bounded,
// and less a random part of up to half so that what failed together does not
// come back together.
func (d *Dispatcher) backoff(attempts int) time.Duration {
	pause := d.cfg.MaxBackoff
	if shift := max(attempts, 1) - 1; shift < 32 {
		pause = min(pause, d.cfg.Backoff<<shift)
	}
	return pause - rand.N(pause/2+1)
}

func (d *Dispatcher) isDraining() bool {
	select {
	case <-d.draining:
		return true
	default:
		return false
	}
}
