package broker_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

// A history is what a test did to the topic "cases" and what it was told. It holds every observation against the
// promises: no acknowledged publish is lost; what a group acknowledged durably never comes again; whatever else
// comes, comes with the right payload and count.
type history struct {
	mu        sync.Mutex
	published map[uint64]string // acknowledged, by offset
	sent      map[string]bool   // every payload ever handed in
	groups    map[string]*groupHistory
	moment    int  // grows with every acknowledgement
	loose     bool // Close may have given back what is not noted yet
}

type groupHistory struct {
	acked    map[uint64]int  // the moment before which Ack or Reject returned nil
	durable  map[uint64]bool // and a Flush after it too
	rejected map[uint64]bool // Reject returned nil
	last     map[uint64]int  // delivery count at the latest delivery
	sure     map[uint64]int  // the same, less what may have been given back
	kept     map[uint64]int  // what of that is durable
}

func newHistory(groups ...string) *history {
	h := &history{published: map[uint64]string{}, sent: map[string]bool{}, groups: map[string]*groupHistory{}}
	for _, g := range groups {
		h.groups[g] = &groupHistory{
			acked: map[uint64]int{}, durable: map[uint64]bool{}, rejected: map[uint64]bool{},
			last: map[uint64]int{}, sure: map[uint64]int{}, kept: map[uint64]int{},
		}
	}
	return h
}

func (h *history) publishes(payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[payload] = true
}

func (h *history) acknowledged(offset uint64, payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published[offset] = payload
}

// now returns the moment. A Receive that begins now must not bring what was acknowledged before.
func (h *history) now() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.moment
}

// delivered checks a delivery by a Receive that began at that moment.
func (h *history) delivered(t require.TestingT, group string, d broker.Delivery, began int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[group]
	require.True(t, h.sent[string(d.Payload)], "%s: %q was never sent", group, d.Payload)
	if want, ok := h.published[d.Offset]; ok {
		require.Equal(t, want, string(d.Payload), "%s: offset %d", group, d.Offset)
	}
	moment, acked := g.acked[d.Offset]
	require.False(t, acked && moment <= began, "%s: offset %d was acknowledged and comes again", group, d.Offset)
	require.LessOrEqual(t, d.Count, g.last[d.Offset]+1, "%s: count of offset %d", group, d.Offset)
	require.True(t, h.loose || d.Count > g.kept[d.Offset], "%s: count %d of offset %d", group, d.Count, d.Offset)
	g.last[d.Offset], g.sure[d.Offset] = max(g.last[d.Offset], d.Count), d.Count
}

func (h *history) acks(group string, offset uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moment++
	h.groups[group].acked[offset] = h.moment
}

func (h *history) rejects(group string, offset uint64) {
	h.acks(group, offset)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.groups[group].rejected[offset] = true
}

// givesBack notes that the holder of these deliveries leaves: they may be uncounted.
func (h *history) givesBack(group string, held []broker.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[group]
	for _, d := range held {
		g.sure[d.Offset] = min(g.sure[d.Offset], d.Count-1)
		g.kept[d.Offset] = min(g.kept[d.Offset], d.Count-1)
	}
}

// flushing returns what to call when a Flush that begins now has succeeded.
func (h *history) flushing() (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	acked, sure := map[string]map[uint64]int{}, map[string]map[uint64]int{}
	for name, g := range h.groups {
		acked[name], sure[name] = maps.Clone(g.acked), maps.Clone(g.sure)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for name, g := range h.groups {
			for offset := range acked[name] {
				g.durable[offset] = true
			}
			for offset, count := range sure[name] {
				g.kept[offset] = min(count, g.sure[offset]) // unless given back meanwhile
			}
		}
	}
}

// crashed forgets what a crash may undo: acknowledgements that were not durable.
func (h *history) crashed() {
	for _, g := range h.groups {
		maps.DeleteFunc(g.acked, func(offset uint64, _ int) bool { return !g.durable[offset] })
		g.sure = maps.Clone(g.kept)
	}
}

// check drains a reopened broker by every group and gives all back.
func (h *history) check(t require.TestingT, b *broker.Broker) {
	end, err := b.End("cases")
	require.NoError(t, err)
	for offset := range h.published {
		require.Less(t, offset, end, "an acknowledged publish is gone")
	}
	for name, g := range h.groups {
		h.checkGroup(t, b, name, g, end)
	}
	h.checkDead(t, b)
}

func (h *history) checkGroup(t require.TestingT, b *broker.Broker, name string, g *groupHistory, end uint64) {
	if _, err := b.Group("cases", name); err != nil {
		require.ErrorIs(t, err, broker.ErrNoGroup)
		require.Empty(t, g.durable)
		require.Empty(t, g.kept)
	}
	s, err := b.Subscribe("cases", name, broker.SubscribeOptions{Window: math.MaxInt, LockTimeout: never})
	require.NoError(t, err)
	info, err := b.Group("cases", name)
	require.NoError(t, err)
	came := map[uint64]bool{}
	for len(came) < info.Lag {
		ds, err := s.Receive(background, info.Lag)
		require.NoError(t, err)
		for _, d := range ds {
			h.delivered(t, name, d, h.moment)
			came[d.Offset] = true
		}
		h.givesBack(name, ds)
	}
	for offset := range end {
		require.True(t, came[offset] || g.last[offset] > 0, "%s: offset %d was never delivered", name, offset)
		if !came[offset] {
			g.acked[offset], g.durable[offset] = h.moment, true
		}
	}
	require.NoError(t, s.Close())
	for offset := range came {
		g.last[offset]-- // given back
	}
}

// checkDead requires a dead letter for each Reject that returned nil, and none twice.
func (h *history) checkDead(t require.TestingT, b *broker.Broker) {
	letters := map[string]int{}
	if slices.Contains(b.Topics(), "cases.dead") {
		end, err := b.End("cases.dead")
		require.NoError(t, err)
		s, err := b.Subscribe("cases.dead", "check", broker.SubscribeOptions{Window: math.MaxInt, LockTimeout: never})
		require.NoError(t, err)
		for n := uint64(0); n < end; {
			ds, err := s.Receive(background, math.MaxInt)
			require.NoError(t, err)
			for _, d := range ds {
				letters[d.Header(broker.DeadOffset)+"/"+d.Header(broker.DeadGroup)]++
				require.True(t, h.sent[string(d.Payload)])
			}
			n += uint64(len(ds))
		}
		require.NoError(t, s.Close())
	}
	for name, g := range h.groups {
		for offset := range g.rejected {
			require.Equal(t, 1, letters[fmt.Sprintf("%d/%s", offset, name)], "dead letters of offset %d", offset)
		}
	}
}
