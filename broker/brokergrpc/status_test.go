package brokergrpc_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
	"casepress/disk/disktest"
)

const (
	patience = time.Minute // how long a test waits for what must come
	tick     = 2 * time.Millisecond
)

func TestStatusCodes(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{MaxTopics: 7, ReadOnly: []string{"own"}, Private: []string{"secret"}})
	for _, topic := range []string{"own", "own.dead", "busy", "secret", "secret.dead"} {
		require.NoError(t, r.broker.CreateTopic(t.Context(), topic))
	}
	_, err := r.broker.Subscribe("busy", "g", broker.SubscribeOptions{})
	require.NoError(t, err)
	d := r.held(t)
	for name, c := range map[string]struct {
		code codes.Code
		text string // the message begins with it
		call func(ctx context.Context) error
	}{
		"empty fetch": {codes.OK, "", func(ctx context.Context) error {
			_, err := r.Fetch(ctx, &pb.FetchRequest{Topic: "busy", ConsumerGroup: "other", Wait: short()})
			return err
		}},
		"no message":     {codes.InvalidArgument, "msg", sending(r, nil)},
		"no topic name":  {codes.InvalidArgument, "topic", sending(r, &pb.Message{})},
		"bad topic name": {codes.InvalidArgument, "topic", sending(r, &pb.Message{Topic: "a/b"})},
		"big payload":    {codes.InvalidArgument, "payload", sending(r, &pb.Message{Topic: "cases", Payload: make([]byte, 2<<20)})},
		"big id":         {codes.InvalidArgument, "id", sending(r, &pb.Message{Topic: "cases", Id: strings.Repeat("x", 600)})},
		"protected":      {codes.PermissionDenied, "topic", sending(r, &pb.Message{Topic: "own"})},
		"protected dead": {codes.PermissionDenied, "topic", sending(r, &pb.Message{Topic: "own.dead"})},
		"created":        {codes.OK, "", sending(r, &pb.Message{Topic: "fifth"})},
		"too many": {codes.FailedPrecondition, "topic", func(ctx context.Context) error {
			if err := sending(r, &pb.Message{Topic: "fifth"})(ctx); err != nil {
				return err
			}
			return sending(r, &pb.Message{Topic: "sixth"})(ctx)
		}},
		"no batch": {codes.InvalidArgument, "msgs", func(ctx context.Context) error {
			_, err := r.SendBatch(ctx, &pb.SendBatchRequest{})
			return err
		}},
		"fetch nowhere": {codes.NotFound, "", fetching(r, &pb.FetchRequest{Topic: "nowhere", ConsumerGroup: "g"})},
		"no group name": {codes.InvalidArgument, "consumerGroup", fetching(r, &pb.FetchRequest{Topic: "cases"})},
		"bad wait":      {codes.InvalidArgument, "wait", fetching(r, &pb.FetchRequest{Topic: "cases", ConsumerGroup: "g", Wait: durationpb.New(time.Hour)})},
		"private":       {codes.PermissionDenied, "topic", fetching(r, &pb.FetchRequest{Topic: "secret", ConsumerGroup: "mine"})},
		"private dead":  {codes.PermissionDenied, "topic", fetching(r, &pb.FetchRequest{Topic: "secret.dead", ConsumerGroup: "mine"})},
		"read only":     {codes.OK, "", fetching(r, &pb.FetchRequest{Topic: "own", ConsumerGroup: "mine", Wait: short()})},
		"bad position": {codes.InvalidArgument, "", fetching(r, &pb.FetchRequest{
			Topic: "cases", ConsumerGroup: "new", From: &pb.Position{At: &pb.Position_Offset{Offset: 99}},
		})},
		"bad window": {codes.InvalidArgument, "window", subscribing(r, &pb.SubscribeRequest{Topic: "cases", ConsumerGroup: "g", Window: 1 << 30})},
		"bad lock": {codes.InvalidArgument, "lock_timeout", subscribing(r, &pb.SubscribeRequest{
			Topic: "cases", ConsumerGroup: "g", LockTimeout: durationpb.New(-1),
		})},
		"subscribe private": {codes.PermissionDenied, "topic", subscribing(r, &pb.SubscribeRequest{Topic: "secret", ConsumerGroup: "mine"})},
		"no settlement": {codes.InvalidArgument, "settlements", func(ctx context.Context) error {
			_, err := r.Ack(ctx, &pb.AckRequest{})
			return err
		}},
		"no ack id": {codes.InvalidArgument, "ack_id: \"nonsense\"", settling(r, &pb.Settlement{AckId: "nonsense"})},
		"lost lock": {codes.FailedPrecondition, "ack_id of message", settling(r, &pb.Settlement{AckId: d.AckId, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}})},
		"bad delay": {codes.InvalidArgument, "delay", settling(r, &pb.Settlement{AckId: d.AckId, How: &pb.Settlement_Release{Release: &pb.Release{Delay: durationpb.New(-1)}}})},
		"describe": {codes.NotFound, "", func(ctx context.Context) error {
			_, err := r.DescribeTopic(ctx, &pb.DescribeTopicRequest{Topic: "nowhere"})
			return err
		}},
		"list": {codes.NotFound, "", func(ctx context.Context) error {
			_, err := r.ListGroups(ctx, &pb.ListGroupsRequest{Topic: "nowhere"})
			return err
		}},
		"group": {codes.NotFound, "", func(ctx context.Context) error {
			_, err := r.DescribeGroup(ctx, &pb.DescribeGroupRequest{Topic: "cases", ConsumerGroup: "nobody"})
			return err
		}},
		"busy topic": {codes.Aborted, "in use", func(ctx context.Context) error {
			_, err := r.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: "busy"})
			return err
		}},
		"busy group": {codes.Aborted, "in use", func(ctx context.Context) error {
			_, err := r.DeleteGroup(ctx, &pb.DeleteGroupRequest{Topic: "busy", ConsumerGroup: "g"})
			return err
		}},
		"own topic": {codes.PermissionDenied, "topic", func(ctx context.Context) error {
			_, err := r.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: "own"})
			return err
		}},
		"list private": {codes.PermissionDenied, "topic", func(ctx context.Context) error {
			_, err := r.ListDeadLetters(ctx, &pb.ListDeadLettersRequest{Topic: "secret"})
			return err
		}},
		"private letters": {codes.PermissionDenied, "topic", func(ctx context.Context) error {
			_, err := r.RedriveDeadLetters(ctx, &pb.RedriveDeadLettersRequest{Topic: "secret"})
			return err
		}},
		"no letter": {codes.InvalidArgument, "offsets", func(ctx context.Context) error {
			_, err := r.RedriveDeadLetters(ctx, &pb.RedriveDeadLettersRequest{Topic: "cases", Offsets: []uint64{7}})
			return err
		}},
		"no place": {codes.InvalidArgument, "position", func(ctx context.Context) error {
			_, err := r.SetPosition(ctx, &pb.SetPositionRequest{Topic: "cases", ConsumerGroup: "g"})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call(t.Context())
			require.Equal(t, c.code.String(), status.Code(err).String(), "%v", err)
			require.True(t, strings.HasPrefix(status.Convert(err).Message(), c.text), "%v", err)
		})
	}
}

