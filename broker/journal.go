package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"casepress/commitlog"
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

	mu    sync.Mutex // one flush at a time: a group's events reach the log in their order
	last  commitlog.Pending
	wrote bool
	lost  bool  // events were given up by the log: the next flush writes the whole state of each group
	grown int64 // bytes since the last compaction
	base  int64 // bytes that the last compaction took
}

// openJournal recovers the groups of a topic and starts the flusher.
func openJournal(t *topic, dir string) (*journal, error) {
	l, err := commitlog.Open(dir, commitlog.Options{
		FS: t.broker.opts.FS, SegmentBytes: groupsSegment, MaxRecordBytes: groupsRecord,
		OnCommit: t.broker.metrics.onCommit("groups"),
	})
	if err != nil {
		return nil, fmt.Errorf("open groups log: %w", err)
	}
	t.broker.metrics.reportCut(t.name, l)
	j := &journal{topic: t, log: l, dir: dir, flusher: newWakeup()}
	if err := j.replay(); err != nil {
		return nil, errors.Join(err, l.Close())
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
	j.mu.Lock()
	j.scheduled.Store(false)
	take := (*group).takeChanges
	if j.lost {
		take = (*group).takeEverything
	}
	err := j.write(j.topic.allGroups(), take)
	if err == nil {
		j.lost = false // until its wait says otherwise
	}
	last, wrote := j.last, j.wrote
	j.mu.Unlock()
	if err == nil && wrote {
		err = last.Wait(ctx)
	}
	return j.checkFailure(ctx, err)
}

// compact writes the whole state of every group and drops what came before, if the log has grown much since
// it last did.
func (j *journal) compact(ctx context.Context) error {
	j.mu.Lock()
	if j.grown < compactGrowth || j.grown < 4*j.base {
		j.mu.Unlock()
		return nil
	}
	j.grown = 0
	from := j.log.End() // all that is needed comes after
	err := j.write(j.topic.allGroups(), (*group).takeEverything)
	j.base, j.grown = j.grown, 0
	last := j.last
	j.mu.Unlock()
	if err == nil {
		err = last.Wait(ctx)
	}
	if err = j.checkFailure(ctx, err); err != nil {
		return err
	}
	if err := j.log.DropBefore(from); err != nil {
		j.topic.broker.opts.Logger.Warn("old group events are not removed yet", "topic", j.topic.name, "error", err)
	}
	return nil
}

// create makes a new group known and durable. It is known before it is durable, so that no compaction leaves it out.
func (j *journal) create(g *group) error {
	j.mu.Lock()
	err := j.write([]*group{g}, (*group).takeEverything)
	last := j.last
	j.topic.mu.Lock()
	j.topic.groups[g.name] = g
	j.topic.mu.Unlock()
	j.mu.Unlock()
	return j.awaitEvents(last, err)
}

// reset changes a group as a whole and returns when that is durable.
func (j *journal) reset(g *group, change func()) error {
	if err := j.stopReason(); err != nil {
		return err
	}
	j.mu.Lock()
	change()
	err := j.write([]*group{g}, (*group).takeEverything)
	last := j.last
	j.mu.Unlock()
	return j.awaitEvents(last, err)
}

// remove forgets a group and returns when that is durable.
func (j *journal) remove(g *group) error {
	if err := j.stopReason(); err != nil {
		return err
	}
	j.mu.Lock()
	j.topic.mu.Lock()
	delete(j.topic.groups, g.name)
	j.topic.mu.Unlock()
	payload := appendEvent(nil, &groupEvent{group: g.name, deleted: true})
	err := j.enqueue([][]byte{payload}, len(payload))
	last := j.last
	j.mu.Unlock()
	err = j.awaitEvents(last, err)
	if errors.Is(err, commitlog.ErrNotPrepared) { // it is as it was
		j.topic.mu.Lock()
		j.topic.groups[g.name] = g
		j.topic.mu.Unlock()
	}
	return err
}

// awaitEvents waits until the last event is durable, if it could be appended.
func (j *journal) awaitEvents(last commitlog.Pending, err error) error {
	if err == nil {
		err = last.Wait(j.topic.broker.ctx)
	}
	if err != nil && j.topic.broker.closed.Load() {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return j.checkFailure(j.topic.broker.ctx, err)
}

// write appends an event of each group that has one, without waiting for the disk. The caller holds mu.
func (j *journal) write(groups []*group, take func(*group) (groupEvent, bool)) error {
	var payloads [][]byte
	size := 0
	for _, g := range groups {
		e, ok := take(g)
		if !ok {
			continue
		}
		payload := appendEvent(nil, &e)
		payloads, size = append(payloads, payload), size+len(payload)
		if e.settings != nil {
			payload = appendSettings(nil, &e)
			payloads, size = append(payloads, payload), size+len(payload)
		}
		if size >= eventsTogether {
			if err := j.enqueue(payloads, size); err != nil {
				return err
			}
			payloads, size = nil, 0
		}
	}
	return j.enqueue(payloads, size)
}

func (j *journal) enqueue(payloads [][]byte, size int) error {
	if len(payloads) == 0 {
		return nil
	}
	pending, err := j.log.Enqueue(j.topic.broker.ctx, payloads...)
	if err != nil {
		return err
	}
	j.last, j.wrote = pending, true
	j.grown += int64(size)
	return nil
}

// checkFailure makes a failure of the log final: what the groups do can no longer be kept. That a caller stopped
// waiting is none. After ErrNotPrepared the next flush writes everything.
func (j *journal) checkFailure(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	err = fmt.Errorf("groups log: %w", err)
	if errors.Is(err, commitlog.ErrNotPrepared) {
		j.mu.Lock()
		j.lost = true
		j.mu.Unlock()
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
