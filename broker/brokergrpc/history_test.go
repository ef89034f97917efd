package brokergrpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
	"casepress/disk/disktest"
)

// A wireHistory is what clients of the gRPC face saw across power cuts.
type wireHistory struct {
	mu     sync.Mutex
	frozen bool              // the power is being cut: answers from now on prove nothing
	sent   map[string]uint64 // ID of a message whose Send was answered, and its offset
	groups map[string]*wireGroup
}

type wireGroup struct {
	ordered  bool
	acked    map[uint64]bool     // an Ack was sent
	last     map[uint64]uint32   // the highest count of a delivery that an Ack was sent of since the last restart
	durable  map[uint64]bool     // an Ack was answered as durable
	settled  map[uint64]bool     // the same, before the last restart
	seen     map[uint64]string   // ID
	byKey    map[string][]uint64 // offsets seen
	doubtful map[uint64]bool     // overtaken by one of its key, or come again: must be a dead letter
}

const wireMax = 3 // deliveries

func newWireHistory() *wireHistory {
	h := &wireHistory{sent: map[string]uint64{}, groups: map[string]*wireGroup{}}
	for _, name := range []string{"plain", "ordered"} {
		h.groups[name] = &wireGroup{
			ordered: name == "ordered", acked: map[uint64]bool{}, last: map[uint64]uint32{}, durable: map[uint64]bool{}, settled: map[uint64]bool{},
			seen: map[uint64]string{}, byKey: map[string][]uint64{}, doubtful: map[uint64]bool{},
		}
	}
	return h
}

// delivered checks a delivery, which may have lain in a buffer for a while: an ack of a later one may have come
// before it.
func (h *wireHistory) delivered(t *testing.T, g *wireGroup, m *pb.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	require.False(t, g.settled[m.Offset], "%d was acknowledged durably and comes again", m.Offset)
	// Else it may have been acknowledged by whoever had a later delivery, and then a late ack of an earlier one is no error.
	if g.durable[m.Offset] && m.DeliveryCount > g.last[m.Offset] {
		g.doubtful[m.Offset] = true // unless it was buried before the late ack of an earlier delivery
	}
	if at, ok := h.sent[m.Id]; ok {
		require.Equal(t, at, m.Offset, "%s is there twice", m.Id)
	}
	if id, ok := g.seen[m.Offset]; ok {
		require.Equal(t, id, m.Id)
	} else {
		g.seen[m.Offset] = m.Id
		g.byKey[m.Key] = append(g.byKey[m.Key], m.Offset)
	}
	for _, other := range g.byKey[m.Key] {
		if g.ordered && other < m.Offset && !g.acked[other] {
			g.doubtful[other] = true
		}
	}
}

// restarted begins a new round: no delivery of the last one is in any buffer.
func (h *wireHistory) restarted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen = false
	for _, g := range h.groups {
		for offset := range g.durable {
			g.settled[offset] = true
		}
		clear(g.last)
	}
}

func (h *wireHistory) freeze() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen = true
}

// finish drains a broker that nobody else uses, and looks for every message that was sent.
func (h *wireHistory) finish(t *testing.T, b *broker.Broker) {
	letters, _, err := b.DeadLetters("cases", 0, 100_000)
	require.NoError(t, err)
	dead := map[string]bool{}
	for _, m := range letters {
		place := m.Header(broker.DeadGroup) + "/" + m.Header(broker.DeadOffset)
		require.False(t, dead[place], "two dead letters of %s", place)
		dead[place] = true
		require.Equal(t, fmt.Sprint(wireMax), m.Header(broker.DeadCount))
	}
	for name, g := range h.groups {
		s := subscribe(t, b, name, broker.SubscribeOptions{Window: 1 << 20, LockTimeout: never, MaxDeliveries: -1, Unordered: true})
		info, err := b.Group("cases", name)
		require.NoError(t, err)
		left := map[uint64]bool{}
		for _, d := range receive(t, s, info.Lag) {
			require.False(t, g.settled[d.Offset], "%s: %d was acknowledged durably and comes again", name, d.Offset)
			left[d.Offset] = true
		}
		for id, offset := range h.sent {
			require.True(t, left[offset] || g.acked[offset] || dead[fmt.Sprintf("%s/%d", name, offset)], "%s: %s at %d is lost", name, id, offset)
		}
		for offset := range g.doubtful {
			require.True(t, dead[fmt.Sprintf("%s/%d", name, offset)], "%s: %d was overtaken or came again", name, offset)
		}
		t.Log(name, "seen", len(g.seen), "acknowledged durably", len(g.durable), "left", len(left), "dead letters", len(dead))
	}
}

