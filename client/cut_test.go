package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	"casepress/client"
	"casepress/disk"
	"casepress/disk/disktest"
)

// A network can be cut: all connections through it break, and for a while there are no new ones.
type network struct {
	mu    sync.Mutex
	conns []net.Conn
	until time.Time
}

func (n *network) dial(w *world, o ...grpc.DialOption) *grpc.ClientConn {
	conn, err := client.Dial("passthrough:///broker", append(o, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if time.Now().Before(n.until) {
			return nil, errors.New("the network is cut")
		}
		c, err := w.connect(ctx, addr)
		if err == nil {
			n.conns = append(n.conns, c)
		}
		return c, err
	}))...)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, conn.Close()) })
	return conn
}

func (n *network) cut(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.until = time.Now().Add(d)
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

// handlers watches what handlers have in hand.
type handlers struct {
	mu      sync.Mutex
	active  map[uint64]int // by offset
	keys    map[string]int // handlers by key
	last    map[string]uint64
	wrong   []string
	handled map[uint64]int
}

func newHandlers() *handlers {
	return &handlers{active: map[uint64]int{}, keys: map[string]int{}, last: map[string]uint64{}, handled: map[uint64]int{}}
}

func (h *handlers) begin(m *client.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active[m.Offset]++
	h.keys[m.Key]++
	if h.active[m.Offset] > 1 {
		h.wrong = append(h.wrong, fmt.Sprintf("%d is with two handlers", m.Offset))
	}
	if h.keys[m.Key] > 1 {
		h.wrong = append(h.wrong, fmt.Sprintf("two handlers of key %s", m.Key))
	}
	if m.Offset < h.last[m.Key] {
		h.wrong = append(h.wrong, fmt.Sprintf("%d after %d", m.Offset, h.last[m.Key]))
	}
	h.last[m.Key] = m.Offset
}

func (h *handlers) end(m *client.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active[m.Offset]--
	h.keys[m.Key]--
	h.handled[m.Offset]++
}

func (h *handlers) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.handled)
}

// TestACutGivesNoMessageToTwoHandlers, neither of one consumer nor of two, and keeps the order of keys: for 50 ms, and for so
// long that the broker has given the messages back.
func TestACutGivesNoMessageToTwoHandlers(t *testing.T) {
	for _, cut := range []time.Duration{50 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(cut.String(), func(t *testing.T) {
			const n = 60
			w := newWorld(t)
			s := client.NewStream(w.dial(), 0)
			for i := range n {
				_, err := s.Send(t.Context(), client.Message{Topic: "cases", Key: fmt.Sprint("k", i%6)})
				require.NoError(t, err)
			}
			require.NoError(t, s.Close(t.Context()))
			h := newHandlers()
			net := &network{}
			var consumers sync.WaitGroup
			ctx, stop := context.WithCancel(t.Context())
			for range 2 {
				c := client.NewConsumer(net.dial(w), client.ConsumerOptions{
					Topic: "cases", Group: "g", Ordered: true, Concurrency: 4, FirstBackoff: 10 * time.Millisecond,
				}, func(_ context.Context, m *client.Message) error {
					h.begin(m)
					defer h.end(m)
					<-time.After(2 * cut / 3)
					return nil
				})
				consumers.Go(func() { _ = c.Run(ctx) })
			}
			for i := 0; h.count() < n && i < int(2*patience/cut); i++ {
				<-time.After(2 * cut)
				if i < 5 {
					net.cut(cut)
				}
			}
			require.Equal(t, n, h.count())
			stop()
			consumers.Wait()
			require.Empty(t, h.wrong)
			info, err := w.broker.Group("cases", "g")
			require.NoError(t, err)
			require.Zero(t, info.Lag)
		})
	}
}

// TestWhatIsLostIsNotHandled: the group is moved while messages wait for a handler.
func TestWhatIsLostIsNotHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		p := client.NewProducer(w.dial())
		for range 5 {
			_, err := p.Send(t.Context(), client.Message{Topic: "cases"})
			require.NoError(t, err)
		}
		begun := make(chan uint64, 10)
		w.run(client.ConsumerOptions{Window: 5, LockTimeout: 2 * time.Second, StopTimeout: time.Millisecond}, func(ctx context.Context, m *client.Message) error {
			begun <- m.Offset
			<-ctx.Done() // the lock is lost
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		require.Zero(t, <-begun)
		synctest.Wait()
		info, err := w.broker.Group("cases", "g")
		require.NoError(t, err)
		require.Equal(t, 5, info.InFlight)
		_, err = w.broker.SetPosition("cases", "g", broker.Latest)
		require.NoError(t, err)
		_, err = p.Send(t.Context(), client.Message{Topic: "cases"})
		require.NoError(t, err)
		require.Equal(t, uint64(5), <-begun, "those before are lost")
	})
}

