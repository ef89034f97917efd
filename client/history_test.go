package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/client"
)

// TestHistory: streams send and consumers handle at random, on a network that is cut and with a broker that is started again,
// beside a topic that is deleted and made again, messages of the far future, and a group that is moved back. Nothing that was
// answered is lost, no message is with two handlers, the order of keys holds, and what was given up is a dead letter.
func TestHistory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w, net := newWorld(t), &network{}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	h := newHandlers()
	var mu sync.Mutex // guards all below
	done, moved, sent := map[uint64]bool{}, map[uint64]int{}, map[uint64]bool{}

	var consumers sync.WaitGroup
	consume := func(o client.ConsumerOptions, handle client.Handler) {
		o.Topic, o.FirstBackoff, o.MaxBackoff, o.StopTimeout = "cases", time.Millisecond, 20*time.Millisecond, patience
		c := client.NewConsumer(net.dial(w), o, handle)
		consumers.Go(func() { _ = c.Run(ctx) })
	}
	for i := range 2 {
		mine := rand.New(rand.NewPCG(seed, uint64(i+1)))
		var turn sync.Mutex
		consume(client.ConsumerOptions{Group: "g", Ordered: true, Concurrency: 4, MaxDeliveries: 20}, func(_ context.Context, m *client.Message) error {
			h.begin(m)
			defer h.end(m)
			turn.Lock()
			n := mine.IntN(100)
			turn.Unlock()
			<-time.After(time.Duration(n%10) * time.Millisecond)
			switch {
			case n < 5:
				return client.Reject(errors.New("no"))
			case n < 25:
				return errors.New("not yet")
			}
			mu.Lock()
			defer mu.Unlock()
			done[m.Offset] = true
			return nil
		})
	}
	consume(client.ConsumerOptions{Group: "back", Concurrency: 4}, func(_ context.Context, m *client.Message) error {
		mu.Lock()
		defer mu.Unlock()
		moved[m.Offset]++
		return nil
	})

	var producers sync.WaitGroup
	producing, enough := context.WithTimeout(ctx, 3*time.Second)
	defer enough()
	for i := range 2 {
		s := client.NewStream(net.dial(w), 256)
		producers.Go(func() {
			for n := 0; producing.Err() == nil; n++ {
				m := client.Message{Topic: "cases", ID: fmt.Sprint(i, "-", n), Key: fmt.Sprint("k", i, n%5)}
				if n%50 == 49 {
					m.Key, m.DeliverAt = "", time.Now().Add(time.Hour)
				}
				p, err := s.Send(ctx, m)
				require.NoError(t, err)
				producers.Go(func() {
					offset, err := p.Wait(ctx)
					require.NoError(t, err)
					mu.Lock()
					defer mu.Unlock()
					require.NotContains(t, sent, offset, "two messages at one offset")
					sent[offset] = !m.DeliverAt.IsZero()
				})
				<-time.After(2 * time.Millisecond)
			}
			require.NoError(t, s.Close(ctx))
		})
	}
	for producing.Err() == nil {
		<-time.After(time.Duration(50+rng.IntN(150)) * time.Millisecond)
		switch rng.IntN(5) {
		case 0:
			w.cut()
		case 1:
			require.NoError(t, w.broker.CreateTopic(ctx, "again"))
			_, err := w.broker.Publish(ctx, "again", broker.Message{ID: "same"})
			require.NoError(t, err)
			require.NoError(t, w.broker.DeleteTopic(ctx, "again"))
		case 2:
			_, err := w.broker.SetPosition("cases", "back", broker.Earliest)
			require.NoError(t, err)
		default:
			net.cut(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
	}
	producers.Wait()
	far := 0
	for _, f := range sent {
		if f {
			far++
		}
	}
	require.Eventually(t, func() bool {
		g, err := w.broker.Group("cases", "g")
		require.NoError(t, err)
		back, err := w.broker.Group("cases", "back")
		require.NoError(t, err)
		return g.Lag == far && back.Lag == far
	}, patience, 10*time.Millisecond)
	stop()
	consumers.Wait()

	require.Empty(t, h.wrong)
	letters, _, err := w.broker.DeadLetters("cases", 0, 100_000)
	require.NoError(t, err)
	dead := map[string]bool{}
	for _, m := range letters {
		require.False(t, dead[m.Header(broker.DeadOffset)], "two letters of one message")
		dead[m.Header(broker.DeadOffset)] = true
	}
	for offset, far := range sent {
		require.Equal(t, !far, done[offset] || dead[fmt.Sprint(offset)], "%d: far %v", offset, far)
		require.Equal(t, !far, moved[offset] > 0, "%d in the group that was moved", offset)
	}
	require.Equal(t, uint64(len(sent)), w.end(), "nothing is there that was not answered")
	t.Log(len(sent), "messages,", len(letters), "dead letters")
}
