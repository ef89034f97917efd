package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	"casepress/client"
	"casepress/disk/disktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = time.Minute

// A world is a broker that can be started again. Its clients find it wherever it listens then: on a port that it gives back,
// another process may listen before it does.
type world struct {
	t      testing.TB
	dir    string
	opts   broker.Options
	face   brokergrpc.Options
	listen func() (net.Listener, dialer)
	broker *broker.Broker
	server *brokergrpc.Server
	served chan error

	mu   sync.Mutex
	open dialer // to the server; nil while there is none
}

type dialer func(context.Context) (net.Conn, error)

func newWorld(t testing.TB) *world { return newWorldWith(t, broker.Options{}, brokergrpc.Options{}) }

func newWorldWith(t testing.TB, o broker.Options, face brokergrpc.Options) *world {
	return startWorld(&world{t: t, dir: t.TempDir(), opts: o, face: face, listen: func() (net.Listener, dialer) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		}
	}})
}

// newBubbleWorld is a world without a network and a disk, where time passes only when everything waits.
func newBubbleWorld(t testing.TB) *world {
	return startWorld(&world{t: t, dir: "/data", opts: broker.Options{FS: disktest.NewCrash(1)}, listen: func() (net.Listener, dialer) {
		l := bufconn.Listen(1 << 20)
		return l, l.DialContext
	}})
}

func startWorld(w *world) *world {
	w.start()
	w.t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	l, open := w.listen()
	var err error
	w.broker, err = broker.Open(w.dir, w.opts)
	require.NoError(w.t, err)
	require.NoError(w.t, w.broker.CreateTopic(context.Background(), "cases"))
	w.server, w.served = brokergrpc.NewServer(w.broker, w.face), make(chan error, 1)
	server, served := w.server, w.served
	go func() { served <- server.Serve(l) }()
	w.setDialer(open)
}

func (w *world) stop() {
	require.NoError(w.t, w.server.Shutdown(context.Background()))
	require.NoError(w.t, <-w.served)
	require.NoError(w.t, w.broker.Close())
}

// cut ends the server at once, in the middle of everything, and starts it anew.
func (w *world) cut() {
	w.setDialer(nil)
	require.NoError(w.t, w.server.Close())
	require.NoError(w.t, <-w.served)
	require.NoError(w.t, w.broker.Close())
	w.start()
}

func (w *world) setDialer(open dialer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = open
}

// connect makes a connection to the server that there is.
func (w *world) connect(ctx context.Context, _ string) (net.Conn, error) {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	if open == nil {
		return nil, errors.New("there is no server")
	}
	return open(ctx)
}

func (w *world) dial() *grpc.ClientConn { return new(network).dial(w) }

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
	}, patience, time.Millisecond)
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
	require.Eventually(t, func() bool { i, _ := w.broker.Group("cases", "g"); return i.Members == 1 }, patience, time.Millisecond)
	ds, err := s.Receive(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, ds[0].Count)
	require.NoError(t, s.Close())
}

func TestLocksAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		p := client.NewProducer(w.dial())
		_, err := p.Send(t.Context(), client.Message{Topic: "cases"})
		require.NoError(t, err)
		calls := make(chan time.Time, 10)
		done := make(chan struct{})
		const lock = 150 * time.Millisecond
		w.run(client.ConsumerOptions{Concurrency: 2, LockTimeout: lock}, func(context.Context, *client.Message) error {
			calls <- time.Now()
			time.Sleep(100 * lock)
			done <- struct{}{}
			return nil
		})
		<-done
		require.Len(t, calls, 1)
	})
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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := client.NewProducer(conn).Send(ctx, client.Message{Topic: "cases", Payload: []byte("a")})
	require.NoError(t, err)
	require.EqualValues(t, 1, w.end())
}
