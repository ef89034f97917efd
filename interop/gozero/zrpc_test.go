package gozero_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	"casepress/broker/brokerpb"
	"casepress/interop/gozero/internal/testbroker"
)

// clientConf is what a config file with no more than a target gives: 2 s a call, breaker, p2c.
func clientConf(t *testing.T, target string) zrpc.RpcClientConf {
	t.Helper()
	var c zrpc.RpcClientConf
	require.NoError(t, conf.LoadFromYamlBytes([]byte("Target: "+target), &c))
	require.EqualValues(t, 2000, c.Timeout)
	require.True(t, c.Middlewares.Breaker)
	require.Equal(t, "p2c_ewma", c.BalancerName)
	return c
}

// patientConf is the same for tests in which no call may take too long, however busy the machine is.
func patientConf(t *testing.T, target string) zrpc.RpcClientConf {
	t.Helper()
	c := clientConf(t, target)
	c.Timeout = 20_000
	return c
}

func dial(t *testing.T, c zrpc.RpcClientConf) brokerpb.BrokerClient {
	t.Helper()
	cli, err := zrpc.NewClient(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Conn().Close()) })
	return brokerpb.NewBrokerClient(cli.Conn())
}

func send(t *testing.T, b brokerpb.BrokerClient, payload string) {
	t.Helper()
	r, err := b.Send(t.Context(), &brokerpb.SendRequest{Msg: &brokerpb.Message{Topic: "patient-updates", Payload: []byte(payload)}})
	require.NoError(t, err)
	require.True(t, r.GetSuccess())
}

func fetch(wait time.Duration) *brokerpb.FetchRequest {
	return &brokerpb.FetchRequest{Topic: "patient-updates", ConsumerGroup: "projection", Wait: durationpb.New(wait)}
}

func TestFetchOfNothingIsNoError(t *testing.T) {
	logx.Disable()
	t.Parallel()
	b := dial(t, clientConf(t, testbroker.Run(t, casepress(t))))
	_, err := b.CreateTopic(t.Context(), &brokerpb.CreateTopicRequest{Topic: "patient-updates"})
	require.NoError(t, err)

	var r *brokerpb.FetchResponse
	var began time.Time
	for range 3 { // the answer has 200 ms to arrive in, which is not always enough on a busy machine
		began = time.Now()
		r, err = b.Fetch(t.Context(), fetch(time.Minute)) // the call's timeout of 2 s is sooner
		if status.Code(err) != codes.DeadlineExceeded {
			break
		}
	}
	require.NoError(t, err)
	require.Empty(t, r.GetDeliveries())
	require.Greater(t, time.Since(began), time.Second)

	began = time.Now()
	r, err = b.Fetch(t.Context(), fetch(3*time.Second), zrpc.WithCallTimeout(10*time.Second))
	require.NoError(t, err)
	require.Empty(t, r.GetDeliveries())
	require.Greater(t, time.Since(began), 2500*time.Millisecond)

	send(t, b, "a")
	r, err = b.Fetch(t.Context(), fetch(time.Minute))
	require.NoError(t, err)
	require.Len(t, r.GetDeliveries(), 1)
	a, err := b.Ack(t.Context(), &brokerpb.AckRequest{AckId: r.GetDeliveries()[0].GetAckId()})
	require.NoError(t, err)
	require.Nil(t, a.GetResults()[0].GetFailure())
}