// TestOnePoisonedTopicStopsNoStream, and nothing of the others is stored twice.
func TestOnePoisonedTopicStopsNoStream(t *testing.T) {
	const n = 2000
	fsys := disktest.NewFault(disk.OS)
	w := newWorldWith(t, broker.Options{FS: fsys, DedupMessages: 1}, brokergrpc.Options{})
	require.NoError(t, w.broker.CreateTopic(t.Context(), "sick"))
	fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO, Sticky: true, Match: func(name string) bool {
		return strings.Contains(name, "/sick/log")
	}})
	s := client.NewStream(w.dial(), 100)
	var failed atomic.Int64
	var waits sync.WaitGroup
	for i := range n {
		topic := "cases"
		if i%10 == 0 {
			topic = "sick"
		}
		p, err := s.Send(t.Context(), client.Message{Topic: topic})
		require.NoError(t, err)
		waits.Go(func() {
			if _, err := p.Wait(t.Context()); topic == "sick" {
				require.Error(t, err)
				failed.Add(1)
			} else {
				require.NoError(t, err)
			}
		})
	}
	require.Eventually(t, func() bool { return w.end() == n-n/10 }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return failed.Load() >= n/20 }, patience, time.Millisecond, "half of the places are for those that are tried again")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
	waits.Wait()
	require.Equal(t, uint64(n-n/10), w.end(), "nothing is there twice")
	fsys.Heal()
	require.ErrorIs(t, w.broker.Close(), syscall.EIO)
	w.opts = broker.Options{}
	w.broker, _ = broker.Open(w.dir, w.opts)
}

// TestAStreamGoesOnAfterALackOfRoom: what failed for lack of room is there when there is room.
func TestAStreamGoesOnAfterALackOfRoom(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	refused := make(chan struct{}, 3)
	w := newWorldWith(t, broker.Options{}, brokergrpc.Options{Room: func() error {
		if !full.Load() {
			return nil
		}
		select {
		case refused <- struct{}{}:
		default:
		}
		return errors.New("no room")
	}})
	s := client.NewStream(w.dial(), 0)
	var pending []*client.Pending
	for range 10 {
		p, err := s.Send(t.Context(), client.Message{Topic: "cases"})
		require.NoError(t, err)
		pending = append(pending, p)
	}
	for range cap(refused) {
		<-refused
	}
	full.Store(false)
	require.NoError(t, s.Close(t.Context()))
	for _, p := range pending {
		_, err := p.Wait(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, uint64(10), w.end())
}

// TestABrokerThatTakesLess: what is larger than it takes fails alone, also where others went in the same request.
func TestABrokerThatTakesLess(t *testing.T) {
	w := newWorldWith(t, broker.Options{}, brokergrpc.Options{MaxMessageBytes: 32 << 10})
	s := client.NewStream(w.dial(), 0)
	var pending []*client.Pending
	for i := range 20 {
		size := 1000
		if i == 7 {
			size = 100 << 10
		}
		p, err := s.Send(t.Context(), client.Message{Topic: "cases", Payload: make([]byte, size)})
		require.NoError(t, err)
		pending = append(pending, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.Close(ctx))
	for i, p := range pending {
		_, err := p.Wait(t.Context())
		require.Equal(t, i == 7, status.Code(errors.Unwrap(err)) == codes.InvalidArgument, "%d: %v", i, err)
	}
	require.Equal(t, uint64(19), w.end())
}

// TestACutWhileMessagesGoSingly, because one is larger than the broker takes, makes no message fail but that one.
func TestACutWhileMessagesGoSingly(t *testing.T) {
	const n = 20
	w := newWorldWith(t, broker.Options{}, brokergrpc.Options{MaxMessageBytes: 32 << 10})
	net, together := &network{}, make(chan struct{})
	var calls atomic.Int64
	call := func() {
		switch calls.Add(1) {
		case 1: // with all messages
			<-together
		case 3: // with the second of them
			net.cut(300 * time.Millisecond)
		}
	}
	s := client.NewStream(net.dial(w,
		grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			call()
			return open(ctx, d, cc, method, o...)
		}),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
			call()
			return invoke(ctx, method, in, out, cc, o...)
		})), n)
	var pending []*client.Pending
	for i := range n {
		size := 1000
		if i == 0 {
			size = 100 << 10
		}
		p, err := s.Send(t.Context(), client.Message{Topic: "cases", Payload: make([]byte, size)})
		require.NoError(t, err)
		pending = append(pending, p)
	}
	close(together)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.Close(ctx))
	for i, p := range pending {
		_, err := p.Wait(t.Context())
		if i == 0 {
			require.Equal(t, codes.InvalidArgument, status.Code(errors.Unwrap(err)))
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, uint64(n-1), w.end())
}

// TestWhatFailedIsSentAgainUnderLoad: with each request comes one message more, so that there is always something to send.
func TestWhatFailedIsSentAgainUnderLoad(t *testing.T) {
	refused := make(chan struct{})
	var asked atomic.Bool
	w := newWorldWith(t, broker.Options{}, brokergrpc.Options{Room: func() error {
		if asked.Swap(true) {
			return nil
		}
		close(refused)
		return errors.New("no room")
	}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var s *client.Stream
	var load atomic.Bool
	more := func() {
		if load.Load() && ctx.Err() == nil {
			_, _ = s.Send(ctx, client.Message{Topic: "cases"}) // an error ends the load
		}
	}
	conn := new(network).dial(w, grpc.WithChainStreamInterceptor(
		func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			call, err := open(ctx, d, cc, method, o...)
			return &sending{call, more}, err
		}))
	s = client.NewStream(conn, 0)
	load.Store(true)
	p, err := s.Send(ctx, client.Message{Topic: "cases"})
	require.NoError(t, err)
	<-refused
	_, err = p.Wait(ctx)
	require.NoError(t, err)
	load.Store(false)
	require.NoError(t, s.Close(t.Context()))
}

// sending calls more after each request.
type sending struct {
	grpc.ClientStream
	more func()
}

func (s *sending) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	s.more()
	return err
}
