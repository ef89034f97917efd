package brokergrpc_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
)

// A remote is a broker behind its gRPC server, on a wire in memory.
type remote struct {
	pb.BrokerClient
	broker *broker.Broker
	server *brokergrpc.Server
	wire   *bufconn.Listener
	served chan error
}

func startRemote(t testing.TB, b *broker.Broker, o brokergrpc.Options) *remote {
	t.Helper()
	r := &remote{broker: b, server: brokergrpc.NewServer(b, o), wire: bufconn.Listen(1 << 20), served: make(chan error, 1)}
	go func() { r.served <- r.server.Serve(r.wire) }()
	t.Cleanup(func() { r.stop(t) })
	r.BrokerClient = pb.NewBrokerClient(r.dial(t))
	return r
}

// stop shuts the server down; a second time does nothing.
func (r *remote) stop(t testing.TB) {
	if r.served == nil {
		return
	}
	require.NoError(t, r.server.Shutdown(context.Background()))
	require.NoError(t, <-r.served)
	r.served = nil
}

// dial makes a connection of its own.
func (r *remote) dial(t testing.TB, o ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///broker", append(o, dialing(r)...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func dialing(r *remote) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.wire.DialContext(ctx) }),
	}
}

func newRemote(t testing.TB, o brokergrpc.Options) *remote {
	t.Helper()
	return startRemote(t, openTopic(t, t.TempDir(), broker.Options{}), o)
}

func (r *remote) send(t testing.TB, m *pb.Message) uint64 {
	t.Helper()
	if m.Topic == "" {
		m.Topic = "cases"
	}
	a, err := r.Send(t.Context(), &pb.SendRequest{Msg: m})
	require.NoError(t, err)
	require.True(t, a.Success)
	return a.Offset
}

func (r *remote) sendAll(t testing.TB, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		r.send(t, &pb.Message{Payload: []byte(p)})
	}
}

// A member is a subscription over the wire.
type member struct {
	pb.Broker_SubscribeClient
	leave context.CancelFunc
}

