package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	pb "casepress/broker/brokerpb"
)

// A Producer sends messages one by one. Use a Stream for volume. It may be used from many goroutines.
type Producer struct {
	broker pb.BrokerClient
	ids    *ids
}

// NewProducer makes a producer on a connection.
func NewProducer(conn grpc.ClientConnInterface) *Producer {
	return &Producer{broker: pb.NewBrokerClient(conn), ids: newIDs()}
}

// Send returns the offset when the message is on stable storage. While the broker cannot be reached it tries again
// until ctx ends, each time with the same ID, so that there is one message however many attempts it took, within the
// broker's deduplication window (10 minutes by default). When ctx ends the message may be there or not: sending
// it again with the same ID settles that. Other errors are the broker's, with their gRPC status.
func (p *Producer) Send(ctx context.Context, m Message) (offset uint64, err error) {
	r := &pb.SendRequest{Msg: m.toWire(p.ids)}
	for n := 0; ; n++ {
		a, err := p.broker.Send(ctx, r)
		if err == nil {
			return a.GetOffset(), nil
		}
		if ctx.Err() != nil || !isTemporary(err) || sleep(ctx, backoffFor(n, firstBackoff, maxBackoff)) != nil {
			return 0, fmt.Errorf("send to %s: %w", m.Topic, err)
		}
	}
}
