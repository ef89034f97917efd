package client_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/client"
)

// TestWhatIsTooLargeIsNotTriedForEver, neither by a producer nor by a stream, which goes on with other messages.
func TestWhatIsTooLargeIsNotTriedForEver(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	large := client.Message{Topic: "cases", Payload: make([]byte, 9<<20)}
	_, err := client.NewProducer(w.dial()).Send(ctx, large)
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "%v", err)
	s := client.NewStream(w.dial(), 0)
	_, err = s.Send(ctx, large)
	require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
	p, err := s.Send(ctx, client.Message{Topic: "cases"})
	require.NoError(t, err)
	_, err = p.Wait(ctx)
	require.NoError(t, err)
	require.NoError(t, s.Close(ctx))
}

func TestConsumerOptionsOutOfRange(t *testing.T) {
	w := newWorld(t)
	for field, o := range map[string]client.ConsumerOptions{
		"Topic":         {Group: "g"},
		"Concurrency":   {Concurrency: -1},
		"Window":        {Window: 1 << 17},
		"LockTimeout":   {LockTimeout: -time.Second},
		"MaxDeliveries": {MaxDeliveries: -1},
		"MaxBackoff":    {MaxBackoff: time.Millisecond},
	} {
		if field != "Topic" {
			o.Topic, o.Group = "cases", "g"
		}
		err := client.NewConsumer(w.dial(), o, nil).Run(t.Context())
		require.ErrorContains(t, err, field)
	}
}

// TestALargeWindowIsRenewed: more locks than one request may renew.
func TestALargeWindowIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, lock = 11_000, 3 * time.Second
		w := newBubbleWorld(t)
		s := client.NewStream(w.dial(), 0)
		for range n {
			_, err := s.Send(t.Context(), client.Message{Topic: "cases"})
			require.NoError(t, err)
		}
		require.NoError(t, s.Close(t.Context()))
		finish := make(chan struct{})
		stop := w.run(client.ConsumerOptions{Window: n, LockTimeout: lock}, func(context.Context, *client.Message) error {
			<-finish
			return nil
		})
		for _, later := range []time.Duration{0, lock / 2, lock, 10 * lock} {
			time.Sleep(later)
			synctest.Wait()
			i, err := w.broker.Group("cases", "g")
			require.NoError(t, err)
			require.Equal(t, n, i.InFlight)
		}
		close(finish)
		stop()
	})
}

// TestAStreamBoundsItsBytes: without a broker, what waits takes no more memory than said.
func TestAStreamBoundsItsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, err := client.Dial("passthrough:///nobody", grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			return nil, io.ErrUnexpectedEOF
		}))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close()) })
		s := client.NewStream(conn, 0)
		payload := make([]byte, 7<<20)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		taken := 0
		for err == nil {
			if _, err = s.Send(ctx, client.Message{Topic: "cases", Payload: payload}); err == nil {
				taken++
			}
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 9, taken, "63 of 64 MiB")
		require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
	})
}

func TestANegativeNumberInFlight(t *testing.T) {
	s := client.NewStream(newWorld(t).dial(), -1)
	_, err := s.Send(t.Context(), client.Message{Topic: "cases"})
	require.ErrorContains(t, err, "-1")
	require.NoError(t, s.Close(t.Context()))
}
