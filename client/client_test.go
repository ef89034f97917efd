package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	"casepress/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a broker on loopback that can be restarted at its address.
type world struct {
	t      testing.TB
	dir    string
	addr   string
	opts   broker.Options
	face   brokergrpc.Options
	broker *broker.Broker
	server *brokergrpc.Server
	served chan error
}

func newWorld(t testing.TB) *world { return newWorldWith(t, broker.Options{}, brokergrpc.Options{}) }

func newWorldWith(t testing.TB, o broker.Options, face brokergrpc.Options) *world {
	w := &world{t: t, dir: t.TempDir(), addr: "127.0.0.1:0", opts: o, face: face}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	l, err := net.Listen("tcp", w.addr)
	require.NoError(w.t, err)
	w.addr = l.Addr().String()
	w.broker, err = broker.Open(w.dir, w.opts)
	require.NoError(w.t, err)
	require.NoError(w.t, w.broker.CreateTopic(context.Background(), "cases"))
	w.server, w.served = brokergrpc.NewServer(w.broker, w.face), make(chan error, 1)
	server, served := w.server, w.served
	go func() { served <- server.Serve(l) }()
}

func (w *world) stop() {
	require.NoError(w.t, w.server.Shutdown(context.Background()))
	require.NoError(w.t, <-w.served)
	require.NoError(w.t, w.broker.Close())
}

// cut ends the server at once, in the middle of everything, and starts it anew.
func (w *world) cut() {
	require.NoError(w.t, w.server.Close())
	require.NoError(w.t, <-w.served)
	require.NoError(w.t, w.broker.Close())
	w.start()
}

func (w *world) dial() *grpc.ClientConn {
	conn, err := client.Dial(w.addr)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, conn.Close()) })
	return conn
}

// run starts a consumer and returns what stops it.
func (w *world) run(o client.ConsumerOptions, h client.Handler) (stop func()) {
	o.Topic, o.Group = "cases", "g"
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	c := client.NewConsumer(w.dial(), o, h)
	go func() { ended <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(w.t, <-ended)
	})
	w.t.Cleanup(stop)
	return stop
}

func (w *world) end() uint64 {
	end, err := w.broker.End("cases")
	require.NoError(w.t, err)
	return end
}

func TestProducerAndConsumer(t *testing.T) {
	w := newWorld(t)
	p := client.NewProducer(w.dial())
	got := make(chan *client.Message, 10)
	stop := w.run(client.ConsumerOptions{Concurrency: 4}, func(_ context.Context, m *client.Message) error {
		got <- m
		return nil
	})
	sent := client.Message{Topic: "cases", Key: "k", Payload: []byte("p"), Headers: []client.Header{{Name: "n", Value: "v"}}}
	offset, err := p.Send(t.Context(), sent)
	require.NoError(t, err)
	m := <-got
	require.Equal(t, []any{offset, "k", "p", "v", 1}, []any{m.Offset, m.Key, string(m.Payload), m.Header("n"), m.DeliveryCount})
	require.NotEmpty(t, m.ID)
	stop()
	info, err := w.broker.Group("cases", "g")
	require.NoError(t, err)
	require.Zero(t, info.Lag, "a graceful stop acknowledges what was handled")
	_, err = p.Send(t.Context(), client.Message{Topic: "not a name"})
	require.ErrorContains(t, err, "topic")
}

// TestStreamSurvivesCuts: the server is ended hard while a stream is full; every message is there once, in order.
func TestStreamSurvivesCuts(t *testing.T) {
	const n = 3000
	w := newWorld(t)
	s := client.NewStream(w.dial(), 256)
	var pending []*client.Pending
	for i := range n {
		p, err := s.Send(t.Context(), client.Message{Topic: "cases", Payload: []byte(fmt.Sprint(i))})
		require.NoError(t, err)
		pending = append(pending, p)
		if i%(n/4) == n/8 {
			w.cut() // with up to 256 in flight
		}
	}
	require.NoError(t, s.Close(t.Context()))
	_, err := s.Send(t.Context(), client.Message{Topic: "cases"})
	require.ErrorIs(t, err, client.ErrClosed)
	for i, p := range pending {
		offset, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(i), offset)
	}
	require.Equal(t, uint64(n), w.end())
}

func TestStreamCloseGivesUp(t *testing.T) {
	conn, err := client.Dial("127.0.0.1:1")
	require.NoError(t, err)
	s := client.NewStream(conn, 0)
	p, err := s.Send(t.Context(), client.Message{Topic: "cases"})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
	_, err = p.Wait(t.Context())
	require.ErrorIs(t, err, client.ErrClosed)
	require.NoError(t, conn.Close())
}