// join subscribes and returns when the member is in the group.
func (r *remote) join(t testing.TB, q *pb.SubscribeRequest) *member {
	t.Helper()
	if q.Topic == "" {
		q.Topic = "cases"
	}
	if q.ConsumerGroup == "" {
		q.ConsumerGroup = "g"
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	stream, err := r.Subscribe(ctx, q)
	require.NoError(t, err)
	_, err = stream.Header()
	require.NoError(t, err)
	return &member{stream, cancel}
}

func (m *member) next(t testing.TB) *pb.SubscribeResponse {
	t.Helper()
	d, err := m.Recv()
	require.NoError(t, err)
	return d
}

func (r *remote) accept(t testing.TB, ds ...*pb.SubscribeResponse) {
	t.Helper()
	q := &pb.AckRequest{}
	for _, d := range ds {
		q.Settlements = append(q.Settlements, &pb.Settlement{AckId: d.AckId})
	}
	r.settle(t, q)
}

func (r *remote) settle(t testing.TB, q *pb.AckRequest) {
	t.Helper()
	a, err := r.Ack(t.Context(), q)
	require.NoError(t, err)
	for _, one := range a.Results {
		require.Nil(t, one.Failure)
	}
}

// fetch takes up to n messages, waiting shortly.
func (r *remote) fetch(t testing.TB, q *pb.FetchRequest) []*pb.SubscribeResponse {
	t.Helper()
	if q.Topic == "" {
		q.Topic = "cases"
	}
	if q.ConsumerGroup == "" {
		q.ConsumerGroup = "g"
	}
	a, err := r.Fetch(t.Context(), q)
	require.NoError(t, err)
	return a.Deliveries
}

func short() *durationpb.Duration { return durationpb.New(30 * time.Millisecond) }

func explicit() *pb.SubscribeRequest {
	return &pb.SubscribeRequest{AckMode: pb.AckMode_ACK_MODE_EXPLICIT}
}

func TestRemoteSendSubscribeAck(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	require.Equal(t, uint64(0), r.send(t, &pb.Message{Payload: []byte("a"), Id: "1", Key: "k", Headers: []*pb.Header{{Name: "n", Value: "v"}}}))
	require.Equal(t, uint64(0), r.send(t, &pb.Message{Payload: []byte("a"), Id: "1"}), "a resend is not a second message")
	r.sendAll(t, "b")
	m := r.join(t, explicit())
	a, b := m.next(t), m.next(t)
	require.Equal(t, []string{"a", "k", "1", "v"}, []string{string(a.Msg.Payload), a.Msg.Key, a.Msg.Id, a.Msg.Headers[0].Value})
	require.Equal(t, uint64(1), b.Msg.Offset)
	require.Equal(t, uint32(1), b.Msg.DeliveryCount)
	require.WithinDuration(t, time.Now(), b.Msg.Time.AsTime(), time.Minute)
	r.accept(t, a, b)
	info, err := r.DescribeGroup(t.Context(), &pb.DescribeGroupRequest{Topic: "cases", ConsumerGroup: "g"})
	require.NoError(t, err)
	require.Equal(t, uint64(2), info.Start)
	require.Zero(t, info.Lag)
}

// TestAMessageThatKillsItsConsumerBecomesADeadLetter: what was sent to a client whose connection broke is counted, and comes
// again after a pause.
func TestAMessageThatKillsItsConsumerBecomesADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		r.sendAll(t, "poison")
		o := explicit()
		o.Topic, o.ConsumerGroup, o.MaxDeliveries = "cases", "g", 3
		began := time.Now()
		for i := range 3 {
			conn, err := grpc.NewClient("passthrough:///broker", dialing(r)...)
			require.NoError(t, err)
			stream, err := pb.NewBrokerClient(conn).Subscribe(t.Context(), o)
			require.NoError(t, err)
			d, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, uint32(i+1), d.Msg.DeliveryCount)
			require.NoError(t, conn.Close()) // it dies
		}
		require.Equal(t, 300*time.Millisecond, time.Since(began), "100 ms, then 200 ms")
		other := r.join(t, o)
		r.sendAll(t, "sound")
		require.Equal(t, "sound", string(other.next(t).Msg.Payload), "the group goes on")
		require.Eventually(t, func() bool {
			a, err := r.ListDeadLetters(t.Context(), &pb.ListDeadLettersRequest{Topic: "cases"})
			return err == nil && len(a.Letters) == 1
		}, patience, tick)
	})
}

// members waits until the group has n.
func (r *remote) members(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		g, err := r.DescribeGroup(t.Context(), &pb.DescribeGroupRequest{Topic: "cases", ConsumerGroup: "g"})
		return err == nil && int(g.Members) == n
	}, patience, tick)
}

// TestGoodbyeIsUncounted: of a client that goes and gives everything back.
func TestGoodbyeIsUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		r.sendAll(t, "a", "b")
		leaving := r.join(t, explicit())
		var give []*pb.Settlement
		for range 2 {
			give = append(give, &pb.Settlement{AckId: leaving.next(t).AckId, How: &pb.Settlement_Release{Release: &pb.Release{Uncounted: true}}})
		}
		leaving.leave()
		r.members(t, 0)
		a, err := r.Ack(t.Context(), &pb.AckRequest{Settlements: append(give, &pb.Settlement{AckId: give[0].GetAckId(), How: &pb.Settlement_Release{
			Release: &pb.Release{Uncounted: true, Delay: durationpb.New(time.Second)}}})})
		require.NoError(t, err)
		require.Nil(t, a.Results[0].Failure)
		require.Nil(t, a.Results[1].Failure)
		require.Equal(t, int32(codes.InvalidArgument), a.Results[2].Failure.GetCode())
		staying := r.join(t, explicit())
		for _, want := range []string{"a", "b"} {
			d := staying.next(t)
			require.Equal(t, want, string(d.Msg.Payload))
			require.Equal(t, uint32(1), d.Msg.DeliveryCount)
		}
	})
}

