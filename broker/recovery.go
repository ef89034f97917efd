package broker

import (
	"errors"
	"fmt"
)

var errOrphan = errors.New("events of the group without its beginning")

// What an operator can do when the logs of a topic contradict each other.
const (
	cureAhead = "restore the folder log of the topic from the same copy as its folder groups; or, if those messages are lost, " +
		"move the folder groups away: then its groups begin at the oldest message and see again what they have acknowledged"
	cureBehind = "restore the missing segments of the folder log; or, if those messages are lost, move the folder groups away: " +
		"then its groups begin at the oldest message that is kept and see again what they have acknowledged"
	cureGroups = "restore the folder groups of the topic; or move it away: then its groups begin at the oldest message and see " +
		"again what they have acknowledged"
)

// replay reads the groups log from its start. Changes to a group that has not begun yet are from before a
// compaction, whose first part was dropped: they are passed over, but its whole state must follow.
func (j *journal) replay() (err error) {
	states := make(map[string]*groupState)
	orphans := make(map[string]uint64)
	r := j.log.NewReader(j.log.Start())
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		records, err := r.Next(1 << 20)
		if err != nil {
			return fmt.Errorf("read groups log: %w", err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if err := j.replayEvent(states, orphans, r.Offset, r.Payload); err != nil {
				return err
			}
			j.grown += int64(len(r.Payload))
		}
	}
	for name, offset := range orphans {
		return &DamageError{Topic: j.topic.name, Group: name, Offset: offset, Dir: j.dir, Cure: cureGroups, Err: errOrphan}
	}
	return j.restoreGroups(states)
}

func (j *journal) replayEvent(states map[string]*groupState, orphans map[string]uint64, offset uint64, payload []byte) error {
	e, err := decodeEvent(payload)
	if err != nil {
		return &DamageError{Topic: j.topic.name, Offset: offset, Dir: j.dir, Cure: cureGroups, Err: fmt.Errorf("groups log: %w", err)}
	}
	g := states[e.group]
	switch {
	case e.deleted:
		delete(states, e.group)
		delete(orphans, e.group)
		return nil
	case g != nil && e.settings != nil:
		g.saved = *e.settings
		return nil
	case g == nil && !e.reset:
		orphans[e.group] = offset
		return nil
	case g == nil:
		g = newGroupState(e.start, j.topic.broker.opts.MaxUnacked, firstLock())
		states[e.group] = g
		delete(orphans, e.group)
	}
	if err := g.apply(e); err != nil {
		return &DamageError{Topic: j.topic.name, Group: e.group, Offset: offset, Dir: j.dir, Cure: cureGroups, Err: err}
	}
	return nil
}

// restoreGroups checks the recovered states against the topic's log and makes groups of them.
func (j *journal) restoreGroups(states map[string]*groupState) error {
	t := j.topic
	for name, state := range states {
		if state.next > t.log.End() {
			return &DamageError{Topic: t.name, Group: name, Offset: state.next, Dir: t.logDir, Cure: cureAhead, Err: ErrGroupAhead}
		}
		if state.start < t.log.Start() {
			return &DamageError{Topic: t.name, Group: name, Offset: state.start, Dir: t.logDir, Cure: cureBehind, Err: ErrGroupBehind}
		}
		state.resume()
		state.incarnation, state.ordered = state.saved.incarnation, state.saved.ordered
		state.maxDeliveries = state.saved.maxDeliveries // the first member brings it to bear
		t.groups[name] = newGroup(t, name, state)
	}
	return nil
}
