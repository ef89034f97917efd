package brokergrpc_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
)

// TestRedeliveryToAnotherMember: no ack in time, and the message goes to another; the first one's ack is refused.
func TestRedeliveryToAnotherMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		r.sendAll(t, "a")
		dead := r.join(t, &pb.SubscribeRequest{Window: 1, LockTimeout: durationpb.New(100 * time.Millisecond)})
		first := dead.next(t)
		other := r.join(t, explicit())
		again := other.next(t)
		require.Equal(t, "a", string(again.Msg.Payload))
		require.Equal(t, uint32(2), again.Msg.DeliveryCount)
		err := settling(r, &pb.Settlement{AckId: first.AckId})(t.Context())
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		r.accept(t, again)
		r.accept(t, first) // acknowledged already: no error
	})
}

func TestRenewKeepsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		r.sendAll(t, "a")
		const lock = 200 * time.Millisecond
		d := r.fetch(t, &pb.FetchRequest{LockTimeout: durationpb.New(lock)})[0]
		for range 4 {
			require.Empty(t, r.fetch(t, &pb.FetchRequest{Wait: durationpb.New(lock / 2)}))
			r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: d.AckId, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}}}})
		}
		require.Equal(t, uint32(2), r.fetch(t, &pb.FetchRequest{})[0].Msg.DeliveryCount)
	})
}

// TestDeadLettersAfterTheMaximum come after exactly so many deliveries, are listed, and go round again on request.
func TestDeadLettersAfterTheMaximum(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	r.send(t, &pb.Message{Payload: []byte("bad"), Key: "k", Id: "1", Headers: []*pb.Header{{Name: "n", Value: "v"}}})
	r.sendAll(t, "good")
	for n := uint32(1); n <= 3; n++ {
		d := r.fetch(t, &pb.FetchRequest{MaxDeliveries: 3})[0]
		require.Equal(t, []any{"bad", n}, []any{string(d.Msg.Payload), d.Msg.DeliveryCount})
		r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: d.AckId, How: &pb.Settlement_Release{Release: &pb.Release{}}}}})
	}
	r.accept(t, r.fetch(t, &pb.FetchRequest{})...) // good
	list := func() []*pb.Message {
		a, err := r.ListDeadLetters(t.Context(), &pb.ListDeadLettersRequest{Topic: "cases"})
		require.NoError(t, err)
		return a.Letters
	}
	require.Eventually(t, func() bool { return len(list()) == 1 }, patience, tick)
	letter := list()[0]
	require.Equal(t, []string{"bad", "k"}, []string{string(letter.Payload), letter.Key})
	for range 2 {
		_, err := r.RedriveDeadLetters(t.Context(), &pb.RedriveDeadLettersRequest{Topic: "cases", Offsets: []uint64{letter.Offset}})
		require.NoError(t, err)
	}
	require.Empty(t, list())
	ds := r.fetch(t, &pb.FetchRequest{Max: 5})
	require.Len(t, ds, 1, "sent again once")
	require.Equal(t, []string{"bad", "k"}, []string{string(ds[0].Msg.Payload), ds[0].Msg.Key})
	require.Equal(t, uint32(1), ds[0].Msg.DeliveryCount)
	headers := map[string]string{}
	for _, h := range ds[0].Msg.Headers {
		headers[h.Name] = h.Value
	}
	require.Equal(t, []string{"v", "1", "3", "g"}, []string{headers["n"], headers["dead-id"], headers["dead-count"], headers["dead-group"]})
	r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: ds[0].AckId, How: &pb.Settlement_Reject{Reject: &pb.Reject{Reason: "still"}}}}})
	require.Len(t, list(), 1)
	a, err := r.RedriveDeadLetters(t.Context(), &pb.RedriveDeadLettersRequest{Topic: "cases"})
	require.NoError(t, err)
	require.Equal(t, uint64(1), a.Redriven)
}

