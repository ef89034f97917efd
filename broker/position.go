package broker

import (
	"errors"
	"fmt"

	"casepress/commitlog"
)

// ErrBusy says that a group has members, so that it or its topic cannot be deleted.
var ErrBusy = errors.New("in use")

// SetPosition lets a group go on at p, creating it if need be, and returns the offset when that is durable.
// Messages from there on come again with counts from nothing; those before count as acknowledged. What members
// hold is lost to them: ErrLockLost. A message that is being rejected at this moment still becomes a dead letter.
func (b *Broker) SetPosition(topic, group string, p Position) (uint64, error) {
	t, err := b.topic(topic)
	if err != nil {
		return 0, err
	}
	if err := checkName(group, maxName); err != nil {
		return 0, err
	}
	offset, err := t.setPosition(group, p)
	if err != nil {
		return 0, fmt.Errorf("set position of %s in %s: %w", group, topic, err)
	}
	return offset, nil
}

func (t *topic) setPosition(name string, p Position) (uint64, error) {
	t.creating.Lock() // or retention could remove what the group goes back to
	defer t.creating.Unlock()
	if t.deleted.Load() {
		return 0, fmt.Errorf("%w: %q", ErrNoTopic, t.name)
	}
	start, err := p.resolve(t.log)
	if err != nil {
		return 0, err
	}
	g := t.group(name)
	if g == nil {
		if _, err := t.create(name, start); err != nil {
			return 0, err
		}
		return start, nil
	}
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	if g.closed {
		return 0, ErrClosed
	}
	if g.cancel != nil {
		g.stop()
		defer g.start()
	}
	moved := g.stateAt(start)
	if err := t.journal.reset(g, moved, func() { g.install(moved) }); err != nil {
		return 0, err
	}
	return start, nil
}

// stateAt returns a state that begins anew at start, with the group's settings. The caller holds lifecycle until it is
// installed.
func (g *group) stateAt(start uint64) *groupState {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.state
	state := newGroupState(start, old.maxUnacked, old.lastLock)
	state.incarnation = newIncarnation()
	state.maxDeliveries, state.ordered = old.maxDeliveries, old.ordered
	if old.order != nil {
		state.order = newOrder()
	}
	return state
}

// install puts a state in place of the group's. The caller holds lifecycle, and neither prefetch nor deadlines run.
func (g *group) install(state *groupState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	state.lastLock = g.state.lastLock // what was handed out meanwhile is lost, too
	g.state = state
	g.prefetched.clear()
	g.nextDeadline = never
}

// DeleteGroup forgets a group, durably. It returns ErrNoGroup, or ErrBusy while the group has members.
func (b *Broker) DeleteGroup(topic, group string) error {
	t, err := b.topic(topic)
	if err != nil {
		return err
	}
	t.creating.Lock()
	defer t.creating.Unlock()
	g := t.group(group)
	if g == nil {
		return fmt.Errorf("%w: %q of topic %s", ErrNoGroup, group, topic)
	}
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	if g.cancel != nil {
		return fmt.Errorf("%w: group %s of topic %s has members", ErrBusy, group, topic)
	}
	g.deleted = true
	if err := t.journal.remove(g); err != nil {
		g.deleted = !errors.Is(err, commitlog.ErrNotPrepared)
		return fmt.Errorf("delete group %s of %s: %w", group, topic, err)
	}
	return nil
}
