package brokergrpc_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
)

// overLoopback serves a broker on 127.0.0.1 and returns clients with a connection each.
func overLoopback(b *testing.B, br *broker.Broker, connections int) []pb.BrokerClient {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := brokergrpc.NewServer(br, brokergrpc.Options{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.Cleanup(func() {
		require.NoError(b, server.Shutdown(context.Background()))
		require.NoError(b, <-served)
	})
	var clients []pb.BrokerClient
	for range connections {
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, conn.Close()) })
		clients = append(clients, pb.NewBrokerClient(conn))
	}
	return clients
}

// BenchmarkRemoteSend is one call for each message of 1 KiB, all callers on one connection.
func BenchmarkRemoteSend(b *testing.B) {
	for _, callers := range []int{1, 16, 128, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := overLoopback(b, openTopic(b, b.TempDir(), broker.Options{}), 1)[0]
			payload := make([]byte, 1024)
			b.ReportAllocs()
			inParallel(b, callers, func() error {
				_, err := c.Send(context.Background(), &pb.SendRequest{Msg: &pb.Message{Topic: "cases", Payload: payload}})
				return err
			})
		})
	}
}

// BenchmarkRemoteSendStream sends on one stream with so many messages in flight. A request carries what the room in
// flight allows, at most together.
func BenchmarkRemoteSendStream(b *testing.B) {
	for _, inFlight := range []int{128, 1024} {
		for _, together := range []int{1, inFlight / 2} {
			b.Run(fmt.Sprintf("inflight=%d/together=%d", inFlight, together), func(b *testing.B) {
				c := overLoopback(b, openTopic(b, b.TempDir(), broker.Options{}), 1)[0]
				b.ReportAllocs()
				b.ResetTimer()
				benchmarkStream(b, c, inFlight, together)
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func benchmarkStream(b *testing.B, c pb.BrokerClient, inFlight, together int) {
	stream, err := c.SendStream(b.Context())
	require.NoError(b, err)
	room := make(chan struct{}, inFlight)
	var writer sync.WaitGroup
	writer.Go(func() {
		payload := make([]byte, 1024)
		msgs := make([]*pb.Message, together)
		for i := range msgs {
			msgs[i] = &pb.Message{Topic: "cases", Payload: payload}
		}
		for left := b.N; left > 0; {
			room <- struct{}{}
			n := 1
			for n < min(together, left) && len(room) < inFlight {
				room <- struct{}{}
				n++
			}
			left -= n
			if stream.Send(&pb.SendStreamRequest{Msgs: msgs[:n]}) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	})
	for got := 0; got < b.N; {
		a, err := stream.Recv()
		require.NoError(b, err)
		for range a.Results {
			<-room
		}
		got += len(a.Results)
	}
	writer.Wait()
}

// BenchmarkRemoteConsumeAndAck lets consumers acknowledge what they received so far in batches.
func BenchmarkRemoteConsumeAndAck(b *testing.B) {
	for _, consumers := range []int{1, 64} {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			br := openTopic(b, b.TempDir(), broker.Options{})
			clients := overLoopback(b, br, 4)
			fill(b, br, b.N)
			var left atomic.Int64
			left.Store(int64(b.N))
			ctx, done := context.WithCancel(b.Context())
			defer done()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range consumers {
				wg.Go(func() { consumeRemote(ctx, done, clients[i%len(clients)], &left) })
			}
			wg.Wait()
			b.StopTimer()
			require.LessOrEqual(b, left.Load(), int64(0))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func consumeRemote(ctx context.Context, done func(), c pb.BrokerClient, left *atomic.Int64) {
	stream, err := c.Subscribe(ctx, &pb.SubscribeRequest{Topic: "cases", ConsumerGroup: "g", Window: 256})
	if err != nil {
		return
	}
	ids := make(chan string, 256)
	var acker sync.WaitGroup
	acker.Go(func() {
		for id := range ids {
			r := &pb.AckRequest{Settlements: []*pb.Settlement{{AckId: id}}}
			for len(ids) > 0 {
				r.Settlements = append(r.Settlements, &pb.Settlement{AckId: <-ids})
			}
			if _, err := c.Ack(ctx, r); err != nil {
				continue
			}
			if left.Add(-int64(len(r.Settlements))) <= 0 {
				done()
			}
		}
	})
	for {
		d, err := stream.Recv()
		if err != nil {
			break
		}
		ids <- d.AckId
	}
	close(ids)
	acker.Wait()
}
