package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
)

const never = 10_000 * time.Hour

var background = context.Background()

// A chaos does random things to a broker until the disk fails, and keeps the history.
type chaos struct {
	t    *testing.T
	rng  *rand.Rand
	b    *broker.Broker
	h    *history
	subs map[string]*broker.Subscription
	held map[string][]broker.Delivery
	sent int
}

func newChaos(t *testing.T, seed uint64) *chaos {
	return &chaos{t: t, rng: rand.New(rand.NewPCG(seed, 7)), h: newHistory("a", "b", "c")}
}

func chaosOptions(fs disk.FS) broker.Options {
	return broker.Options{FS: fs, SegmentBytes: 4096, LockTimeout: time.Minute, MaxUnacked: 50}
}

// run opens the broker and goes on until an operation fails or there were enough.
func (c *chaos) run(fs disk.FS, steps int) error {
	b, err := broker.Open("/data", chaosOptions(fs))
	if err != nil {
		return err
	}
	c.b, c.subs, c.held = b, map[string]*broker.Subscription{}, map[string][]broker.Delivery{}
	err = b.CreateTopic(background, "cases")
	for range steps {
		if err != nil {
			break
		}
		err = c.step()
	}
	if err != nil {
		if errors.Is(err, commitlog.ErrPoisoned) {
			require.ErrorIs(c.t, b.Err(), commitlog.ErrPoisoned)
		}
		if !errors.Is(err, disktest.ErrPowerCut) {
			c.leaveAll()
		}
		_ = b.Close() // it says the same
		return err
	}
	c.leaveAll()
	flushed := c.h.flushing()
	if err := b.Close(); err != nil {
		return err
	}
	flushed()
	return nil
}

func (c *chaos) step() error {
	group := []string{"a", "b", "c"}[c.rng.IntN(3)]
	s, err := c.member(group)
	if err != nil {
		return err
	}
	switch n := c.rng.IntN(100); {
	case n < 25:
		return c.publish()
	case n < 55:
		return c.receive(group, s)
	case n < 90:
		return c.act(group)
	case n < 94:
		flushed := c.h.flushing()
		if err := c.b.Flush(background); err != nil {
			return err
		}
		flushed()
	case n < 97:
		time.Sleep(time.Duration(c.rng.IntN(90)) * time.Second)
	default:
		c.h.givesBack(group, c.held[group])
		c.held[group] = nil
		delete(c.subs, group)
		return s.Close()
	}
	return nil
}

func (c *chaos) member(group string) (*broker.Subscription, error) {
	if s := c.subs[group]; s != nil {
		return s, nil
	}
	s, err := c.b.Subscribe("cases", group, broker.SubscribeOptions{Window: 20})
	c.subs[group] = s
	return s, err
}

func (c *chaos) leaveAll() {
	for group, held := range c.held {
		c.h.givesBack(group, held)
	}
}

func (c *chaos) publish() error {
	var msgs []broker.Message
	for range 1 + c.rng.IntN(3) {
		c.sent++
		payload := fmt.Sprintf("message %d %0*d", c.sent, c.rng.IntN(300), 0)
		c.h.publishes(payload)
		msgs = append(msgs, broker.Message{Payload: []byte(payload)})
	}
	if c.rng.IntN(2) == 0 {
		msgs = msgs[:1]
		msgs[0].ID = fmt.Sprint(c.sent)
	}
	first, err := c.b.Publish(background, "cases", msgs...)
	if err != nil {
		return err
	}
	for i, m := range msgs {
		c.h.acknowledged(first+uint64(i), string(m.Payload))
	}
	return nil
}

func (c *chaos) receive(group string, s *broker.Subscription) error {
	ctx, cancel := context.WithTimeout(background, time.Millisecond)
	defer cancel()
	ds, err := s.Receive(ctx, 1+c.rng.IntN(8))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	for _, d := range ds {
		c.h.delivered(c.t, group, d, c.h.now())
	}
	c.held[group] = append(c.held[group], ds...)
	return err
}

func (c *chaos) act(group string) error {
	held := c.held[group]
	if len(held) == 0 {
		return nil
	}
	i := c.rng.IntN(len(held))
	d := held[i]
	n := c.rng.IntN(100)
	err := c.end(group, d, n)
	if errors.Is(err, broker.ErrLockLost) {
		err = nil
	}
	if err == nil && n < 95 {
		c.held[group] = append(held[:i:i], held[i+1:]...)
	}
	return err
}

func (c *chaos) end(group string, d broker.Delivery, n int) error {
	switch {
	case n < 70:
		err := d.Ack()
		if err == nil {
			c.h.acks(group, d.Offset)
		}
		return err
	case n < 90:
		return d.Release(time.Duration(c.rng.IntN(3)) * 30 * time.Second)
	case n < 95:
		err := d.Reject("chaos")
		if err == nil {
			c.h.rejects(group, d.Offset)
		}
		return err
	}
	return d.Renew()
}

// check opens the disk that a crash left and holds it against the history.
func (c *chaos) check(fs disk.FS) {
	o := chaosOptions(fs)
	o.MaxUnacked = 0 // all of it
	b, err := broker.Open("/data", o)
	require.NoError(c.t, err)
	if len(b.Topics()) == 0 {
		require.Empty(c.t, c.h.published)
		require.NoError(c.t, b.CreateTopic(background, "cases"))
	}
	c.h.check(c.t, b)
	require.NoError(c.t, b.Verify(background))
	require.NoError(c.t, b.Close())
}

// TestPowerCuts cuts the power at random points, three times in a row on each disk. CASEPRESS_POWER_CUTS sets on how
// many disks.
func TestPowerCuts(t *testing.T) {
	rounds := 40
	if n, err := strconv.Atoi(os.Getenv("CASEPRESS_POWER_CUTS")); err == nil {
		rounds = n
	}
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			c := newChaos(t, seed)
			fs := disktest.NewCrash(seed)
			for range 3 {
				fs.CutAt(1+c.rng.IntN(400), c.rng.Float64())
				if err := c.run(fs, 400); err == nil {
					fs = fs.CrashClone(0.5)
				} else {
					require.ErrorIs(t, err, disktest.ErrPowerCut)
					fs = fs.AfterCut()
				}
				c.h.crashed()
				c.check(fs)
			}
		})
	}
}
