package brokergrpc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
)

// The article's proto, as it stands. Its client is played below by encoding these fields by hand, so that nothing
// of ours takes part:
//
//	message Message           { string topic = 1; bytes payload = 2; }
//	message SendRequest       { Message msg = 1; }
//	message SendResponse      { bool success = 1; }
//	message SubscribeRequest  { string topic = 1; string consumerGroup = 2; }
//	message SubscribeResponse { Message msg = 1; }
//	service Broker {
//	  rpc Send(SendRequest) returns (SendResponse);
//	  rpc Subscribe(SubscribeRequest) returns (stream SubscribeResponse);
//	}
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (rawCodec) Name() string { return "proto" }

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// fields decodes one level of a message.
func fields(t *testing.T, b []byte) map[protowire.Number][]byte {
	t.Helper()
	out := map[protowire.Number][]byte{}
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		require.Positive(t, size)
		b = b[size:]
		size = protowire.ConsumeFieldValue(n, kind, b)
		require.Positive(t, size)
		out[n] = b[:size]
		if kind == protowire.BytesType {
			out[n], _ = protowire.ConsumeBytes(b)
		}
		b = b[size:]
	}
	return out
}

// TestArticleClient sends and receives more than any window with a client that knows of no acknowledgements, which
// may subscribe before anybody has sent.
func TestArticleClient(t *testing.T) {
	const n = 3000
	r := startRemote(t, open(t, t.TempDir(), broker.Options{}), brokergrpc.Options{})
	conn := r.dial(t, grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/broker.Broker/Subscribe")
	require.NoError(t, err)
	subscribe := text(text(nil, 1, "patients"), 2, "pharmacy")
	require.NoError(t, stream.SendMsg(&subscribe))
	require.NoError(t, stream.CloseSend())
	for i := range n {
		if i == 100 { // the bulk by other means: this is not about speed
			var bulk []broker.Message
			for j := i; j < n-100; j++ {
				bulk = append(bulk, broker.Message{Payload: fmt.Append(nil, j)})
			}
			_, err := r.broker.Publish(t.Context(), "patients", bulk...)
			require.NoError(t, err)
		}
		if i >= 100 && i < n-100 {
			continue
		}
		message := text(text(nil, 1, "patients"), 2, fmt.Sprint(i))
		request, answer := text(nil, 1, string(message)), []byte(nil)
		require.NoError(t, conn.Invoke(t.Context(), "/broker.Broker/Send", &request, &answer))
		require.Equal(t, []byte{1}, fields(t, answer)[1], "success")
	}
	for i := range n {
		var response []byte
		require.NoError(t, stream.RecvMsg(&response))
		message := fields(t, fields(t, response)[1])
		require.Equal(t, []string{"patients", fmt.Sprint(i)}, []string{string(message[1]), string(message[2])})
	}
	require.Eventually(t, func() bool {
		info, err := r.broker.Group("patients", "pharmacy")
		return err == nil && info.Lag == 0
	}, patience, tick, "they are acknowledged by themselves")
}

// TestArticleClientThatGoesGetsItAgain: what it was sent in its last second is not taken for handled.
func TestArticleClientThatGoesGetsItAgain(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	r.sendAll(t, "a", "b")
	m := r.join(t, &pb.SubscribeRequest{})
	require.Equal(t, "a", string(m.next(t).Msg.Payload))
	m.leave()
	require.Equal(t, "a", string(r.join(t, &pb.SubscribeRequest{}).next(t).Msg.Payload))
}

func TestSendBatch(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	a, err := r.SendBatch(t.Context(), &pb.SendBatchRequest{Msgs: []*pb.Message{
		{Topic: "cases", Id: "1"}, {Topic: "other"}, {Topic: "cases"}, {Topic: "cases", Id: "1"}, {Topic: "other"},
	}})
	require.NoError(t, err)
	require.Equal(t, []uint64{0, 0, 1, 0, 1}, a.Offsets)
	a, err = r.SendBatch(t.Context(), &pb.SendBatchRequest{Msgs: []*pb.Message{{Topic: "cases"}, {Topic: "cases", Id: "1"}}})
	require.NoError(t, err)
	require.Equal(t, []uint64{2, 0}, a.Offsets)
}

// TestFetchersLeave so that their group can be deleted, unless they hold something.
func TestFetchersLeave(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	r.sendAll(t, "a")
	d := r.fetch(t, &pb.FetchRequest{})
	_, err := r.DeleteGroup(t.Context(), &pb.DeleteGroupRequest{Topic: "cases", ConsumerGroup: "g"})
	require.Equal(t, codes.Aborted, status.Code(err))
	r.accept(t, d...)
	_, err = r.DeleteGroup(t.Context(), &pb.DeleteGroupRequest{Topic: "cases", ConsumerGroup: "g"})
	require.NoError(t, err)
	require.Len(t, r.fetch(t, &pb.FetchRequest{}), 1, "a group of that name begins anew")
	r.fetch(t, &pb.FetchRequest{ConsumerGroup: "idle", Wait: short()})
}