func TestOrderPerKeyOverTheWire(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	for i := range 4 {
		r.send(t, &pb.Message{Key: "a", Payload: fmt.Append(nil, "a", i)})
	}
	r.send(t, &pb.Message{Key: "b", Payload: []byte("b0")})
	r.send(t, &pb.Message{Payload: []byte("free")})
	one := r.join(t, &pb.SubscribeRequest{Ordered: true})
	a0, b0, free := one.next(t), one.next(t), one.next(t)
	require.Equal(t, []string{"a0", "b0", "free"}, []string{string(a0.Msg.Payload), string(b0.Msg.Payload), string(free.Msg.Payload)})
	r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: a0.AckId, How: &pb.Settlement_Release{Release: &pb.Release{}}}}})
	a0 = one.next(t)
	require.Equal(t, "a0", string(a0.Msg.Payload), "a released message is still before the next")
	for _, want := range []string{"a1", "a2", "a3"} {
		r.accept(t, a0)
		a0 = one.next(t)
		require.Equal(t, want, string(a0.Msg.Payload))
		require.Equal(t, uint32(1), a0.Msg.DeliveryCount)
	}
}

func TestSetPosition(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	r.sendAll(t, "0", "1", "2")
	before := time.Now()
	r.sendAll(t, "3")
	ds := r.fetch(t, &pb.FetchRequest{Max: 4})
	r.accept(t, ds[0], ds[1])
	for name, c := range map[string]struct {
		to   *pb.Position
		want uint64
	}{
		"earliest": {&pb.Position{At: &pb.Position_Earliest{Earliest: true}}, 0},
		"latest":   {&pb.Position{At: &pb.Position_Latest{Latest: true}}, 4},
		"offset":   {&pb.Position{At: &pb.Position_Offset{Offset: 2}}, 2},
		"time":     {&pb.Position{At: &pb.Position_Time{Time: timestamppb.New(before)}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			for _, group := range []string{"g", "new-" + name} {
				a, err := r.SetPosition(t.Context(), &pb.SetPositionRequest{Topic: "cases", ConsumerGroup: group, Position: c.to})
				require.NoError(t, err)
				require.Equal(t, c.want, a.Offset)
				ds := r.fetch(t, &pb.FetchRequest{ConsumerGroup: group, Max: 9, Wait: durationpb.New(100 * time.Millisecond)})
				require.Len(t, ds, 4-int(c.want))
				for i, d := range ds {
					require.Equal(t, []any{fmt.Sprint(int(c.want) + i), uint32(1)}, []any{string(d.Msg.Payload), d.Msg.DeliveryCount})
				}
			}
		})
	}
	err := settling(r, &pb.Settlement{AckId: ds[2].AckId, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}})(t.Context())
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
}

// TestPingsDoNotEndConnections: a zrpc client may ping every 10 s; a server of default settings ends it at the third.
func TestPingsDoNotEndConnections(t *testing.T) {
	if os.Getenv("CASEPRESS_SLOW") == "" {
		t.Skip("takes 45 s: set CASEPRESS_SLOW")
	}
	r := newRemote(t, brokergrpc.Options{})
	conn := r.dial(t, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}))
	stream, err := pb.NewBrokerClient(conn).Subscribe(t.Context(), &pb.SubscribeRequest{Topic: "cases", ConsumerGroup: "g"})
	require.NoError(t, err)
	<-time.After(45 * time.Second)
	r.sendAll(t, "a")
	_, err = stream.Recv()
	require.NoError(t, err)
}

// TestConnectsLeaveNothing: members come and go with a message in hand.
func TestConnectsLeaveNothing(t *testing.T) {
	n := 200
	if os.Getenv("CASEPRESS_SLOW") != "" {
		n = 10_000
	}
	r := newRemote(t, brokergrpc.Options{})
	var before int
	for i := range n {
		r.sendAll(t, "a") // what others had in hand is put off for a while
		if i == 10 {
			before = runtime.NumGoroutine()
		}
		conn, err := grpc.NewClient("passthrough:///broker", dialing(r)...)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := pb.NewBrokerClient(conn).Subscribe(ctx, &pb.SubscribeRequest{Topic: "cases", ConsumerGroup: "g", AckMode: pb.AckMode_ACK_MODE_EXPLICIT})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		if i%2 == 0 {
			cancel()
		}
		require.NoError(t, conn.Close())
		cancel()
	}
	require.Eventually(t, func() bool {
		info, err := r.broker.Group("cases", "g")
		return err == nil && info.Members == 0 && runtime.NumGoroutine() <= before+3
	}, patience, tick)
}
