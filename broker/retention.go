package broker

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// retain removes old segments now and then until the broker is closed.
func (b *Broker) retain() {
	tick := time.NewTicker(b.opts.RetentionEach)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		for _, t := range b.sorted() {
			if err := t.retain(b.ctx); err != nil && b.ctx.Err() == nil {
				b.opts.Logger.Warn("retention", "topic", t.name, "error", err)
			}
		}
	}
}

// retain removes the oldest segments that are too old or too many. It spares what any group has not durably
// passed, and all of a topic without groups: somebody may still come to read it.
func (t *topic) retain(ctx context.Context) error {
	if t.kept() {
		return nil
	}
	t.creating.Lock() // or a new group could start at what is being removed
	defer t.creating.Unlock()
	if t.deleted.Load() {
		return nil
	}
	groups := t.allGroups()
	if len(groups) == 0 {
		return nil
	}
	passed := t.log.End()
	for _, g := range groups {
		passed = min(passed, g.info().Start)
	}
	before := t.expired(passed)
	if before == 0 {
		return nil
	}
	if err := t.journal.flush(ctx); err != nil { // what is passed is durable now
		return err
	}
	if err := t.log.DropBefore(before); err != nil {
		return fmt.Errorf("drop segments before %d: %w", before, err)
	}
	return nil
}

// kept says whether the topic, or that which its dead letters come from, is one of Options.Keep.
func (t *topic) kept() bool { return isOneOf(t.name, t.broker.opts.Keep) }

// isOneOf says whether a topic, or the one that its dead letters come from, is in a list.
func isOneOf(topic string, list []string) bool {
	for dead := true; dead; topic, dead = SourceTopic(topic) {
		if slices.Contains(list, topic) {
			return true
		}
	}
	return false
}

// expired returns the offset below which every segment is passed and beyond a limit, 0 if there is none.
func (t *topic) expired(passed uint64) (before uint64) {
	o := t.broker.opts
	segments := t.log.Segments()
	var size int64
	for _, s := range segments {
		size += s.Bytes
	}
	oldest := t.broker.clock.now().earlier().Add(-o.RetainAge)
	// A segment is as old as the oldest one after it: its own times may be of a clock that was ahead.
	last := make([]time.Time, len(segments))
	for i := len(segments) - 1; i >= 0; i-- {
		last[i] = segments[i].Last
		if next := i + 1; next < len(segments) && !last[next].IsZero() && last[next].Before(last[i]) {
			last[i] = last[next]
		}
	}
	for i, s := range segments {
		tooOld := o.RetainAge > 0 && last[i].Before(oldest)
		tooMany := o.RetainBytes > 0 && size > o.RetainBytes
		if s.Active || s.End > passed || !tooOld && !tooMany {
			break
		}
		before, size = s.End, size-s.Bytes
	}
	return before
}
