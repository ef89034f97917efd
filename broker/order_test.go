package broker

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// orderModel drives a groupState that keeps order, against the one rule: a message is handed out only when all
// earlier ones of its key are settled.
type orderModel struct {
	real    *groupState
	replica *groupState
	now     int64
	keys    []uint64 // by offset, 0: no key
	due     []int64
	settled []bool
	held    map[uint64]uint64 // offset to lock
	next    int               // the first message never handed to the state
}

func newOrderModel(t *rapid.T) *orderModel {
	m := &orderModel{
		real: newGroupState(0, 1000, 1), replica: newGroupState(0, 1000, 1),
		now: 1, held: map[uint64]uint64{},
	}
	for range rapid.IntRange(1, 60).Draw(t, "messages") {
		m.keys = append(m.keys, rapid.Uint64Range(0, 3).Draw(t, "key"))
		m.due = append(m.due, rapid.SampledFrom([]int64{0, 0, 0, 30}).Draw(t, "due"))
	}
	m.settled = make([]bool, len(m.keys))
	m.real.setMaxDeliveries(3)
	m.real.startOrder(nil)
	return m
}

// handedOut requires that offset may be.
func (m *orderModel) handedOut(t *rapid.T, g grant) {
	require.False(t, m.settled[g.offset], "%d is settled", g.offset)
	require.NotContains(t, m.held, g.offset)
	require.GreaterOrEqual(t, m.now, m.due[g.offset], "%d is not due", g.offset)
	if key := m.keys[g.offset]; key != 0 {
		for before := range g.offset {
			require.True(t, m.keys[before] != key || m.settled[before], "%d overtakes %d of the same key", g.offset, before)
		}
	}
	m.held[g.offset] = g.lock
}

// Next takes a message as group.takeOne does.
func (m *orderModel) Next(t *rapid.T) {
	if g, ok := m.real.acquireAvailable(1, m.now+20); ok {
		m.handedOut(t, g)
		return
	}
	if m.next == len(m.keys) {
		t.Skip("there are no more")
	}
	key, due := m.keys[m.next], m.due[m.next]
	m.next++
	switch {
	case key != 0 && m.real.blockNext(key, due):
	case due > m.now:
		m.real.delayNext(due)
	default:
		m.handedOut(t, m.real.acquireNext(1, m.now+20))
	}
}

func (m *orderModel) some(t *rapid.T) (offset, lock uint64) {
	if len(m.held) == 0 {
		t.Skip("nothing is in hand")
	}
	var offsets []uint64
	for offset := range m.held {
		offsets = append(offsets, offset)
	}
	slices.Sort(offsets)
	offset = rapid.SampledFrom(offsets).Draw(t, "delivery")
	return offset, m.held[offset]
}

func (m *orderModel) Ack(t *rapid.T) {
	offset, lock := m.some(t)
	require.NoError(t, m.real.ack(offset, lock))
	delete(m.held, offset)
	m.settled[offset] = true
}

func (m *orderModel) Release(t *rapid.T) {
	offset, lock := m.some(t)
	require.NoError(t, m.real.release(offset, lock, m.now, m.now+rapid.Int64Range(0, 20).Draw(t, "delay")))
	delete(m.held, offset)
}

func (m *orderModel) Leave(*rapid.T) {
	m.real.giveBackAll(1)
	clear(m.held)
}

func (m *orderModel) Pass(t *rapid.T) {
	m.now += rapid.Int64Range(1, 30).Draw(t, "time")
	m.real.expire(instant{m.now, m.now})
	for offset := range m.held {
		if s := m.real.at(offset); s == nil || s.status != acquired {
			delete(m.held, offset)
		}
	}
}

func (m *orderModel) Bury(t *rapid.T) {
	offset, _, ok := m.real.nextDeadLetter()
	if !ok {
		t.Skip("nothing is dead")
	}
	m.real.deadLettered(offset)
	m.settled[offset] = true
}

// Restart goes on from what was saved, and from the messages' keys.
func (m *orderModel) Restart(t *rapid.T) {
	e := m.real.changes(0)
	if rapid.Bool().Draw(t, "everything") {
		e = m.real.everything(0)
	}
	decoded, err := decodeEvent(appendEvent(nil, &e))
	require.NoError(t, err)
	require.NoError(t, m.replica.apply(decoded))
	m.real, m.replica = m.replica, newGroupState(0, 1000, 1)
	m.real.lastLock = rapid.Uint64Range(1<<20, 1<<40).Draw(t, "first lock")
	m.real.setMaxDeliveries(3)
	m.real.resume()
	m.next = int(m.real.next)
	m.order()
	e = m.real.everything(0)
	require.NoError(t, m.replica.apply(e))
	m.real.expire(instant{m.now, m.now})
	clear(m.held)
}

// order is what a first member that asks for order does.
func (m *orderModel) order() {
	var messages []keyed
	for _, offset := range m.real.unackedFrom(m.real.start) {
		if m.keys[offset] != 0 {
			messages = append(messages, keyed{offset, m.keys[offset]})
		}
	}
	m.real.startOrder(messages)
}

// Toggle lets the group begin anew without order, and at once with it again.
func (m *orderModel) Toggle(*rapid.T) {
	m.real.giveBackAll(1)
	clear(m.held)
	m.real.dropOrder()
	m.order()
}

// Drain settles everything: nothing may be stuck behind a line.
func (m *orderModel) Drain(t *rapid.T) {
	for !slices.Equal(m.settled, slices.Repeat([]bool{true}, len(m.keys))) {
		m.now += 100
		m.real.expire(instant{m.now, m.now})
		clear(m.held)
		progress := false
		for offset, _, ok := m.real.nextDeadLetter(); ok; offset, _, ok = m.real.nextDeadLetter() {
			m.real.deadLettered(offset)
			m.settled[offset], progress = true, true
		}
		for m.real.ready.len() > 0 || m.next < len(m.keys) {
			m.Next(t)
			progress = true
			for offset, lock := range m.held {
				require.NoError(t, m.real.ack(offset, lock))
				delete(m.held, offset)
				m.settled[offset] = true
			}
			m.real.expire(instant{m.now, m.now})
		}
		require.True(t, progress, "messages are stuck")
	}
	require.Empty(t, m.real.order.lines)
	require.Empty(t, m.real.order.keys)
}

func TestOrderAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newOrderModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"next": m.Next, "next 2": m.Next, "next 3": m.Next, "ack": m.Ack, "ack 2": m.Ack, "release": m.Release,
			"leave": m.Leave, "pass": m.Pass, "bury": m.Bury, "restart": m.Restart, "toggle": m.Toggle,
		})
		m.Drain(t)
	})
}