// TestALockHoldsOnWhileItsMessageIsPutOff, for perhaps only the connection broke.
func TestALockHoldsOnWhileItsMessageIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		r.sendAll(t, "a", "b")
		leaving := r.join(t, explicit())
		a, b := leaving.next(t), leaving.next(t)
		leaving.leave()
		r.members(t, 0)
		r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{
			{AckId: b.AckId}, {AckId: a.AckId, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}},
		}})
		staying := r.join(t, explicit())
		r.sendAll(t, "c")
		require.Equal(t, "c", string(staying.next(t).Msg.Payload))
		r.settle(t, &pb.AckRequest{AckId: a.AckId})
	})
}

func TestFetchHoldsWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		require.Empty(t, r.fetch(t, &pb.FetchRequest{Wait: short()}))
		r.sendAll(t, "a", "b", "c")
		synctest.Wait() // until all have been read for the group
		ds := r.fetch(t, &pb.FetchRequest{Max: 2})
		require.Len(t, ds, 2)
		ds = append(ds, r.fetch(t, &pb.FetchRequest{Max: 2})...)
		require.Len(t, ds, 3)
		require.Empty(t, r.fetch(t, &pb.FetchRequest{Wait: short()}))
		other := pb.NewBrokerClient(r.dial(t))
		_, err := other.Ack(t.Context(), &pb.AckRequest{AckId: ds[0].AckId, Durable: true})
		require.NoError(t, err)
		r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: ds[1].AckId, How: &pb.Settlement_Release{Release: &pb.Release{}}}}})
		again := r.fetch(t, &pb.FetchRequest{})
		require.Equal(t, "b", string(again[0].Msg.Payload))
		require.Equal(t, uint32(2), again[0].Msg.DeliveryCount)
	})
}

func TestSendStreamAnswersInOrder(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	stream, err := r.SendStream(t.Context())
	require.NoError(t, err)
	const n = 1000
	go func() {
		for range n {
			_ = stream.Send(&pb.SendStreamRequest{Msgs: []*pb.Message{{Topic: "cases", Payload: []byte("x")}}})
		}
		_ = stream.Send(&pb.SendStreamRequest{Msgs: []*pb.Message{
			{Topic: "cases", Id: "same"}, {Topic: "cases", Key: string(make([]byte, 2000))}, {Topic: "other"}, {Topic: "cases", Id: "same"},
		}})
		_ = stream.CloseSend()
	}()
	var results []*pb.SendResult
	for len(results) < n+4 {
		a, err := stream.Recv()
		require.NoError(t, err)
		results = append(results, a.Results...)
	}
	for i := range n {
		require.Equal(t, uint64(i), results[i].Offset)
	}
	require.Equal(t, uint64(n), results[n].Offset)
	require.Equal(t, int32(codes.InvalidArgument), results[n+1].Failure.Code)
	require.Equal(t, uint64(0), results[n+2].Offset)
	require.Equal(t, uint64(n), results[n+3].Offset)
	_, err = stream.Recv()
	require.Error(t, err)
}

func TestStopEndsSubscriptionsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		r.sendAll(t, "a")
		m := r.join(t, explicit())
		m.next(t)
		stream, err := r.SendStream(t.Context())
		require.NoError(t, err)
		require.NoError(t, stream.Send(&pb.SendStreamRequest{Msgs: []*pb.Message{{Topic: "cases"}}}))
		_, err = stream.Recv()
		require.NoError(t, err)
		start := time.Now()
		r.stop(t)
		require.Zero(t, time.Since(start), "nothing is waited for")
		for err = nil; err == nil; {
			_, err = m.Recv() // what was sent on the stream may have come, too
		}
		require.Equal(t, codes.Unavailable, status.Code(err))
		_, err = stream.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err))
		d := receive(t, subscribe(t, r.broker, "g", broker.SubscribeOptions{}), 1)
		require.Equal(t, 1, d[0].Count)
	})
}