func TestHandlerErrors(t *testing.T) {
	w := newWorld(t)
	p := client.NewProducer(w.dial())
	for _, payload := range []string{"late", "bad", "panic"} {
		_, err := p.Send(t.Context(), client.Message{Topic: "cases", Payload: []byte(payload)})
		require.NoError(t, err)
	}
	counts := make(chan string, 10)
	stop := w.run(client.ConsumerOptions{FirstBackoff: time.Millisecond}, func(_ context.Context, m *client.Message) error {
		counts <- fmt.Sprint(string(m.Payload), m.DeliveryCount)
		switch {
		case string(m.Payload) == "bad":
			return client.Reject(errors.New("no good"))
		case m.DeliveryCount > 1:
			return nil
		case string(m.Payload) == "panic":
			panic("oops")
		}
		return errors.New("not yet")
	})
	var got []string
	for range 5 {
		got = append(got, <-counts)
	}
	require.ElementsMatch(t, []string{"late1", "bad1", "panic1", "late2", "panic2"}, got)
	stop()
	letters, _, err := w.broker.DeadLetters("cases", 0, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Equal(t, "no good", letters[0].Header(broker.DeadReason))
}

// TestTheLastErrorIsInTheDeadLetter.
func TestTheLastErrorIsInTheDeadLetter(t *testing.T) {
	w := newWorld(t)
	_, err := client.NewProducer(w.dial()).Send(t.Context(), client.Message{Topic: "cases"})
	require.NoError(t, err)
	w.run(client.ConsumerOptions{FirstBackoff: time.Millisecond, MaxDeliveries: 2}, func(_ context.Context, m *client.Message) error {
		return fmt.Errorf("attempt %d", m.DeliveryCount)
	})
	require.Eventually(t, func() bool {
		letters, _, err := w.broker.DeadLetters("cases", 0, 10)
		return err == nil && len(letters) == 1 && letters[0].Header(broker.DeadReason) == "delivery 2 failed: attempt 2" &&
			letters[0].Header(broker.DeadCount) == "2"
	}, 10*time.Second, time.Millisecond)
}

// TestStopFinishesWhatIsInHand and gives back, uncounted, what has not begun.
func TestStopFinishesWhatIsInHand(t *testing.T) {
	w := newWorld(t)
	p := client.NewProducer(w.dial())
	for range 4 {
		_, err := p.Send(t.Context(), client.Message{Topic: "cases"})
		require.NoError(t, err)
	}
	begun, finish := make(chan struct{}), make(chan struct{})
	stop := w.run(client.ConsumerOptions{Window: 4}, func(ctx context.Context, _ *client.Message) error {
		begun <- struct{}{}
		<-finish
		return ctx.Err()
	})
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("did not wait for the handler")
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	<-stopped
	info, err := w.broker.Group("cases", "g")
	require.NoError(t, err)
	require.Equal(t, uint64(1), info.Start)
	s, err := w.broker.Subscribe("cases", "g", broker.SubscribeOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { i, _ := w.broker.Group("cases", "g"); return i.Members == 1 }, 5*time.Second, time.Millisecond)
	ds, err := s.Receive(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, ds[0].Count)
	require.NoError(t, s.Close())
}

func TestLocksAreRenewed(t *testing.T) {
	w := newWorld(t)
	p := client.NewProducer(w.dial())
	_, err := p.Send(t.Context(), client.Message{Topic: "cases"})
	require.NoError(t, err)
	var calls atomic.Int32
	done := make(chan struct{})
	w.run(client.ConsumerOptions{Concurrency: 2, LockTimeout: 150 * time.Millisecond}, func(context.Context, *client.Message) error {
		calls.Add(1)
		<-time.After(600 * time.Millisecond)
		close(done)
		return nil
	})
	<-done
	require.Equal(t, int32(1), calls.Load())
}

// TestConsumersSurviveCuts: several consumers, a server that is cut off again and again: everything is handled.
func TestConsumersSurviveCuts(t *testing.T) {
	const n = 400
	w := newWorld(t)
	s := client.NewStream(w.dial(), 0)
	for i := range n {
		_, err := s.Send(t.Context(), client.Message{Topic: "cases", Payload: []byte(fmt.Sprint(i))})
		require.NoError(t, err)
	}
	require.NoError(t, s.Close(t.Context()))
	var mu sync.Mutex
	handled := map[string]int{}
	all, half := make(chan struct{}), make(chan struct{})
	for range 3 {
		w.run(client.ConsumerOptions{Concurrency: 8}, func(_ context.Context, m *client.Message) error {
			mu.Lock()
			defer mu.Unlock()
			handled[string(m.Payload)]++
			switch {
			case len(handled) == n/2 && handled[string(m.Payload)] == 1:
				close(half)
			case len(handled) == n && handled[string(m.Payload)] == 1:
				close(all)
			}
			return nil
		})
	}
	<-half
	w.cut()
	<-all
}

// breaker is a connection that refuses calls for a while, as a circuit breaker does, with an error of its own.
type breaker struct {
	grpc.ClientConnInterface
	open atomic.Int32 // calls it still refuses
}

func (b *breaker) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if b.open.Add(-1) >= 0 {
		return errors.New("circuit breaker is open")
	}
	return b.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

func TestProducerWaitsForACircuitBreaker(t *testing.T) {
	w := newWorld(t)
	conn := &breaker{ClientConnInterface: w.dial()}
	conn.open.Store(3)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := client.NewProducer(conn).Send(ctx, client.Message{Topic: "cases", Payload: []byte("a")})
	require.NoError(t, err)
	require.EqualValues(t, 1, w.end())
}