// produce sends messages until ctx ends. What was not answered is sent again in the next round with the same ID.
func (h *wireHistory) produce(ctx context.Context, r *remote, name string) {
	for n := 0; ctx.Err() == nil; {
		id := name + strconv.Itoa(n)
		h.mu.Lock()
		_, known := h.sent[id]
		h.mu.Unlock()
		if known {
			n++
			continue
		}
		a, err := r.Send(ctx, &pb.SendRequest{Msg: &pb.Message{Topic: "cases", Id: id, Key: name, Payload: []byte(id)}})
		if err == nil {
			h.mu.Lock()
			if !h.frozen {
				h.sent[id] = a.Offset
			}
			h.mu.Unlock()
		}
	}
}

// consume is one member that settles, forgets, holds on and leaves at random.
func (h *wireHistory) consume(ctx context.Context, t *testing.T, r *remote, group string, rng *rand.Rand) {
	g := h.groups[group]
	for ctx.Err() == nil {
		session, leave := context.WithCancel(ctx)
		stream, err := r.Subscribe(session, &pb.SubscribeRequest{
			Topic: "cases", ConsumerGroup: group, Window: 8, MaxDeliveries: wireMax, Ordered: g.ordered,
			LockTimeout: durationpb.New(50 * time.Millisecond),
		})
		for err == nil && rng.IntN(60) > 0 {
			var d *pb.SubscribeResponse
			if d, err = stream.Recv(); err != nil {
				break
			}
			h.delivered(t, g, d.Msg)
			h.settle(ctx, r, g, d, rng)
		}
		leave()
	}
}

func (h *wireHistory) settle(ctx context.Context, r *remote, g *wireGroup, d *pb.SubscribeResponse, rng *rand.Rand) {
	q := &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: d.AckId}}}
	switch n := rng.IntN(20); {
	case n == 0:
		return // the lock lapses
	case n < 3:
		q.Settlements[0].How = &pb.Settlement_Release{Release: &pb.Release{Delay: durationpb.New(time.Duration(n) * time.Millisecond)}}
	default:
		q.Durable = n < 12
		h.mu.Lock()
		g.acked[d.Msg.Offset] = true
		g.last[d.Msg.Offset] = max(g.last[d.Msg.Offset], d.Msg.DeliveryCount)
		h.mu.Unlock()
	}
	a, err := r.Ack(ctx, q)
	if err == nil && q.Durable && a.Results[0].Failure == nil {
		h.mu.Lock()
		if !h.frozen {
			g.durable[d.Msg.Offset] = true
		}
		h.mu.Unlock()
	}
}

// TestHistoryOverTheWire: producers and two groups of members work at random while the server is cut off with the
// power again and again. No acknowledged send is lost, nothing acknowledged durably comes again, order per key holds
// where asked for, and dead letters have exactly the most deliveries.
func TestHistoryOverTheWire(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	h, fs := newWireHistory(), disktest.NewCrash(seed)
	var wg sync.WaitGroup
	for round := range 4 {
		b := openTopic(t, "/data", broker.Options{FS: fs, DedupWindow: time.Hour})
		r := startRemote(t, b, brokergrpc.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		for i := range 3 {
			wg.Go(func() { h.produce(ctx, r, fmt.Sprint("k", i, "-")) })
		}
		for i := range 4 {
			rng := rand.New(rand.NewPCG(seed, uint64(round*10+i)))
			wg.Go(func() { h.consume(ctx, t, r, []string{"plain", "ordered"}[i%2], rng) })
		}
		<-ctx.Done()
		h.freeze()
		cut := fs.CrashClone(0.5) // in the midst of it
		wg.Wait()
		cancel()
		r.stop(t)
		require.NoError(t, b.Close())
		if round%2 == 0 {
			fs = cut
		}
		h.restarted()
	}
	h.finish(t, openTopic(t, "/data", broker.Options{FS: fs}))
}
