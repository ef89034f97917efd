package brokergrpc_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
)

// unread opens subscriptions on a connection of their own, each its own group, and reads nothing. It returns when all are
// members.
func (r *remote) unread(t *testing.T, ctx context.Context, n int, prefix string) pb.BrokerClient {
	t.Helper()
	c := pb.NewBrokerClient(r.dial(t, grpc.WithStaticStreamWindowSize(64<<10)))
	for i := range n {
		q := explicit()
		q.Topic, q.ConsumerGroup, q.Window = "cases", fmt.Sprint(prefix, i), 1000
		stream, err := c.Subscribe(ctx, q)
		require.NoError(t, err)
		_, err = stream.Header()
		require.NoError(t, err)
	}
	return c
}

// delivered is how many messages the groups hold that are handed out and not acknowledged.
func (r *remote) delivered(t *testing.T, n int, prefix string) (all, most int) {
	t.Helper()
	for i := range n {
		info, err := r.broker.Group("cases", fmt.Sprint(prefix, i))
		require.NoError(t, err)
		all += info.InFlight
		most = max(most, info.InFlight)
	}
	return all, most
}

// TestUnreadBytesOfAConnection are bounded: beyond that messages stay with their groups, undelivered, and other
// connections go on.
func TestUnreadBytesOfAConnection(t *testing.T) {
	const size, subscriptions = 64 << 10, 40
	r := newRemote(t, brokergrpc.Options{MaxUnreadBytes: 512 << 10})
	for range 20 {
		r.send(t, &pb.Message{Payload: bytes.Repeat([]byte("x"), size)})
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	client := r.unread(t, ctx, subscriptions, "stuck")
	// 64 KiB of each stream have been written, and so a part of the first message; it has room for another of its own.
	const own = 2 * subscriptions
	var all int
	require.Eventually(t, func() bool {
		was := all
		all, _ = r.delivered(t, subscriptions, "stuck")
		return all > 0 && all == was
	}, patience, 200*time.Millisecond)
	require.LessOrEqual(t, all, own+(512<<10)/size)

	m := r.join(t, explicit())
	for range 20 {
		r.accept(t, m.next(t))
	}
	// A call that is answered at once has what it needs, too.
	_, err := client.DescribeGroup(t.Context(), &pb.DescribeGroupRequest{Topic: "cases", ConsumerGroup: "stuck0"})
	require.NoError(t, err)
	leave()
	for got := 0; got < 20; { // the room comes back with the streams
		f, err := client.Fetch(t.Context(), &pb.FetchRequest{Topic: "cases", ConsumerGroup: "after", Max: 20})
		require.NoError(t, err)
		require.NotEmpty(t, f.Deliveries)
		got += len(f.Deliveries)
	}
}

// TestNothingIsLostForLackOfRoom: forty subscriptions that read slowly, with room for two messages, get everything once,
// each in its first delivery.
func TestNothingIsLostForLackOfRoom(t *testing.T) {
	const messages, subscriptions = 15, 40
	r := newRemote(t, brokergrpc.Options{MaxUnreadBytes: 140_000})
	for i := range messages {
		r.send(t, &pb.Message{Id: fmt.Sprint(i), Payload: bytes.Repeat([]byte("x"), 60_000)})
	}
	client := pb.NewBrokerClient(r.dial(t))
	var streams []pb.Broker_SubscribeClient
	for i := range subscriptions {
		q := explicit()
		q.Topic, q.ConsumerGroup, q.Window = "cases", fmt.Sprint("g", i), messages
		stream, err := client.Subscribe(t.Context(), q)
		require.NoError(t, err)
		streams = append(streams, stream)
	}
	for _, stream := range streams { // one after the other: all the others read nothing meanwhile
		for i := range messages {
			d, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), d.Msg.Id)
			require.EqualValues(t, 1, d.Msg.DeliveryCount)
		}
	}
}

