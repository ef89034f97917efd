package brokergrpc

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

// endingStream encodes what is sent, as gRPC does, and lets go of it when the client is gone.
type endingStream struct {
	grpc.ServerStreamingServer[brokerpb.SubscribeResponse]
	gone bool
	err  error // of SendMsg
	late bool  // it lets go of it after SendMsg
	free func()
}

func (s *endingStream) SendMsg(m any) error {
	data, err := countingCodec{}.Marshal(m)
	if err != nil {
		return err
	}
	s.gone = true
	if s.late {
		s.free = data.Free
	} else {
		data.Free()
	}
	return s.err
}

// A client may read an answer, die of it and be gone before the call that sent it returns: that delivery is to be counted. What was
// not sent, or was still queued, it cannot have got.
func TestWhatAClientMayHaveGotIsCounted(t *testing.T) {
	b, err := broker.Open(t.TempDir(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	_, err = b.Publish(t.Context(), "cases", broker.Message{Payload: make([]byte, 10)}, broker.Message{Payload: make([]byte, 5000)})
	require.NoError(t, err)
	sub, err := b.Subscribe("cases", "g", broker.SubscribeOptions{})
	require.NoError(t, err)
	var all []broker.Delivery
	for len(all) < 2 {
		ds, err := sub.Receive(t.Context(), 2)
		require.NoError(t, err)
		all = append(all, ds...)
	}
	for name, tc := range map[string]struct {
		stream endingStream
		never  int
	}{
		"written while it was sent": {endingStream{}, 0},
		"refused":                   {endingStream{err: errors.New("the stream is done")}, 1},
		"queued when it went":       {endingStream{late: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := tc.stream
			r := &reader{connection: (&Service{}).newConnection(true), alive: func() bool { return !s.gone }}
			for i := range all { // a small one and one with a buffer that gRPC lets go of
				s.gone = false
				require.ErrorIs(t, r.send(&s, all[i:i+1], r.bytes(all[i:i+1])), s.err)
				if s.late {
					s.free()
				}
				require.Len(t, r.neverWritten(), tc.never)
				r.unwritten = nil
			}
		})
	}
}
