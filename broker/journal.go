package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"casepress/commitlog"

	"golang.org/x/sync/semaphore"
)

// A journal keeps what the groups of a topic did, in the topic's groups log. It does not keep single acts: each
// flush writes what became of the messages that somebody touched since the flush before, so that a thousand
// acks in order cost a few bytes. When the log has grown it begins anew with the whole state of each group.
type journal struct {
	topic *topic
	log   *commitlog.Log
	dir   string

	flusher   wakeup      // there is something to flush
	scheduled atomic.Bool // flusher was woken since the last flush began
	stopped   atomic.Pointer[error]
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	givenUp atomic.Uint64 // times that the log has given up events that it had taken

	turn      *semaphore.Weighted // guards all below; one write at a time: a group's events reach the log in their order
	last      commitlog.Pending
	wrote     bool
	lost      bool   // events did not get into the log: the next flush writes the whole state of each group
	rewritten uint64 // givenUp when the whole state was last written
	grown     int64  // bytes since the last compaction
	base      int64  // bytes that the last compaction took
}

// openJournal recovers the groups of a topic and starts the flusher.
func openJournal(t *topic, dir string) (*journal, error) {
	j := &journal{topic: t, dir: dir, flusher: newWakeup(), turn: semaphore.NewWeighted(1)}
	var err error
	j.log, err = commitlog.Open(dir, commitlog.Options{
		FS: t.broker.opts.FS, Files: t.broker.files, SegmentBytes: groupsSegment, MaxRecordBytes: groupsRecord,
		OnCommit: t.broker.metrics.onCommit("groups"), OnDiscard: func(uint64) { j.givenUp.Add(1) },
	})
	if err != nil {
		return nil, fmt.Errorf("open groups log: %w", err)
	}
	t.broker.metrics.reportCut(t.name, j.log)
	if err := j.replay(); err != nil {
		return nil, errors.Join(err, j.log.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	j.cancel = cancel
	j.wg.Go(func() { j.run(ctx) })
	return j, nil
}

// scheduleFlush says that a group changed. It is durable within AckDelay and one sync.
func (j *journal) scheduleFlush() {
	if j.scheduled.Load() || j.scheduled.Swap(true) {
		return
	}
	j.flusher.wake()
}

func (j *journal) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.flusher:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(j.topic.broker.opts.AckDelay):
		}
		err := j.flush(ctx)
		if err == nil {
			err = j.compact(ctx)
		}
		if errors.Is(err, commitlog.ErrNotPrepared) {
			j.topic.broker.opts.Logger.Warn("what the groups did is not durable yet", "topic", j.topic.name, "retry", groupsRetry, "error", err)
			j.retry(ctx)
			continue
		}
		if err != nil {
			return
		}
	}
}

// retry lets the next flush come after a while.
func (j *journal) retry(ctx context.Context) {
	select {
	case <-time.After(groupsRetry):
		j.scheduleFlush()
	case <-ctx.Done():
	}
}

// flush returns when everything that the groups did before the call is durable.
func (j *journal) flush(ctx context.Context) error {
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	j.scheduled.Store(false)
	givenUp := j.givenUp.Load()
	take := (*group).takeChanges
	if j.lost || givenUp != j.rewritten {
		take = (*group).takeEverything
	}
	err := j.write(ctx, j.topic.allGroups(), take)
	if err == nil {
		j.lost, j.rewritten = false, givenUp
	}
	last, wrote := j.last, j.wrote
	j.turn.Release(1)
	if err == nil && wrote {
		err = j.awaitAll(ctx, last, givenUp)
	}
	return j.checkFailure(ctx, err)
}

// awaitAll waits until the last event is durable, and makes sure that none of those before it was given up since givenUp
// was read: they reach the log in several batches, and a smaller one may fit where a larger one did not.
func (j *journal) awaitAll(ctx context.Context, last commitlog.Pending, givenUp uint64) error {
	if err := last.Wait(ctx); err != nil {
		return err
	}
	if j.givenUp.Load() != givenUp {
		return fmt.Errorf("some events were given up: %w", commitlog.ErrNotPrepared)
	}
	return nil
}

// compact writes the whole state of every group and drops what came before, if the log has grown much since
// it last did.
func (j *journal) compact(ctx context.Context) error {
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	if j.grown < compactGrowth || j.grown < 4*j.base {
		j.turn.Release(1)
		return nil
	}
	j.grown = 0
	from := j.log.End() // all that is needed comes after
	givenUp := j.givenUp.Load()
	err := j.write(ctx, j.topic.allGroups(), (*group).takeEverything)
	j.base, j.grown = j.grown, 0
	last := j.last
	j.turn.Release(1)
	if err == nil {
		err = j.awaitAll(ctx, last, givenUp)
	}
	if err = j.checkFailure(ctx, err); err != nil {
		return err
	}
	if err := j.log.DropBefore(from); err != nil {
		j.topic.broker.opts.Logger.Warn("old group events are not removed yet", "topic", j.topic.name, "error", err)
	}
	return nil
}

