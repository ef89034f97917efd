package broker_test

import (
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk/disktest"
)

// TestEveryOperationFails lets the n-th operation on the file system fail, for every n that one run of random acts
// reaches, and then looks at what a restart finds.
func TestEveryOperationFails(t *testing.T) {
	for _, op := range []disktest.Op{
		disktest.OpWrite, disktest.OpSync, disktest.OpOpen, disktest.OpMkdir, disktest.OpRename, disktest.OpSyncDir,
		disktest.OpTruncate, disktest.OpRead,
	} {
		t.Run(string(op), func(t *testing.T) {
			for n, fired := 1, true; fired; n += 1 + n/8 {
				synctest.Test(t, func(t *testing.T) { fired = failNth(t, op, n) })
			}
		})
	}
}

func failNth(t *testing.T, op disktest.Op, n int) (fired bool) {
	defer func() {
		if t.Failed() {
			t.Logf("%s %d fails", op, n)
		}
	}()
	c := newChaos(t, 1)
	inner := disktest.NewCrash(uint64(n))
	fs := disktest.NewFault(inner)
	cause := []error{syscall.ENOSPC, syscall.EIO}[n%2]
	fs.Inject(disktest.Fault{Op: op, N: n, Err: cause, Sticky: n%3 == 0, Short: n%4 == 0})
	err := c.run(fs, 300)
	if fs.Fired() == 0 {
		require.NoError(t, err)
		return false
	}
	if err != nil {
		require.True(t, errors.Is(err, cause) || errors.Is(err, broker.ErrClosed), "the cause is told: %v", err)
		c.h.crashed()
	}
	inner.ForgetDirty()
	c.check(inner.CrashClone(0.5))
	return true
}

func TestPoisonedTopic(t *testing.T) {
	fs := disktest.NewFault(disktest.NewCrash(1))
	b, err := broker.Open("/data", broker.Options{FS: fs})
	require.NoError(t, err)
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	publish(t, b, "a", "b")
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	held := receive(t, s, 1)
	require.NoError(t, b.Err())
	inLog := func(name string) bool { return strings.Contains(name, "cases/log") }
	fs.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.ENOSPC, Match: inLog})
	_, err = b.Publish(t.Context(), "cases", broker.Message{ID: "x"})
	require.ErrorIs(t, err, commitlog.ErrNotPrepared)
	require.NoError(t, b.Err(), "a full disk poisons nothing")
	fs.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.EIO, Match: inLog})
	for range 2 { // it fails once; the log stays poisoned
		_, err = b.Publish(t.Context(), "cases", broker.Message{ID: "x"})
		require.ErrorIs(t, err, commitlog.ErrPoisoned)
		require.ErrorIs(t, err, syscall.EIO)
	}
	require.ErrorIs(t, b.Err(), commitlog.ErrPoisoned)
	require.ErrorContains(t, b.Err(), "cases")
	require.NoError(t, held[0].Ack(), "what was handed out can be ended")
	require.Equal(t, []string{"b"}, payloads(receive(t, s, 1)), "what is durable is handed out")
	require.NoError(t, b.Flush(t.Context()))
	require.NoError(t, b.CreateTopic(t.Context(), "other"))
	_, err = b.Publish(t.Context(), "other", broker.Message{})
	require.NoError(t, err, "other topics go on")
	require.Error(t, b.Close())

	b = open(t, "/data", broker.Options{FS: fs})
	require.Equal(t, []string{"b"}, payloads(receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)))
}

func TestPoisonedGroups(t *testing.T) {
	fs := disktest.NewFault(disktest.NewCrash(1))
	b, err := broker.Open("/data", broker.Options{FS: fs})
	require.NoError(t, err)
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	publishN(t, b, 10)
	s := subscribe(t, b, "g", broker.SubscribeOptions{Window: 1})
	held := receive(t, s, 1)
	require.NoError(t, b.Flush(t.Context()))
	waiting := make(chan error)
	go func() {
		_, err := s.Receive(t.Context(), 1)
		waiting <- err
	}()
	fs.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.EIO, Match: func(name string) bool {
		return strings.Contains(name, "cases/groups")
	}})
	require.NoError(t, held[0].Ack())
	for err = nil; err == nil; { // the waiter may get one more before the loss is noticed
		if err = <-waiting; err == nil {
			go func() {
				_, err := s.Receive(t.Context(), 1)
				waiting <- err
			}()
		}
	}
	require.ErrorIs(t, err, commitlog.ErrPoisoned)
	require.ErrorIs(t, b.Err(), commitlog.ErrPoisoned)
	require.ErrorIs(t, held[0].Renew(), commitlog.ErrPoisoned)
	_, err = b.Subscribe("cases", "new", broker.SubscribeOptions{})
	require.ErrorIs(t, err, commitlog.ErrPoisoned)
	_, err = b.Publish(t.Context(), "cases", broker.Message{})
	require.NoError(t, err, "what is published is kept all the same")
	require.Error(t, b.Close())

	b = open(t, "/data", broker.Options{FS: fs})
	require.Equal(t, "0", string(receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)[0].Payload))
}