// held returns a delivery whose lock is lost.
func (r *remote) held(t *testing.T) *pb.SubscribeResponse {
	r.sendAll(t, "a")
	d := r.fetch(t, &pb.FetchRequest{ConsumerGroup: "held"})[0]
	r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: d.AckId, How: &pb.Settlement_Release{Release: &pb.Release{}}}}})
	return d
}

func sending(r *remote, m *pb.Message) func(context.Context) error {
	return func(ctx context.Context) error { _, err := r.Send(ctx, &pb.SendRequest{Msg: m}); return err }
}

func fetching(r *remote, q *pb.FetchRequest) func(context.Context) error {
	return func(ctx context.Context) error { _, err := r.Fetch(ctx, q); return err }
}

func subscribing(r *remote, q *pb.SubscribeRequest) func(context.Context) error {
	return func(ctx context.Context) error {
		stream, err := r.Subscribe(ctx, q)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
}

// settling returns the failure of the one result.
func settling(r *remote, s *pb.Settlement) func(context.Context) error {
	return func(ctx context.Context) error {
		a, err := r.Ack(ctx, &pb.AckRequest{Settlements: []*pb.Settlement{s}})
		if err != nil {
			return err
		}
		f := a.Results[0].GetFailure()
		return status.Error(codes.Code(f.GetCode()), f.GetMessage())
	}
}

func TestFullDiskIsExhaustedAndABrokenOneUnavailable(t *testing.T) {
	fs := disktest.NewCrash(1)
	full := disktest.NewFault(fs)
	b, err := broker.Open("/data", broker.Options{FS: full})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	r := startRemote(t, b, brokergrpc.Options{})
	r.sendAll(t, "a")
	full.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.ENOSPC})
	require.Equal(t, codes.ResourceExhausted, status.Code(sending(r, &pb.Message{Topic: "cases"})(t.Context())))
	full.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.EIO})
	require.Equal(t, codes.Unavailable, status.Code(sending(r, &pb.Message{Topic: "cases"})(t.Context())))
}

func TestFetchAnswersBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, brokergrpc.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		a, err := r.Fetch(ctx, &pb.FetchRequest{Topic: "cases", ConsumerGroup: "g", Wait: durationpb.New(time.Minute)})
		require.NoError(t, err)
		require.Empty(t, a.Deliveries)
		require.Equal(t, 800*time.Millisecond, time.Since(start))
	})
}

func TestHealthAndReflection(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	health := grpc_health_v1.NewHealthClient(r.dial(t))
	for _, service := range []string{"", "broker.Broker"} {
		a, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		require.NoError(t, err)
		require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, a.Status)
	}
	ask, err := grpc_reflection_v1.NewServerReflectionClient(r.dial(t)).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, ask.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "broker.Broker"},
	}))
	a, err := ask.Recv()
	require.NoError(t, err)
	require.NotEmpty(t, a.GetFileDescriptorResponse().GetFileDescriptorProto())
	require.NoError(t, ask.CloseSend())
}

// TestClientsMayNotFillTheDisk: below the floor of free disk clients are refused, and consuming goes on.
func TestClientsMayNotFillTheDisk(t *testing.T) {
	var full error
	r := newRemote(t, brokergrpc.Options{Room: func() error { return full }})
	r.sendAll(t, "a")
	require.Empty(t, r.fetch(t, &pb.FetchRequest{From: &pb.Position{At: &pb.Position_Latest{}}, Wait: durationpb.New(0)})) // the group is there
	r.sendAll(t, "b")
	full = errors.New("disk: 10 MiB are free, 1 GiB must stay")
	stream, err := r.SendStream(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.SendStreamRequest{Msgs: []*pb.Message{{Topic: "cases"}}}))
	a, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, codes.ResourceExhausted, codes.Code(a.Results[0].GetFailure().GetCode()))
	require.NoError(t, stream.CloseSend())
	for name, call := range map[string]func(context.Context) error{
		"send":   sending(r, &pb.Message{Topic: "cases"}),
		"create": sending(r, &pb.Message{Topic: "another"}),
		"batch": func(ctx context.Context) error {
			_, err := r.SendBatch(ctx, &pb.SendBatchRequest{Msgs: []*pb.Message{{Topic: "cases"}}})
			return err
		},
		"create topic": func(ctx context.Context) error {
			_, err := r.CreateTopic(ctx, &pb.CreateTopicRequest{Topic: "another"})
			return err
		},
		"redrive": func(ctx context.Context) error {
			_, err := r.RedriveDeadLetters(ctx, &pb.RedriveDeadLettersRequest{Topic: "cases"})
			return err
		},
	} {
		err := call(t.Context())
		require.Equal(t, codes.ResourceExhausted, status.Code(err), name)
		require.ErrorContains(t, err, "10 MiB are free", name)
	}
	r.accept(t, r.fetch(t, &pb.FetchRequest{})...)
}

// TestDeadLettersOfAReadOnlyTopic are those of clients' groups: clients may send them again and delete them.
func TestDeadLettersOfAReadOnlyTopic(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{ReadOnly: []string{"cases"}})
	_, err := r.broker.Publish(t.Context(), "cases", broker.Message{Payload: []byte("a")})
	require.NoError(t, err)
	d := r.fetch(t, &pb.FetchRequest{})[0]
	r.settle(t, &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: d.AckId, How: &pb.Settlement_Reject{Reject: &pb.Reject{}}}}})
	a, err := r.RedriveDeadLetters(t.Context(), &pb.RedriveDeadLettersRequest{Topic: "cases"})
	require.NoError(t, err)
	require.Equal(t, uint64(1), a.Redriven)
	_, err = r.DeleteTopic(t.Context(), &pb.DeleteTopicRequest{Topic: "cases.dead"})
	require.NoError(t, err)
	_, err = r.DeleteTopic(t.Context(), &pb.DeleteTopicRequest{Topic: "cases"})
	require.Equal(t, codes.PermissionDenied, status.Code(err))
}
