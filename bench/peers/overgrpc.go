package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	"casepress/broker/brokerpb"
	"casepress/client"
)

// served is a broker behind its gRPC face on loopback, and one connection to it.
type served struct {
	broker *broker.Broker
	server *brokergrpc.Server
	conn   *grpc.ClientConn
	ended  chan error
}

func newServed(dir string) (*served, error) {
	b, err := newPress(dir)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	s := &served{broker: b, server: brokergrpc.NewServer(b, brokergrpc.Options{}), ended: make(chan error, 1)}
	go func() { s.ended <- s.server.Serve(l) }()
	if s.conn, err = client.Dial(l.Addr().String()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *served) close() error {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	return errors.Join(err, s.server.Close(), <-s.ended, s.broker.Close())
}

// openSend uses the generated client, which makes up no message ids.
func openSend(dir string) (func() error, func() error, error) {
	s, err := newServed(dir)
	if err != nil {
		return nil, nil, err
	}
	stub := brokerpb.NewBrokerClient(s.conn)
	request := &brokerpb.SendRequest{Msg: &brokerpb.Message{Topic: topic, Payload: payload}}
	return func() error {
		_, err := stub.Send(context.Background(), request)
		return err
	}, s.close, nil
}

func openProducer(dir string) (func() error, func() error, error) {
	s, err := newServed(dir)
	if err != nil {
		return nil, nil, err
	}
	p := client.NewProducer(s.conn)
	return func() error {
		_, err := p.Send(context.Background(), client.Message{Topic: topic, Payload: payload})
		return err
	}, s.close, nil
}

func streamClient(dir string, inFlight int) (work, error) {
	s, err := newServed(dir)
	if err != nil {
		return work{}, err
	}
	c := client.NewStream(s.conn, inFlight)
	send := func() (func() error, error) {
		pending, err := c.Send(context.Background(), client.Message{Topic: topic, Payload: payload})
		if err != nil {
			return nil, err
		}
		return func() error {
			_, err := pending.Wait(context.Background())
			return err
		}, nil
	}
	return stream(inFlight, send, func() error { return errors.Join(c.Close(context.Background()), s.close()) }), nil
}

// streamRaw drives the call itself: it sends whatever there is room for in requests of up to 64 messages.
func streamRaw(dir string, inFlight int) (work, error) {
	s, err := newServed(dir)
	if err != nil {
		return work{}, err
	}
	call, err := brokerpb.NewBrokerClient(s.conn).SendStream(context.Background())
	if err != nil {
		return work{}, errors.Join(err, s.close())
	}
	msgs := make([]*brokerpb.Message, 64)
	for i := range msgs {
		msgs[i] = &brokerpb.Message{Topic: topic, Payload: payload}
	}
	return work{end: s.close, run: func(stop *atomic.Bool, answered *atomic.Int64) error {
		room := make(chan int, inFlight) // sums up to what may be sent
		room <- inFlight
		received := make(chan error, 1)
		go func() {
			received <- takeAnswers(call, room, answered)
			close(room)
		}()
		for n := range room {
			if stop.Load() {
				return errors.Join(call.CloseSend(), <-received)
			}
			for n += drained(room); n > 0; n -= len(msgs) {
				if err := call.Send(&brokerpb.SendStreamRequest{Msgs: msgs[:min(n, len(msgs))]}); err != nil {
					return errors.Join(err, <-received)
				}
			}
		}
		return <-received
	}}, nil
}

func drained(room <-chan int) (n int) {
	for {
		select {
		case more := <-room:
			n += more
		default:
			return n
		}
	}
}

func takeAnswers(call brokerpb.Broker_SendStreamClient, room chan<- int, answered *atomic.Int64) error {
	for {
		response, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range response.GetResults() {
			if f := r.GetFailure(); f != nil {
				return status.Error(codes.Code(f.GetCode()), f.GetMessage())
			}
		}
		answered.Add(int64(len(response.GetResults())))
		room <- len(response.GetResults())
	}
}

// consumeGRPC handles n messages with 64 handlers of one consumer and counts the time until all is settled.
func consumeGRPC(ctx context.Context, dir string, n int) (perSecond float64, err error) {
	s, err := newServed(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := fillPress(ctx, s.broker, n, len(payload)); err != nil {
		return 0, err
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	var left atomic.Int64
	left.Store(int64(n))
	c := client.NewConsumer(s.conn, client.ConsumerOptions{Topic: topic, Group: "g", Concurrency: 64, Window: 4096},
		func(context.Context, *client.Message) error {
			if left.Add(-1) == 0 {
				done()
			}
			return nil
		})
	begun := time.Now()
	if err := c.Run(ctx); err != nil {
		return 0, err
	}
	if err := s.broker.Flush(context.Background()); err != nil {
		return 0, err
	}
	span := time.Since(begun)
	group, err := s.broker.Group(topic, "g")
	if err == nil && group.Lag != 0 {
		err = fmt.Errorf("%d messages were left", group.Lag)
	}
	return float64(n) / span.Seconds(), err
}

func pingGRPC(ctx context.Context, dir string) (func() (ping, error), func() error, error) {
	s, err := newServed(dir)
	if err != nil {
		return nil, nil, err
	}
	stub := brokerpb.NewBrokerClient(s.conn)
	sub, err := stub.Subscribe(ctx, &brokerpb.SubscribeRequest{Topic: topic, ConsumerGroup: "g", AckMode: brokerpb.AckMode_ACK_MODE_EXPLICIT})
	if err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	consume := func() (ping, error) {
		d, err := sub.Recv()
		if err != nil {
			return ping{}, err
		}
		p := ping{handled: time.Now()}
		if _, err = stub.Ack(ctx, &brokerpb.AckRequest{AckId: d.GetAckId()}); err != nil {
			return ping{}, err
		}
		p.acked = time.Now()
		err = s.broker.Flush(ctx)
		p.durable = time.Now()
		return p, err
	}
	request := &brokerpb.SendRequest{Msg: &brokerpb.Message{Topic: topic, Payload: payload}}
	send := func() error {
		_, err := stub.Send(ctx, request)
		return err
	}
	return pingPong(send, consume), s.close, nil
}
