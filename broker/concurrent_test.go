package broker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

// TestConcurrentHistory lets producers and members of several groups work at once, closes the broker under them,
// and holds all they saw against the promises.
func TestConcurrentHistory(t *testing.T) {
	dir := t.TempDir()
	c := &crowd{h: newHistory("a", "b", "c"), enough: make(chan struct{}, 100)}
	c.h.loose = true
	for range 3 {
		b := openTopic(t, dir, broker.Options{DedupWindow: time.Hour})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { c.produce(b) })
		}
		for group := range c.h.groups {
			for m := range 3 {
				wg.Go(func() { c.consume(b, group, uint64(m)) })
			}
		}
		wg.Go(func() { c.flush(b) })
		<-c.enough
		require.NoError(t, b.Close())
		wg.Wait()
		require.Empty(t, c.problem.Load())
		for _, g := range c.h.groups {
			for offset := range g.acked {
				g.durable[offset] = true // Close made them so
			}
		}
		b = open(t, dir, broker.Options{})
		c.h.check(t, b)
		require.NoError(t, b.Close())
	}
}

type crowd struct {
	h       *history
	sent    atomic.Int64
	acked   atomic.Int64
	enough  chan struct{} // gets a value with every thousandth acknowledgement
	problem atomic.Value
}

// Errorf and FailNow let the history complain from any goroutine.
func (c *crowd) Errorf(format string, args ...any) { c.problem.Store(fmt.Sprintf(format, args...)) }
func (c *crowd) FailNow()                          { panic(c.problem.Load()) }

func (c *crowd) produce(b *broker.Broker) {
	for {
		n := c.sent.Add(1)
		payload := fmt.Sprintf("message %d", n)
		c.h.publishes(payload)
		offset, err := b.Publish(background, "cases", broker.Message{ID: fmt.Sprint(n), Payload: []byte(payload)})
		if err != nil {
			return
		}
		c.h.acknowledged(offset, payload)
	}
}

func (c *crowd) flush(b *broker.Broker) {
	for {
		flushed := c.h.flushing()
		if b.Flush(background) != nil {
			return
		}
		flushed()
	}
}

func (c *crowd) consume(b *broker.Broker, group string, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for {
		s, err := b.Subscribe("cases", group, broker.SubscribeOptions{Window: 20})
		if err != nil {
			return
		}
		var held []broker.Delivery
		for range 20 {
			began := c.h.now()
			ds, err := s.Receive(background, 1+rng.IntN(10))
			if err != nil {
				c.h.givesBack(group, held)
				return
			}
			for _, d := range ds {
				c.h.delivered(c, group, d, began)
			}
			held = c.end(rng, group, append(held, ds...))
		}
		c.h.givesBack(group, held)
		if s.Close() != nil {
			return
		}
	}
}

// end ends most of the deliveries and returns the others.
func (c *crowd) end(rng *rand.Rand, group string, held []broker.Delivery) (kept []broker.Delivery) {
	for _, d := range held {
		var err error
		switch n := rng.IntN(100); {
		case n < 85 || len(held) > 15:
			if err = d.Ack(); err == nil {
				c.h.acks(group, d.Offset)
				if c.acked.Add(1)%1000 == 0 {
					c.enough <- struct{}{}
				}
			}
		case n < 90:
			err = d.Release(0)
		case n < 92:
			if err = d.Reject("chance"); err == nil {
				c.h.rejects(group, d.Offset)
			}
		default:
			kept = append(kept, d)
		}
		if err != nil && !errors.Is(err, broker.ErrClosed) && !errors.Is(err, broker.ErrLockLost) { // only Close takes locks away here
			c.Errorf("end %s %d: %v", group, d.Offset, err)
		}
	}
	return kept
}