// TestRoomIsGivenBack by every kind of answer, whichever way it ends.
func TestRoomIsGivenBack(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{MaxUnreadBytes: 50_000})
	conn := pb.NewBrokerClient(r.dial(t))
	require.NoError(t, r.broker.CreateTopic(t.Context(), "cases.dead"))
	letter := broker.Message{Headers: []broker.Header{{Name: "long", Value: strings.Repeat("x", 8000)}}}
	for range 20 {
		_, err := r.broker.Publish(t.Context(), "cases.dead", letter)
		require.NoError(t, err)
		r.send(t, &pb.Message{Payload: bytes.Repeat([]byte("x"), 30_000)})
		r.sendAll(t, "small")
	}
	for range 10 { // each leaks if one does, and then the next one waits for ever
		got := 0
		for got < 40 {
			f, err := conn.Fetch(t.Context(), &pb.FetchRequest{Topic: "cases", ConsumerGroup: "fetchers", Max: 7})
			require.NoError(t, err)
			require.NotEmpty(t, f.Deliveries)
			got += len(f.Deliveries)
		}
		require.Equal(t, 40, got)
		_, err := conn.SetPosition(t.Context(), &pb.SetPositionRequest{Topic: "cases", ConsumerGroup: "fetchers", Position: &pb.Position{At: &pb.Position_Earliest{}}})
		require.NoError(t, err)
		l, err := conn.ListDeadLetters(t.Context(), &pb.ListDeadLettersRequest{Topic: "cases"})
		require.NoError(t, err)
		require.Len(t, l.Letters, 20)
		_, err = conn.ListDeadLetters(t.Context(), &pb.ListDeadLettersRequest{Topic: "nowhere"})
		require.Equal(t, codes.NotFound, status.Code(err))
		ctx, leave := context.WithCancel(t.Context())
		q := explicit()
		q.Topic, q.ConsumerGroup = "cases", "leaving"
		stream, err := conn.Subscribe(ctx, q)
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		leave()
	}
}

// TestMaxConnections closes a connection too many and takes another when one has gone.
func TestMaxConnections(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{MaxConnections: 2})
	use := func(c pb.BrokerClient) error {
		_, err := c.ListTopics(t.Context(), &pb.ListTopicsRequest{})
		return err
	}
	require.NoError(t, use(r))
	second, err := grpc.NewClient("passthrough:///broker", dialing(r)...)
	require.NoError(t, err)
	require.NoError(t, use(pb.NewBrokerClient(second)))
	third := pb.NewBrokerClient(r.dial(t))
	require.Equal(t, codes.Unavailable, status.Code(use(third)))
	require.NoError(t, use(r), "those that are there go on")
	require.NoError(t, second.Close())
	require.Eventually(t, func() bool { return use(third) == nil }, patience, 20*time.Millisecond)
}

// TestUnreadMemory: 200 subscriptions on four connections, each a group of its own, that read nothing of 50 MB. The bounds
// are on what stays in memory, so they hold on any machine.
func TestUnreadMemory(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{MaxSubscriptions: 50})
	for range 50 {
		var batch pb.SendBatchRequest
		for range 15 {
			batch.Msgs = append(batch.Msgs, &pb.Message{Topic: "cases", Payload: bytes.Repeat([]byte("x"), 64<<10)})
		}
		_, err := r.SendBatch(t.Context(), &batch)
		require.NoError(t, err)
	}
	before := heap()
	for i := range 4 {
		r.unread(t, t.Context(), 50, fmt.Sprint("c", i, "-"))
	}
	// 32 MiB of reading ahead, 4 times 1 MiB for a connection and 200 times 72 KiB for a subscription, 64 KiB of each at the
	// clients, which are in this process too, 50 KiB for whatever else a subscription takes there and here, and five wires of 2 MiB.
	const most = 32<<20 + 4<<20 + 200*(72+64+50)<<10 + 5*2<<20
	for i := range 4 {
		require.Eventually(t, func() bool {
			for k := range 50 {
				if info, err := r.broker.Group("cases", fmt.Sprint("c", i, "-", k)); err != nil || info.InFlight == 0 {
					return false
				}
			}
			return true
		}, patience, 50*time.Millisecond, "each has been given something")
	}
	require.Eventually(t, func() bool { return max(heap()-before, heap()-before) < most }, patience, 100*time.Millisecond)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