// TestRejectFails: a dead letter that cannot be published leaves the message with its holder.
func TestRejectFails(t *testing.T) {
	fs := disktest.NewFault(disktest.NewCrash(1))
	b := openTopic(t, "/data", broker.Options{FS: fs})
	publish(t, b, "a")
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	d := receive(t, s, 1)[0]
	fs.Inject(disktest.Fault{Op: disktest.OpMkdir, N: 1, Err: syscall.ENOSPC})
	require.ErrorIs(t, d.Reject("x"), syscall.ENOSPC)
	require.NoError(t, d.Renew())
	require.NoError(t, d.Reject("x"))
	require.Equal(t, []string{"cases", "cases.dead"}, b.Topics())
}

// TestDeadLetterIsTriedAgain: what the broker buries by itself waits until it can be published.
func TestDeadLetterIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disktest.NewFault(disktest.NewCrash(1))
		b := openTopic(t, "/data", broker.Options{FS: fs})
		publish(t, b, "a")
		s := subscribe(t, b, "g", broker.SubscribeOptions{MaxDeliveries: 1})
		fs.Inject(disktest.Fault{Op: disktest.OpMkdir, N: 1, Err: syscall.ENOSPC, Sticky: true})
		require.NoError(t, receive(t, s, 1)[0].Release(0))
		nothing(t, s)
		info, err := b.Group("cases", "g")
		require.NoError(t, err)
		require.Equal(t, []int{1, 1}, []int{info.Lag, info.Delayed})
		fs.Heal()
		for info.Lag > 0 {
			nothing(t, s)
			info, err = b.Group("cases", "g")
			require.NoError(t, err)
		}
		require.Equal(t, []string{"cases", "cases.dead"}, b.Topics())
	})
}

func TestOpenFails(t *testing.T) {
	inner := disktest.NewCrash(1)
	b := openTopic(t, "/data", broker.Options{FS: inner})
	publish(t, b, "a")
	receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)
	require.NoError(t, b.Close())
	for n, fired := 1, true; fired; n++ {
		fs := disktest.NewFault(inner)
		fs.Inject(disktest.Fault{N: n, Err: syscall.EIO})
		b, err := broker.Open("/data", broker.Options{FS: fs})
		fired = fs.Fired() > 0
		if err != nil {
			require.ErrorIs(t, err, syscall.EIO, "operation %d", n)
			continue
		}
		require.NoError(t, b.Close())
	}
	b = open(t, "/data", broker.Options{FS: inner})
	require.Equal(t, 1, receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)[0].Count)
}

// TestRejectionsBecomeDurableTogether, and so do messages whose deliveries are used up: a thousand dead letters are not a
// thousand syncs.
func TestRejectionsBecomeDurableTogether(t *testing.T) {
	const n = 300
	for name, give := range map[string]func(t *testing.T, ds []broker.Delivery){
		"rejected": func(t *testing.T, ds []broker.Delivery) {
			var started []*broker.Rejection
			for _, d := range ds {
				r, err := d.StartReject("no")
				require.NoError(t, err)
				require.ErrorIs(t, d.Ack(), broker.ErrLockLost, "it is under way")
				started = append(started, r)
			}
			for _, r := range started {
				require.NoError(t, r.Wait())
			}
		},
		"used up": func(t *testing.T, ds []broker.Delivery) {
			for _, d := range ds {
				require.NoError(t, d.Release(0))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := disktest.NewFault(disktest.NewSlow(disktest.NewCrash(1), time.Millisecond))
				b := openTopic(t, "/data", broker.Options{FS: fs})
				publishN(t, b, n)
				require.NoError(t, b.CreateTopic(t.Context(), "cases.dead"))
				s := subscribe(t, b, "g", broker.SubscribeOptions{Window: n, MaxDeliveries: 1})
				ds := receive(t, s, n)
				syncs := 0
				fs.Inject(disktest.Fault{Op: disktest.OpSync, N: math.MaxInt, Match: func(name string) bool {
					if strings.Contains(name, "cases.dead/log") {
						syncs++
					}
					return false
				}})
				give(t, ds)
				require.Eventually(t, func() bool {
					info, err := b.Group("cases", "g")
					require.NoError(t, err)
					return info.Lag == 0
				}, 10*time.Second, time.Millisecond)
				fs.Heal()
				letters, _, err := b.DeadLetters("cases", 0, n)
				require.NoError(t, err)
				require.Len(t, letters, n)
				require.Less(t, syncs, n/10)
			})
		})
	}
}

// TestRejectionsThatFindNoRoom leave their deliveries in hand.
func TestRejectionsThatFindNoRoom(t *testing.T) {
	fs := disktest.NewFault(disktest.NewCrash(1))
	b := openTopic(t, "/data", broker.Options{FS: fs})
	publishN(t, b, 3)
	require.NoError(t, b.CreateTopic(t.Context(), "cases.dead"))
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	var started []*broker.Rejection
	ds := receive(t, s, 3)
	fs.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.ENOSPC, Match: func(name string) bool {
		return strings.Contains(name, "cases.dead/log")
	}})
	failed := 0
	for _, d := range ds {
		r, err := d.StartReject("no")
		if err == nil {
			started = append(started, r)
			continue
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		failed++
	}
	for _, r := range started {
		if err := r.Wait(); err != nil {
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
			failed++
		}
	}
	require.Positive(t, failed)
	require.Equal(t, failed, s.InFlight())
}
