package broker

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// modelMessage is what the model knows of one message: a plain map of these must agree with a groupState.
type modelMessage struct {
	status slotStatus
	count  int
	lock   uint64
	holder uint32
	when   int64
}

// groupModel drives a groupState and a map side by side, and a replica that only sees the saved events.
type groupModel struct {
	real    *groupState
	replica *groupState
	now     int64
	max     int
	limited bool // max was changed
	limit   int  // of unacknowledged messages
	next    uint64
	msgs    map[uint64]*modelMessage
	locks   []grant // every grant ever made, so that stale locks are tried too
}

const firstOffset = 1000

func newGroupModel(t *rapid.T) *groupModel {
	m := &groupModel{
		now: 1, next: firstOffset, msgs: make(map[uint64]*modelMessage),
		limit: rapid.IntRange(1, 100).Draw(t, "limit"), max: rapid.IntRange(0, 3).Draw(t, "max"),
	}
	m.real = newGroupState(firstOffset, m.limit, rapid.Uint64().Draw(t, "first lock"))
	m.real.setMaxDeliveries(m.max)
	m.replica = newGroupState(firstOffset, m.limit, 0)
	return m
}

func (m *groupModel) exhausted(msg *modelMessage) bool { return m.max > 0 && msg.count >= m.max }

func (m *groupModel) offer(msg *modelMessage, as slotStatus) {
	msg.status = as
	if m.exhausted(msg) {
		msg.status, msg.lock = deadLettering, 0
	}
}

func (m *groupModel) expire() {
	for _, msg := range m.msgs {
		switch {
		case msg.status == acquired && msg.when <= m.now:
			m.offer(msg, lapsed)
		case msg.status == delayed && msg.when <= m.now:
			m.offer(msg, available)
		}
	}
	m.real.expire(instant{m.now, m.now})
}

func (m *groupModel) some(t *rapid.T) grant {
	if len(m.locks) == 0 {
		t.Skip("nothing was handed out")
	}
	return rapid.SampledFrom(m.locks).Draw(t, "delivery")
}

// owned says whether the model thinks that the lock still speaks for its message.
func (m *groupModel) owned(g grant) (*modelMessage, bool) {
	msg := m.msgs[g.offset]
	return msg, msg.lock == g.lock && (msg.status == acquired || msg.status == lapsed)
}

func (m *groupModel) start() uint64 {
	start := uint64(firstOffset)
	for start < m.next && m.msgs[start].status == acknowledged {
		start++
	}
	return start
}

func (m *groupModel) unacked() (n int) {
	for _, msg := range m.msgs {
		if msg.status != acknowledged {
			n++
		}
	}
	return n
}

func (m *groupModel) holder(t *rapid.T) uint32 { return rapid.Uint32Range(1, 3).Draw(t, "holder") }
func (m *groupModel) deadline(t *rapid.T) int64 {
	return m.now + rapid.Int64Range(1, 20).Draw(t, "timeout")
}

func (m *groupModel) granted(t *rapid.T, g grant, holder uint32, deadline int64) {
	msg := m.msgs[g.offset]
	require.NotEqual(t, acknowledged, msg.status, "handed out what is acknowledged")
	msg.status, msg.holder, msg.when, msg.lock = acquired, holder, deadline, g.lock
	msg.count++
	require.Equal(t, msg.count, int(g.count))
	for _, old := range m.locks {
		require.NotEqual(t, old.lock, g.lock, "a lock was given twice")
	}
	m.locks = append(m.locks, g)
}

func (m *groupModel) AcquireNext(t *rapid.T) {
	require.Equal(t, m.unacked() < m.limit, m.real.room())
	if !m.real.room() {
		t.Skip("there are too many")
	}
	holder, deadline := m.holder(t), m.deadline(t)
	g := m.real.acquireNext(holder, deadline)
	require.Equal(t, m.next, g.offset)
	m.msgs[m.next] = &modelMessage{}
	m.next++
	m.granted(t, g, holder, deadline)
}