// What is a caller's fault must not cut off the other callers in its process.
func TestBadRequestsDoNotTripTheBreaker(t *testing.T) {
	logx.Disable()
	t.Parallel()
	b := dial(t, patientConf(t, testbroker.Run(t, casepress(t))))
	send(t, b, "a")
	held, err := b.Fetch(t.Context(), fetch(0))
	require.NoError(t, err)
	require.Len(t, held.GetDeliveries(), 1)
	ack := &brokerpb.AckRequest{AckId: held.GetDeliveries()[0].GetAckId()}

	bad := map[string]func() error{
		"Send, bad name": func() error {
			_, err := b.Send(t.Context(), &brokerpb.SendRequest{Msg: &brokerpb.Message{Topic: "no/topic"}})
			return err
		},
		"Send, protected": func() error {
			_, err := b.Send(t.Context(), &brokerpb.SendRequest{Msg: &brokerpb.Message{Topic: "case-reports"}})
			return err
		},
		"Fetch, unknown topic": func() error {
			_, err := b.Fetch(t.Context(), &brokerpb.FetchRequest{Topic: "unknown", ConsumerGroup: "projection"})
			return err
		},
		"DescribeGroup, unknown": func() error {
			_, err := b.DescribeGroup(t.Context(), &brokerpb.DescribeGroupRequest{Topic: "patient-updates", ConsumerGroup: "unknown"})
			return err
		},
		"DeleteGroup, in use": func() error {
			_, err := b.DeleteGroup(t.Context(), &brokerpb.DeleteGroupRequest{Topic: "patient-updates", ConsumerGroup: "projection"})
			return err
		},
		"Ack, no ack id": func() error {
			_, err := b.Ack(t.Context(), &brokerpb.AckRequest{AckId: "nonsense"})
			return err
		},
	}
	for name, call := range bad {
		for range 300 {
			switch code := status.Code(call()); code {
			case codes.OK, codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Aborted:
			default: // an open breaker has no status: UNKNOWN
				t.Fatalf("%s: %s", name, code)
			}
		}
	}
	for range 300 {
		send(t, b, "good")
	}
	a, err := b.Ack(t.Context(), ack)
	require.NoError(t, err)
	require.Nil(t, a.GetResults()[0].GetFailure())
}

func TestAppAndTokenAreSentAndDoNoHarm(t *testing.T) {
	logx.Disable()
	t.Parallel()
	b, err := broker.Open(t.TempDir(), broker.Options{})
	require.NoError(t, err)
	service := brokergrpc.NewService(b, brokergrpc.Options{})
	var mu sync.Mutex
	var got metadata.MD
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		mu.Lock()
		got, _ = metadata.FromIncomingContext(ctx)
		mu.Unlock()
		return h(ctx, r)
	}))
	brokerpb.RegisterBrokerServer(server, service)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
		require.NoError(t, service.Close())
		require.NoError(t, b.Close())
	})

	c := patientConf(t, l.Addr().String())
	c.App, c.Token = "trials", "secret"
	send(t, dial(t, c), "a")
	mu.Lock()
	require.Equal(t, []string{"trials"}, got.Get("app"))
	require.Equal(t, []string{"secret"}, got.Get("token"))
	mu.Unlock()

	c.Target = testbroker.Run(t, casepress(t))
	cli := dial(t, c)
	send(t, cli, "a")
	stream, err := cli.Subscribe(t.Context(), &brokerpb.SubscribeRequest{Topic: "patient-updates", ConsumerGroup: "projection"})
	require.NoError(t, err)
	d, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "a", string(d.GetMsg().GetPayload()))
}

// A server with gRPC's own keepalive policy ends such a connection after 31 s with too_many_pings.
func TestKeepaliveOfTenSeconds(t *testing.T) {
	if os.Getenv("CASEPRESS_KEEPALIVE") == "" {
		t.Skip("takes 45 s: set CASEPRESS_KEEPALIVE=1")
	}
	logx.Disable()
	t.Parallel()
	c := clientConf(t, testbroker.Run(t, casepress(t)))
	c.KeepaliveTime = 10 * time.Second
	b := dial(t, c)
	stream, err := b.Subscribe(t.Context(), &brokerpb.SubscribeRequest{Topic: "patient-updates", ConsumerGroup: "projection"})
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("the stream ended: %v", err)
	case <-time.After(45 * time.Second):
	}
	send(t, b, "a")
	require.NoError(t, <-got)
}
