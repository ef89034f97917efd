package brokergrpc_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
)

// TestManyEmptyMessages take two bytes each on the wire and a thousand in memory: a request is refused before that.
func TestManyEmptyMessages(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	const n = 1_000_000
	refused := map[string]func(ctx context.Context) error{
		"batch": func(ctx context.Context) error {
			_, err := r.SendBatch(ctx, &pb.SendBatchRequest{Msgs: many[pb.Message](n)})
			return err
		},
		"stream": func(ctx context.Context) error {
			stream, err := r.SendStream(ctx)
			require.NoError(t, err)
			require.NoError(t, stream.Send(&pb.SendStreamRequest{Msgs: many[pb.Message](n)}))
			_, err = stream.Recv()
			return err
		},
		"settlements": func(ctx context.Context) error {
			_, err := r.Ack(ctx, &pb.AckRequest{Settlements: many[pb.Settlement](n)})
			return err
		},
	}
	for name, call := range refused {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := call(t.Context())
		runtime.ReadMemStats(&after)
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
		require.ErrorContains(t, err, "s: must be at most 10000")
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(40<<20), name) // of the client, too
	}
	_, err := r.Send(t.Context(), &pb.SendRequest{Msg: &pb.Message{Topic: "cases", Headers: many[pb.Header](n)}})
	require.ErrorContains(t, err, "headers")

	a, err := r.SendBatch(t.Context(), &pb.SendBatchRequest{Msgs: inTopic(pb.MaxMessages)})
	require.NoError(t, err)
	require.Len(t, a.Offsets, pb.MaxMessages)
}

// many returns a slice of the same message.
func many[T any](n int) []*T {
	all, one := make([]*T, n), new(T)
	for i := range all {
		all[i] = one
	}
	return all
}

func inTopic(n int) (msgs []*pb.Message) {
	for range n {
		msgs = append(msgs, &pb.Message{Topic: "cases"})
	}
	return msgs
}

// TestAForgedLockTimeout does not hold a message for ever.
func TestAForgedLockTimeout(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	r.sendAll(t, "a")
	id := r.fetch(t, &pb.FetchRequest{LockTimeout: durationpb.New(time.Minute)})[0].AckId
	raw, err := base64.RawURLEncoding.DecodeString(id)
	require.NoError(t, err)
	minute := binary.AppendUvarint(nil, uint64(time.Minute.Microseconds()))
	for _, timeout := range []time.Duration{0, 25 * time.Hour, 200 * 365 * 24 * time.Hour} {
		forged := binary.AppendUvarint(raw[:len(raw)-len(minute):len(raw)-len(minute)], uint64(timeout.Microseconds()))
		f := r.settleOne(t, &pb.Settlement{AckId: base64.RawURLEncoding.EncodeToString(forged), How: &pb.Settlement_Renew{}})
		require.Equal(t, codes.InvalidArgument, codes.Code(f.GetCode()), "%v: %v", timeout, f)
		require.Contains(t, f.GetMessage(), "lock timeout")
	}
	require.Nil(t, r.settleOne(t, &pb.Settlement{AckId: id}))
}

func (r *remote) settleOne(t *testing.T, s *pb.Settlement) *pb.Failure {
	t.Helper()
	a, err := r.Ack(t.Context(), &pb.AckRequest{Settlements: []*pb.Settlement{s}})
	require.NoError(t, err)
	return a.Results[0].Failure
}

// TestNoRoomForWhatClientsMake: past the floor they make no groups and no dead letters; groups that are there go on.
func TestNoRoomForWhatClientsMake(t *testing.T) {
	var full error
	r := newRemote(t, brokergrpc.Options{Room: func() error { return full }})
	r.sendAll(t, "a", "b")
	held := r.fetch(t, &pb.FetchRequest{Max: 2})
	full = errors.New("too little disk is free")
	position := &pb.Position{At: &pb.Position_Earliest{}}
	for name, call := range map[string]func(ctx context.Context) error{
		"reject": func(context.Context) error {
			f := r.settleOne(t, &pb.Settlement{AckId: held[0].AckId, How: &pb.Settlement_Reject{Reject: &pb.Reject{}}})
			return status.Error(codes.Code(f.GetCode()), f.GetMessage())
		},
		"position": func(ctx context.Context) error {
			_, err := r.SetPosition(ctx, &pb.SetPositionRequest{Topic: "cases", ConsumerGroup: "new", Position: position})
			return err
		},
		"fetch": func(ctx context.Context) error {
			_, err := r.Fetch(ctx, &pb.FetchRequest{Topic: "cases", ConsumerGroup: "new"})
			return err
		},
		"subscribe": func(ctx context.Context) error {
			stream, err := r.Subscribe(ctx, &pb.SubscribeRequest{Topic: "cases", ConsumerGroup: "new"})
			require.NoError(t, err)
			_, err = stream.Recv()
			return err
		},
	} {
		err := call(t.Context())
		require.Equal(t, codes.ResourceExhausted, status.Code(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "too little disk is free")
	}
	require.Equal(t, []string{"cases"}, r.broker.Topics())
	groups, err := r.broker.Groups("cases")
	require.NoError(t, err)
	require.Len(t, groups, 1)
	require.Nil(t, r.settleOne(t, &pb.Settlement{AckId: held[0].AckId}), "it was not rejected and can be accepted")
	full = nil
	require.Nil(t, r.settleOne(t, &pb.Settlement{AckId: held[1].AckId, How: &pb.Settlement_Reject{Reject: &pb.Reject{}}}))
}

// TestMaxGroups holds for clients, however they make groups; those that are there go on.
func TestMaxGroups(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{MaxGroups: 3})
	made := 0
	for i := range 5 {
		_, err := r.SetPosition(t.Context(), &pb.SetPositionRequest{
			Topic: "cases", ConsumerGroup: fmt.Sprint(i), Position: &pb.Position{At: &pb.Position_Earliest{}},
		})
		if err == nil {
			made++
			continue
		}
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		require.ErrorContains(t, err, "consumerGroup: there are 3 groups already")
	}
	require.Equal(t, 3, made)
	_, err := r.Fetch(t.Context(), &pb.FetchRequest{Topic: "cases", ConsumerGroup: "other"})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	r.sendAll(t, "a")
	a, err := r.Fetch(t.Context(), &pb.FetchRequest{Topic: "cases", ConsumerGroup: "0"})
	require.NoError(t, err)
	require.Len(t, a.Deliveries, 1)
	_, err = r.broker.Subscribe("cases", "own", broker.SubscribeOptions{})
	require.NoError(t, err, "the service's own are not refused")
}
