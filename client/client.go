// Package client implements the Go client of a casepress broker: producers that send until the message is on stable
// storage, and consumers that hand messages to a handler and acknowledge what it has done. It never drops a message on
// its own: what it cannot do it returns as an error, and a message that was not acknowledged is delivered again.
package client

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "casepress/broker/brokerpb"
)

// Header is a name and a value that travel with a message.
type Header struct{ Name, Value string }

// Message is what producers send and consumers get. A producer sets the fields down to DeliverAt.
type Message struct {
	Topic     string
	ID        string // names the message, so that a resend is not a second one; a producer makes one up if empty
	Key       string // what the message is about; order per key is kept on request
	Headers   []Header
	Payload   []byte
	DeliverAt time.Time // not delivered before; zero: at once

	Offset        uint64
	Time          time.Time // when the broker took it
	DeliveryCount int       // 1 is the first
}

// Header returns the value of the first header of that name, or "".
func (m *Message) Header(name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// Dial returns a connection to a broker that is made on demand and again when it breaks. Without options it is
// not encrypted. Close it after its producers and consumers.
func Dial(addr string, o ...grpc.DialOption) (*grpc.ClientConn, error) {
	o = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstBackoff, Multiplier: 2, Jitter: 0.5, MaxDelay: maxBackoff},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(pb.Codec{}), grpc.MaxCallRecvMsgSize(maxRequestBytes), grpc.MaxCallSendMsgSize(maxRequestBytes)),
	}, o...)
	conn, err := grpc.NewClient(addr, o...)
	if err != nil {
		return nil, fmt.Errorf("dial broker: %w", err)
	}
	return conn, nil
}

// ids makes up message IDs: at random, then counted.
type ids struct {
	prefix string
	n      atomic.Uint64
}

func newIDs() *ids { return &ids{prefix: rand.Text() + "-"} }

func (i *ids) next() string { return i.prefix + strconv.FormatUint(i.n.Add(1), 36) }

func (m *Message) toWire(i *ids) *pb.Message {
	out := &pb.Message{Topic: m.Topic, Id: m.ID, Key: m.Key, Payload: m.Payload}
	if out.Id == "" {
		out.Id = i.next()
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, &pb.Header{Name: h.Name, Value: h.Value})
	}
	if !m.DeliverAt.IsZero() {
		out.DeliverAt = timestamppb.New(m.DeliverAt)
	}
	return out
}

func fromWire(m *pb.Message) *Message {
	out := &Message{
		Topic: m.GetTopic(), ID: m.GetId(), Key: m.GetKey(), Payload: m.GetPayload(),
		Offset: m.GetOffset(), Time: m.GetTime().AsTime(), DeliveryCount: int(m.GetDeliveryCount()),
	}
	for _, h := range m.GetHeaders() {
		out.Headers = append(out.Headers, Header{h.GetName(), h.GetValue()})
	}
	if m.DeliverAt != nil {
		out.DeliverAt = m.DeliverAt.AsTime()
	}
	return out
}

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// backoffFor returns how long to wait before the n-th further attempt, counted from 0: twice as long each time, less up
// to half at random.
func backoffFor(n int, first, longest time.Duration) time.Duration {
	d := longest
	if n < 30 {
		d = min(first<<n, longest)
	}
	return d - mathrand.N(d/2+1)
}

// sleep waits for d unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isTemporary says whether the same call may work later. An error without a status did not come from the broker but
// from the way to it, such as a circuit breaker that is open for a while.
func isTemporary(err error) bool {
	s, fromBroker := status.FromError(err)
	return !fromBroker || isTemporaryCode(s.Code()) && !isTooLarge(s)
}

// isTooLarge says whether a request was refused for its size, which gRPC tells with the code of an overload.
func isTooLarge(s *status.Status) bool {
	return s.Code() == codes.ResourceExhausted && strings.Contains(s.Message(), "message larger than max")
}

// maxRequestBytes is what a request may have on a connection of Dial, and what a broker takes by default.
const maxRequestBytes = 8 << 20

func isTemporaryCode(c codes.Code) bool {
	switch c {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return false
}