// The three changes of a group as a whole keep the turn until the disk has answered, so that no flush or compaction
// writes a state that may not come to be. After ErrNotPrepared everything is as it was. After any other error the
// change may be on the disk: then it holds, lest an event of the state before follow it.

// create makes a new group durable and known.
func (j *journal) create(g *group) error {
	return j.change(func(ctx context.Context) error {
		return j.write(ctx, []*group{g}, (*group).takeEverything)
	}, func() {
		j.topic.mu.Lock()
		j.topic.groups[g.name] = g
		j.topic.mu.Unlock()
	})
}

// reset puts another state in place of a group's, durably.
func (j *journal) reset(g *group, state *groupState, install func()) error {
	return j.change(func(ctx context.Context) error {
		e := state.everything(g.now().skew())
		e.group = g.name
		return j.enqueueEvent(ctx, &e)
	}, install)
}

// remove forgets a group, durably.
func (j *journal) remove(g *group) error {
	return j.change(func(ctx context.Context) error {
		return j.enqueueEvent(ctx, &groupEvent{group: g.name, deleted: true})
	}, func() {
		j.topic.mu.Lock()
		delete(j.topic.groups, g.name)
		j.topic.mu.Unlock()
	})
}

// change writes an event, waits until it is durable and does what follows from it.
func (j *journal) change(write func(context.Context) error, follow func()) error {
	ctx := j.topic.broker.ctx
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	defer j.turn.Release(1)
	if err := j.stopReason(); err != nil {
		return err
	}
	if err := write(ctx); err != nil {
		return j.changeError(err) // nothing was appended
	}
	err := j.last.Wait(ctx)
	if !errors.Is(err, commitlog.ErrNotPrepared) {
		follow()
	}
	return j.changeError(err)
}

func (j *journal) changeError(err error) error {
	if err != nil && j.topic.broker.closed.Load() {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return j.checkFailure(j.topic.broker.ctx, err)
}

// write appends an event of each group that has one, without waiting for the disk. After an error some may be lost.
// The caller has the turn.
func (j *journal) write(ctx context.Context, groups []*group, take func(*group) (groupEvent, bool)) error {
	var payloads [][]byte
	size := 0
	for _, g := range groups {
		e, ok := take(g)
		if !ok {
			continue
		}
		for _, payload := range encodeEvent(&e) {
			payloads, size = append(payloads, payload), size+len(payload)
		}
		if size >= eventsTogether {
			if err := j.enqueue(ctx, payloads, size); err != nil {
				return err
			}
			payloads, size = nil, 0
		}
	}
	return j.enqueue(ctx, payloads, size)
}

// encodeEvent returns the records of an event.
func encodeEvent(e *groupEvent) [][]byte {
	payloads := [][]byte{appendEvent(nil, e)}
	if e.settings != nil {
		payloads = append(payloads, appendSettings(nil, e))
	}
	return payloads
}

func (j *journal) enqueueEvent(ctx context.Context, e *groupEvent) error {
	payloads, size := encodeEvent(e), 0
	for _, payload := range payloads {
		size += len(payload)
	}
	return j.enqueue(ctx, payloads, size)
}

func (j *journal) enqueue(ctx context.Context, payloads [][]byte, size int) error {
	if len(payloads) == 0 {
		return nil
	}
	pending, err := j.log.Enqueue(ctx, payloads...)
	if err != nil {
		j.lost = true
		return err
	}
	j.last, j.wrote = pending, true
	j.grown += int64(size)
	return nil
}

// checkFailure makes a failure of the log final: what the groups do can no longer be kept. That a caller stopped
// waiting is none. After ErrNotPrepared the next flush writes everything.
func (j *journal) checkFailure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		j.scheduleFlush() // it may have taken changes and not written them
		return err
	}
	err = fmt.Errorf("groups log: %w", err)
	if errors.Is(err, commitlog.ErrNotPrepared) {
		j.scheduleFlush()
		return err
	}
	if j.stopWith(err) {
		j.topic.broker.opts.Logger.Error("groups cannot be kept", "topic", j.topic.name, "error", err)
		for _, g := range j.topic.allGroups() {
			g.fail(err)
		}
	}
	return err
}

// stopWith forbids all further changes, for that reason unless there is one already.
func (j *journal) stopWith(err error) bool { return j.stopped.CompareAndSwap(nil, &err) }

// stopReason returns why no group may change any more, or nil.
func (j *journal) stopReason() error {
	if err := j.stopped.Load(); err != nil {
		return *err
	}
	return nil
}

// err returns the failure of the log, if it failed.
func (j *journal) err() error {
	if err := j.stopReason(); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return j.log.Err()
}

// close makes durable what the groups did and closes the log.
func (j *journal) close() error {
	healthy := j.stopWith(ErrClosed)
	j.cancel()
	j.wg.Wait()
	var err error
	if healthy {
		err = j.flush(context.Background())
	}
	return errors.Join(err, j.log.Close())
}