func (m *groupModel) DelayNext(t *rapid.T) {
	if !m.real.room() {
		t.Skip("there are too many")
	}
	due := m.deadline(t)
	m.real.delayNext(due)
	m.msgs[m.next] = &modelMessage{status: delayed, when: due}
	m.next++
}

func (m *groupModel) AcquireAgain(t *rapid.T) {
	var ready []uint64
	for offset, msg := range m.msgs {
		if msg.status == available || msg.status == lapsed {
			ready = append(ready, offset)
		}
	}
	holder, deadline := m.holder(t), m.deadline(t)
	g, ok := m.real.acquireAvailable(holder, deadline)
	require.Equal(t, len(ready) > 0, ok)
	if ok {
		require.Equal(t, slices.Min(ready), g.offset)
		m.granted(t, g, holder, deadline)
	}
}

func (m *groupModel) Pass(t *rapid.T) {
	m.now += rapid.Int64Range(1, 15).Draw(t, "time")
	m.expire()
}

func (m *groupModel) Ack(t *rapid.T) {
	g := m.some(t)
	msg := m.msgs[g.offset]
	err := m.real.ack(g.offset, g.lock)
	mine := msg.lock == g.lock && msg.status != deadLettering
	if msg.status == acknowledged || mine {
		require.NoError(t, err)
		msg.status = acknowledged
		return
	}
	require.ErrorIs(t, err, ErrLockLost)
}

func (m *groupModel) Release(t *rapid.T) {
	g := m.some(t)
	due := m.now + rapid.Int64Range(0, 20).Draw(t, "delay")
	msg, ok := m.owned(g)
	err := m.real.release(g.offset, g.lock, m.now, due)
	if !ok {
		require.ErrorIs(t, err, ErrLockLost)
		return
	}
	require.NoError(t, err)
	msg.lock = 0
	m.offer(msg, available)
	if msg.status == available && due > m.now {
		msg.status, msg.when = delayed, due
	}
}

func (m *groupModel) Renew(t *rapid.T) {
	g, deadline := m.some(t), m.deadline(t)
	msg, ok := m.owned(g)
	err := m.real.renew(g.offset, g.lock, deadline)
	if !ok {
		require.ErrorIs(t, err, ErrLockLost)
		return
	}
	require.NoError(t, err)
	msg.status, msg.when = acquired, deadline
}

func (m *groupModel) GiveBackAll(t *rapid.T) {
	holder := m.holder(t)
	for _, msg := range m.msgs {
		switch {
		case msg.holder == holder && msg.status == acquired:
			msg.count--
			m.offer(msg, available)
		case msg.holder == holder && msg.status == lapsed:
			msg.status = available
		}
	}
	m.real.giveBackAll(holder)
}

func (m *groupModel) GiveBack(t *rapid.T) {
	g := m.some(t)
	if msg, ok := m.owned(g); ok && msg.status == acquired {
		msg.count--
		m.offer(msg, available)
	}
	m.real.giveBack(g.offset, g.lock)
}

// Limit changes the most deliveries. What is on its way to be buried stays so.
func (m *groupModel) Limit(t *rapid.T) {
	if len(m.real.dead) > 0 {
		t.Skip("dead letters are under way, with the old limit")
	}
	m.max, m.limited = rapid.IntRange(0, 3).Draw(t, "max"), true
	for _, msg := range m.msgs {
		if msg.status == available || msg.status == lapsed {
			m.offer(msg, msg.status)
		}
	}
	m.real.setMaxDeliveries(m.max)
}

func (m *groupModel) Reject(t *rapid.T) {
	g, works := m.some(t), rapid.Bool().Draw(t, "published")
	msg, ok := m.owned(g)
	count, err := m.real.reject(g.offset, g.lock)
	if !ok {
		require.ErrorIs(t, err, ErrLockLost)
		return
	}
	require.NoError(t, err)
	require.Equal(t, msg.count, int(count))
	if works {
		msg.status = acknowledged
		m.real.deadLettered(g.offset)
		return
	}
	msg.status = acquired
	m.real.undoReject(g.offset)
	m.expire() // its time may have run out meanwhile
}

