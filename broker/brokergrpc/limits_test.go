package brokergrpc_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
	"casepress/disk/disktest"
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

// TestMaxSubscriptions holds for a connection: the next is refused, and one that ends makes room for it.
func TestMaxSubscriptions(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{MaxSubscriptions: 3})
	subscribe := func(ctx context.Context) error {
		stream, err := r.Subscribe(ctx, &pb.SubscribeRequest{Topic: "cases", ConsumerGroup: "g"})
		require.NoError(t, err)
		header, err := stream.Header()
		if err == nil && header == nil {
			_, err = stream.Recv()
		}
		return err
	}
	first, end := context.WithCancel(t.Context())
	defer end()
	require.NoError(t, subscribe(first))
	require.NoError(t, subscribe(t.Context()))
	require.NoError(t, subscribe(t.Context()))
	err := subscribe(t.Context())
	require.Equal(t, codes.FailedPrecondition, status.Code(err), "%v", err)
	require.ErrorContains(t, err, "3 subscriptions on this connection")
	end()
	require.Eventually(t, func() bool { return subscribe(t.Context()) == nil }, patience, 5*time.Millisecond)
}

// TestAutomaticWindow is refused when it is too small for acknowledgements that come 1,024 messages late.
func TestAutomaticWindow(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	r.sendAll(t, "a")
	for window, want := range map[uint32]codes.Code{0: codes.OK, 5: codes.InvalidArgument, 2047: codes.InvalidArgument, 2048: codes.OK} {
		stream, err := r.Subscribe(t.Context(), &pb.SubscribeRequest{
			Topic: "cases", ConsumerGroup: fmt.Sprint(window), Window: window, AckMode: pb.AckMode_ACK_MODE_AUTOMATIC,
		})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, want, status.Code(err), "%d: %v", window, err)
	}
}

// TestManyLargeHeadersOfDeadLetters fit into an answer, a part at a time.
func TestManyLargeHeadersOfDeadLetters(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	require.NoError(t, r.broker.CreateTopic(t.Context(), "cases.dead"))
	msgs := make([]broker.Message, 100)
	for i := range msgs {
		msgs[i].Headers = []broker.Header{{Name: "long", Value: strings.Repeat("x", 8000)}}
	}
	for range 12 {
		_, err := r.broker.Publish(t.Context(), "cases.dead", msgs...)
		require.NoError(t, err)
	}
	got := 0
	for from, more := uint64(0), true; more; {
		a, err := r.ListDeadLetters(t.Context(), &pb.ListDeadLettersRequest{Topic: "cases", From: from, Max: 1000})
		require.NoError(t, err)
		require.Less(t, len(a.Letters)*8000, 2<<20)
		got += len(a.Letters)
		from, more = a.Next, a.Next > 0
	}
	require.Equal(t, 1200, got)
}

// TestManyRejectsInOneCall become durable together, in the order of what else is asked for.
func TestManyRejectsInOneCall(t *testing.T) { synctest.Test(t, manyRejectsInOneCall) }

func manyRejectsInOneCall(t *testing.T) {
	const n = 300
	fs := disktest.NewFault(disktest.NewSlow(disktest.NewCrash(1), time.Millisecond))
	b := openTopic(t, "/data", broker.Options{FS: fs})
	require.NoError(t, b.CreateTopic(t.Context(), "cases.dead"))
	s := brokergrpc.NewService(b, brokergrpc.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err := b.Publish(t.Context(), "cases", make([]broker.Message, n)...)
	require.NoError(t, err)
	a, err := s.Fetch(t.Context(), &pb.FetchRequest{Topic: "cases", ConsumerGroup: "g", Max: n})
	require.NoError(t, err)
	require.Len(t, a.Deliveries, n)
	q := &pb.AckRequest{}
	for _, d := range a.Deliveries {
		q.Settlements = append(q.Settlements, &pb.Settlement{AckId: d.AckId, How: &pb.Settlement_Reject{Reject: &pb.Reject{}}})
	}
	q.Settlements = append(q.Settlements,
		&pb.Settlement{AckId: a.Deliveries[7].AckId}, // which is done with by then
		&pb.Settlement{AckId: a.Deliveries[7].AckId, How: &pb.Settlement_Renew{Renew: &pb.Renew{}}})
	before := fs.Count(disktest.OpSync)
	out, err := s.Ack(t.Context(), q)
	require.NoError(t, err)
	require.Less(t, fs.Count(disktest.OpSync)-before, n/10)
	for i, r := range out.Results {
		require.Equal(t, i == n+1, r.Failure != nil, "%d: %v", i, r.Failure)
	}
	letters, _, err := b.DeadLetters("cases", 0, n)
	require.NoError(t, err)
	require.Len(t, letters, n)
}

// TestAckEndsWithItsContext: each rejected message takes a write to the disk.
func TestAckEndsWithItsContext(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	s := brokergrpc.NewService(b, brokergrpc.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err := b.Publish(t.Context(), "cases", broker.Message{}, broker.Message{})
	require.NoError(t, err)
	a, err := s.Fetch(t.Context(), &pb.FetchRequest{Topic: "cases", ConsumerGroup: "g", Max: 2})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Ack(ctx, &pb.AckRequest{Settlements: []*pb.Settlement{
		{AckId: a.Deliveries[0].AckId, How: &pb.Settlement_Reject{Reject: &pb.Reject{}}},
		{AckId: a.Deliveries[1].AckId, How: &pb.Settlement_Reject{Reject: &pb.Reject{}}},
	}})
	require.Equal(t, codes.Canceled, status.Code(err))
	require.Equal(t, []string{"cases"}, b.Topics())
}