func (m *groupModel) BuryDead(t *rapid.T) {
	works := rapid.Bool().Draw(t, "published")
	offset, count, ok := m.real.nextDeadLetter()
	if !ok {
		t.Skip("nothing is dead")
	}
	msg := m.msgs[offset]
	require.Equal(t, deadLettering, msg.status)
	require.GreaterOrEqual(t, int(count), m.max)
	require.True(t, m.limited || m.max == int(count), "dead letters come exactly after the maximum")
	if works {
		msg.status = acknowledged
		m.real.deadLettered(offset)
		return
	}
	msg.status, msg.when = delayed, m.now+5
	m.real.delayDeadLetter(offset, m.now+5)
}

// Save passes the changes to the replica, by way of the encoded form.
func (m *groupModel) Save(t *rapid.T) {
	e := m.real.changes(0)
	if rapid.Bool().Draw(t, "everything") {
		e = m.real.everything(0)
	}
	decoded, err := decodeEvent(appendEvent(nil, &e))
	require.NoError(t, err)
	require.NoError(t, m.replica.apply(decoded))
	require.False(t, m.real.changed())
	m.compare(t)
}

// Restart goes on with what the replica knows: all locks are gone, all counts stay.
func (m *groupModel) Restart(t *rapid.T) {
	m.Save(t)
	m.real = m.replica
	m.real.lastLock = rapid.Uint64().Draw(t, "first lock")
	m.real.setMaxDeliveries(m.max)
	m.real.resume()
	m.locks = nil
	for offset, msg := range m.msgs {
		switch {
		case offset >= m.real.next:
			require.Zero(t, msg.count)
			require.NotEqual(t, acknowledged, msg.status)
			delete(m.msgs, offset)
		case msg.status != acknowledged:
			msg.lock = 0
			if msg.status != delayed {
				m.offer(msg, available)
			}
		}
	}
	m.next = m.real.next
	m.replica = newGroupState(firstOffset, m.limit, 0)
	e := m.real.everything(0)
	require.NoError(t, m.replica.apply(e))
	m.expire() // that something came due is not saved, it comes due again
}

// compare requires that the replica has the counts, due times and acknowledgements of the model.
func (m *groupModel) compare(t *rapid.T) {
	require.Equal(t, m.real.start, m.replica.start)
	for offset, msg := range m.msgs {
		if offset < m.replica.start || offset >= m.replica.next {
			require.True(t, msg.status == acknowledged && offset < m.replica.start || msg.count == 0 && offset >= m.replica.next)
			continue
		}
		require.Equal(t, msg.status == acknowledged, m.replica.isDone(offset))
		if msg.status == acknowledged {
			continue
		}
		s := m.replica.at(offset)
		require.Equal(t, msg.count, int(s.count))
		if msg.status == delayed {
			require.Equal(t, msg.when, s.when)
		}
	}
}

// Check holds after every step.
func (m *groupModel) Check(t *rapid.T) {
	require.Equal(t, m.start(), m.real.start)
	require.Equal(t, m.next, m.real.next)
	held := make(map[uint32]int)
	due := int64(never)
	for offset, msg := range m.msgs {
		if offset < m.real.start {
			continue
		}
		if msg.status == acknowledged {
			require.True(t, m.real.isDone(offset), "%d is acknowledged", offset)
			continue
		}
		require.Equal(t, msg.status, m.real.at(offset).status, "status of %d", offset)
		switch msg.status {
		case acquired:
			held[msg.holder]++
			due = min(due, msg.when)
		case delayed:
			due = min(due, msg.when)
		}
	}
	require.True(t, maps.Equal(held, m.real.held), "held: model %v, real %v", held, m.real.held)
	require.Equal(t, m.unacked(), m.real.unacked())
	require.LessOrEqual(t, len(m.real.window.ring), max(minSlots, 4*m.limit), "memory is bounded by what is open")
	first := int64(never)
	for _, next := range []func() (int64, bool){m.real.nextDue, m.real.nextDate} {
		if when, ok := next(); ok {
			first = min(first, when)
		}
	}
	require.Equal(t, due, first)
}

func TestGroupStateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newGroupModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"":               m.Check,
			"acquire next":   m.AcquireNext,
			"acquire next 2": m.AcquireNext,
			"delay next":     m.DelayNext,
			"acquire again":  m.AcquireAgain,
			"pass":           m.Pass,
			"ack":            m.Ack,
			"ack 2":          m.Ack,
			"release":        m.Release,
			"renew":          m.Renew,
			"give back":      m.GiveBack,
			"give back all":  m.GiveBackAll,
			"limit":          m.Limit,
			"reject":         m.Reject,
			"bury dead":      m.BuryDead,
			"save":           m.Save,
			"restart":        m.Restart,
		})
	})
}

// TestFarBehindIsCheap: messages that stay open while a million after them are acknowledged cost neither memory nor bytes on
// the disk, and no time.
func TestFarBehindIsCheap(t *testing.T) {
	g := newGroupState(7, 10, 1)
	const first, last = 7, 1_000_000
	open := map[uint64]bool{first: true, 300: true, 301: true, 999: true, 500_000: true}
	for offset := uint64(first); offset <= last; offset++ {
		require.True(t, g.room())
		if open[offset] {
			g.delayNext(1 << 40)
			continue
		}
		d := g.acquireNext(1, never)
		require.NoError(t, g.ack(d.offset, d.lock))
	}
	require.Equal(t, len(open), g.unacked())
	require.Equal(t, uint64(first), g.start)
	require.Less(t, len(g.window.ring), 100)
	e := g.changes(0)
	whole := g.everything(0)
	require.Len(t, appendEvent(nil, &whole), len(appendEvent(nil, &e)))
	require.Less(t, len(appendEvent(nil, &whole)), 120)
	for _, e := range []groupEvent{e, whole} {
		decoded, err := decodeEvent(appendEvent(nil, &e))
		require.NoError(t, err)
		again := newGroupState(first, 10, 1)
		require.NoError(t, again.apply(decoded))
		again.resume()
		require.Equal(t, g.next, again.next)
		require.Equal(t, len(open), again.unacked())
		for offset := uint64(first); offset <= last; offset++ {
			if open[offset] == again.isDone(offset) {
				require.Fail(t, "acknowledged or not", "%d", offset)
			}
		}
		again.expire(instant{1 << 40, 1 << 40})
		for range len(open) {
			d, ok := again.acquireAvailable(1, never)
			require.True(t, ok)
			require.True(t, open[d.offset])
			require.NoError(t, again.ack(d.offset, d.lock))
		}
		require.Equal(t, uint64(last+1), again.start)
		require.Equal(t, int(again.next-again.start), again.unacked())
	}
}

// TestTooManyUnackedAreRefused before memory is made for them.
func TestTooManyUnackedAreRefused(t *testing.T) {
	g := newGroupState(0, 10, 1)
	require.ErrorContains(t, g.apply(groupEvent{reset: true, start: 1, counts: []savedCount{{offset: maxSaved + 1}}}), "unacknowledged")
	require.ErrorContains(t, g.apply(groupEvent{reset: true, start: 1, done: []offsetRange{{2, 3}, {never - 1, never}}}), "unacknowledged")
	require.NoError(t, g.apply(groupEvent{reset: true, start: 1, done: []offsetRange{{2, never}}}))
	require.ErrorContains(t, g.apply(groupEvent{start: 1, counts: []savedCount{{offset: 5}}}), "acknowledged")
	require.Less(t, len(g.window.ring), 100)
}
