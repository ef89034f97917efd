package broker_test

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk/disktest"
)

// inBubble runs a test on virtual time, with a broker in memory.
func inBubble(t *testing.T, o broker.Options, test func(t *testing.T, b *broker.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.FS = disktest.NewCrash(1)
		test(t, openTopic(t, "/data", o))
	})
}

func TestLockLapses(t *testing.T) {
	inBubble(t, broker.Options{LockTimeout: time.Minute}, func(t *testing.T, b *broker.Broker) {
		publish(t, b, "a")
		slow, quick := subscribe(t, b, "g", broker.SubscribeOptions{}), subscribe(t, b, "g", broker.SubscribeOptions{})
		d := receive(t, slow, 1)[0]
		start := time.Now()
		nothing(t, quick)
		ds, err := quick.Receive(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, []string{"a"}, payloads(ds))
		require.Equal(t, 2, ds[0].Count)
		require.ErrorIs(t, d.Ack(), broker.ErrLockLost)
		require.ErrorIs(t, d.Release(0), broker.ErrLockLost)
		require.ErrorIs(t, d.Renew(), broker.ErrLockLost)
		require.ErrorIs(t, d.Reject("x"), broker.ErrLockLost)
		require.NoError(t, ds[0].Ack())
		require.NoError(t, d.Ack(), "it is acknowledged")
	})
}

func TestLapsedLockStillWorksWhileNobodyHasTheMessage(t *testing.T) {
	for name, act := range map[string]func(broker.Delivery) error{
		"ack":     broker.Delivery.Ack,
		"renew":   broker.Delivery.Renew,
		"release": func(d broker.Delivery) error { return d.Release(time.Hour) },
		"reject":  func(d broker.Delivery) error { return d.Reject("no") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, broker.Options{LockTimeout: time.Minute}, func(t *testing.T, b *broker.Broker) {
				publish(t, b, "a")
				s := subscribe(t, b, "g", broker.SubscribeOptions{})
				d := receive(t, s, 1)[0]
				time.Sleep(2 * time.Minute)
				require.NoError(t, act(d))
				nothing(t, s)
			})
		})
	}
}

func TestRenewHoldsTheLock(t *testing.T) {
	inBubble(t, broker.Options{}, func(t *testing.T, b *broker.Broker) {
		publish(t, b, "a")
		s := subscribe(t, b, "g", broker.SubscribeOptions{LockTimeout: time.Second})
		d := receive(t, s, 1)[0]
		for range 10 {
			time.Sleep(900 * time.Millisecond)
			require.NoError(t, d.Renew())
		}
		nothing(t, s)
		start := time.Now()
		again := receive(t, s, 1)[0]
		require.Equal(t, 980*time.Millisecond, time.Since(start))
		require.Equal(t, 2, again.Count)
	})
}

func TestReleaseDelays(t *testing.T) {
	inBubble(t, broker.Options{LockTimeout: time.Minute}, func(t *testing.T, b *broker.Broker) {
		publish(t, b, "a", "b")
		s := subscribe(t, b, "g", broker.SubscribeOptions{})
		ds := receive(t, s, 2)
		require.NoError(t, ds[0].Release(3*time.Second))
		require.NoError(t, ds[1].Release(time.Second))
		start := time.Now()
		again, err := s.Receive(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, payloads(again))
		require.Equal(t, time.Second, time.Since(start))
		again, err = s.Receive(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, payloads(again))
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, 2, again[0].Count)
	})
}

func TestDelayOutlivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disktest.NewCrash(1)
		b := openTopic(t, "/data", broker.Options{FS: fs})
		publish(t, b, "a")
		d := receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)[0]
		require.NoError(t, d.Release(time.Hour))
		require.NoError(t, b.Close())
		b = open(t, "/data", broker.Options{FS: fs})
		s := subscribe(t, b, "g", broker.SubscribeOptions{})
		start := time.Now()
		ds, err := s.Receive(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, 2, ds[0].Count)
		require.InDelta(t, time.Hour, time.Since(start), float64(time.Second))
	})
}

func TestDeliverAt(t *testing.T) {
	inBubble(t, broker.Options{}, func(t *testing.T, b *broker.Broker) {
		due := time.Now().Add(time.Hour)
		later := broker.Message{Payload: []byte("later"), DeliverAt: due}
		_, err := b.Publish(t.Context(), "cases", later, broker.Message{Payload: []byte("now")})
		require.NoError(t, err)
		s := subscribe(t, b, "g", broker.SubscribeOptions{})
		ds := receive(t, s, 1)
		require.Equal(t, []string{"now"}, payloads(ds))
		require.NoError(t, ds[0].Ack())
		info, err := b.Group("cases", "g")
		require.NoError(t, err)
		require.Equal(t, 1, info.Delayed)
		ds, err = s.Receive(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, []string{"later"}, payloads(ds))
		require.Equal(t, 1, ds[0].Count)
		require.Equal(t, due, time.Now())
	})
}

func TestDeadLetterExactlyAfterTheMaximum(t *testing.T) {
	inBubble(t, broker.Options{LockTimeout: time.Second}, func(t *testing.T, b *broker.Broker) {
		_, err := b.Publish(t.Context(), "cases", broker.Message{
			ID: "m1", Key: "k", Headers: []broker.Header{{Name: "h", Value: "v"}}, Payload: []byte("poison"),
		})
		require.NoError(t, err)
		s := subscribe(t, b, "g", broker.SubscribeOptions{MaxDeliveries: 3})
		for i := range 3 {
			ds, err := s.Receive(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, i+1, ds[0].Count)
			if i == 1 {
				require.NoError(t, ds[0].Release(time.Minute))
			} // else the lock lapses
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		nothing(t, s)
		dead, err := b.Subscribe("cases.dead", "g", broker.SubscribeOptions{})
		require.NoError(t, err)
		ds := receive(t, dead, 1)
		require.Equal(t, "poison", string(ds[0].Payload))
		require.Equal(t, "k", ds[0].Key)
		require.True(t, strings.HasPrefix(ds[0].ID, "cases/0/g/"), ds[0].ID)
		require.Equal(t, []broker.Header{
			{Name: "h", Value: "v"},
			{Name: broker.DeadTopic, Value: "cases"},
			{Name: broker.DeadOffset, Value: "0"},
			{Name: broker.DeadGroup, Value: "g"},
			{Name: broker.DeadReason, Value: "delivered too often without an acknowledgement"},
			{Name: broker.DeadCount, Value: "3"},
			{Name: broker.DeadID, Value: "m1"},
		}, ds[0].Headers)
		nothing(t, dead)
		info, err := b.Group("cases", "g")
		require.NoError(t, err)
		require.Zero(t, info.Lag)
	})
}

func TestDedupWindowIsTime(t *testing.T) {
	inBubble(t, broker.Options{DedupWindow: time.Minute}, func(t *testing.T, b *broker.Broker) {
		m := broker.Message{ID: "same"}
		for _, c := range []struct {
			wait time.Duration
			want uint64
		}{{0, 0}, {59 * time.Second, 0}, {2 * time.Second, 1}, {59 * time.Second, 1}} {
			time.Sleep(c.wait)
			offset, err := b.Publish(t.Context(), "cases", m)
			require.NoError(t, err)
			require.Equal(t, c.want, offset)
		}
	})
}

func TestRetentionByAgeSparesWhatAGroupHasNotPassed(t *testing.T) {
	o := broker.Options{RetainAge: time.Hour, RetentionEach: time.Minute, SegmentBytes: 4096}
	inBubble(t, o, func(t *testing.T, b *broker.Broker) {
		s := subscribe(t, b, "g", broker.SubscribeOptions{Window: 100})
		_ = subscribe(t, b, "late", broker.SubscribeOptions{})
		for range 20 {
			publish(t, b, string(make([]byte, 1000)))
		}
		for _, d := range receive(t, s, 20) {
			require.NoError(t, d.Ack())
		}
		time.Sleep(3 * time.Hour)
		info, err := b.Group("cases", "late")
		require.NoError(t, err)
		require.Zero(t, info.Start)
		late, err := b.Subscribe("cases", "late", broker.SubscribeOptions{Window: 100})
		require.NoError(t, err)
		ds := receive(t, late, 20)
		require.Zero(t, ds[0].Offset)
		for _, d := range ds {
			require.NoError(t, d.Ack())
		}
		require.NoError(t, late.Close())
		time.Sleep(2 * time.Minute)
		_ = publish(t, b, "new")
		fresh, err := b.Subscribe("cases", "fresh", broker.SubscribeOptions{})
		require.NoError(t, err)
		first := receive(t, fresh, 1)[0].Offset
		require.Greater(t, first, uint64(10), "old segments are gone")
		require.NoError(t, fresh.Close())
	})
}

func TestRetentionBySize(t *testing.T) {
	o := broker.Options{RetainBytes: 10_000, RetentionEach: time.Minute, SegmentBytes: 4096}
	inBubble(t, o, func(t *testing.T, b *broker.Broker) {
		for range 20 {
			publish(t, b, string(make([]byte, 1000)))
		}
		time.Sleep(2 * time.Minute)
		s := subscribe(t, b, "g", broker.SubscribeOptions{Window: 100})
		ds := receive(t, s, 20) // without a group nothing is removed
		for _, d := range ds[:15] {
			require.NoError(t, d.Ack())
		}
		time.Sleep(2 * time.Minute)
		fresh := subscribe(t, b, "fresh", broker.SubscribeOptions{})
		first := receive(t, fresh, 1)[0].Offset
		require.Greater(t, first, uint64(5))
		require.Less(t, first, uint64(15))
	})
}

// TestRetentionSparesWhatIsKept: topics of Options.Keep and their dead letters.
func TestRetentionSparesWhatIsKept(t *testing.T) {
	o := broker.Options{RetainAge: time.Minute, RetentionEach: time.Minute, SegmentBytes: 4096, Keep: []string{"cases"}}
	inBubble(t, o, func(t *testing.T, b *broker.Broker) {
		for _, topic := range []string{"cases", "cases.dead", "others"} {
			require.NoError(t, b.CreateTopic(t.Context(), topic))
			for range 20 {
				_, err := b.Publish(t.Context(), topic, broker.Message{Payload: make([]byte, 1000)})
				require.NoError(t, err)
			}
			_, err := b.SetPosition(topic, "g", broker.Latest)
			require.NoError(t, err)
		}
		time.Sleep(time.Hour)
		for topic, kept := range map[string]bool{"cases": true, "cases.dead": true, "others": false} {
			info, err := b.Topic(topic)
			require.NoError(t, err)
			require.Equal(t, kept, info.Start == 0, topic)
		}
	})
}

// Too many open files, or a disk that does not answer for a moment, must not end a group.
func TestReadingGoesOnAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		b := openTopic(t, "/data", broker.Options{FS: fsys})
		publish(t, b, "a")
		_, err := b.SetPosition("cases", "g", broker.Earliest)
		require.NoError(t, err)
		time.Sleep(3 * time.Second) // then it is no longer in memory
		fsys.Inject(disktest.Fault{Op: disktest.OpOpen, N: 1, Err: syscall.EMFILE, Sticky: true})
		s := subscribe(t, b, "g", broker.SubscribeOptions{})
		nothing(t, s)
		require.ErrorIs(t, b.Err(), syscall.EMFILE)
		fsys.Heal()
		require.Equal(t, []string{"a"}, payloads(receive(t, s, 1)))
		require.NoError(t, b.Err())
		publish(t, b, "b")
		require.Equal(t, []string{"b"}, payloads(receive(t, s, 1)))
	})
}

// TestAPublishGoesOnAfterAFailureToOpen: a log that rested needs its file again, and has only not taken what it could not write.
func TestAPublishGoesOnAfterAFailureToOpen(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	b := openTopic(t, "/data", broker.Options{FS: fsys})
	fsys.Inject(disktest.Fault{Op: disktest.OpOpen, N: 1, Err: syscall.EMFILE, Sticky: true})
	_, err := b.Publish(t.Context(), "cases", broker.Message{ID: "a"})
	require.ErrorIs(t, err, commitlog.ErrNotPrepared)
	require.ErrorIs(t, err, syscall.EMFILE)
	require.NoError(t, b.Err())
	fsys.Heal()
	offset, err := b.Publish(t.Context(), "cases", broker.Message{ID: "a"})
	require.NoError(t, err)
	require.Zero(t, offset)
}

// setClock is a machine's clock that may be set.
type setClock struct{ ahead atomic.Int64 }

func (c *setClock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *setClock) set(ahead time.Duration) { c.ahead.Store(int64(ahead)) }

// TestAMessageIsDueByTheMachinesClock, also where it was set after the broker was opened, or went on while the machine slept.
// Whoever waits hears of it soon.
func TestAMessageIsDueByTheMachinesClock(t *testing.T) {
	var c setClock
	inBubble(t, broker.Options{Now: c.now}, func(t *testing.T, b *broker.Broker) {
		s := subscribe(t, b, "g", broker.SubscribeOptions{})
		_, err := b.Publish(t.Context(), "cases", broker.Message{DeliverAt: c.now().Add(time.Hour)})
		require.NoError(t, err)
		nothing(t, s)
		c.set(2 * time.Hour)
		start := time.Now()
		d := receive(t, s, 1)[0]
		require.LessOrEqual(t, time.Since(start), 5*time.Second)

		c.set(-24 * time.Hour) // it was wrong
		require.NoError(t, d.Ack())
		_, err = b.Publish(t.Context(), "cases", broker.Message{DeliverAt: c.now().Add(time.Minute)})
		require.NoError(t, err)
		nothing(t, s)
		start = time.Now()
		ds, err := s.Receive(t.Context(), 1)
		require.NoError(t, err)
		require.Less(t, time.Since(start), time.Minute, "an hour or a day too late is wrong")
		require.NoError(t, ds[0].Ack())

		c.set(24 * time.Hour)
		_, err = b.Publish(t.Context(), "cases", broker.Message{DeliverAt: c.now().Add(-time.Second)})
		require.NoError(t, err)
		receive(t, s, 1)
	})
}

// TestAClockThatIsSetMovesNoLockAndNoRelease, also not over a restart.
func TestAClockThatIsSetMovesNoLockAndNoRelease(t *testing.T) {
	for _, ahead := range []time.Duration{240 * time.Hour, -240 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var c setClock
			o := broker.Options{FS: disktest.NewCrash(1), LockTimeout: time.Minute, Now: c.now}
			b := openTopic(t, "/data", o)
			publish(t, b, "locked", "released", "later")
			s := subscribe(t, b, "g", broker.SubscribeOptions{})
			ds := receive(t, s, 3)
			require.NoError(t, ds[1].Release(30*time.Second))
			require.NoError(t, ds[2].Release(time.Hour))
			c.set(ahead)
			start := time.Now()
			for _, want := range []struct {
				payload string
				at      time.Duration
			}{{"released", 30 * time.Second}, {"locked", time.Minute}} {
				d, err := s.Receive(t.Context(), 1)
				require.NoError(t, err)
				require.Equal(t, []string{want.payload}, payloads(d))
				require.Equal(t, want.at, time.Since(start))
				require.NoError(t, d[0].Ack())
			}
			require.NoError(t, b.Close())
			b = open(t, "/data", o)
			s = subscribe(t, b, "g", broker.SubscribeOptions{})
			d, err := s.Receive(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, []string{"later"}, payloads(d))
			require.InDelta(t, time.Hour, time.Since(start), float64(5*time.Second))
		})
	}
}

// TestAClockYearsAheadForAMoment neither keeps retention from what is old nor spoils where a group begins by time.
func TestAClockYearsAheadForAMoment(t *testing.T) {
	var c setClock
	o := broker.Options{RetainAge: time.Hour, RetentionEach: time.Minute, SegmentBytes: 4096, Now: c.now}
	inBubble(t, o, func(t *testing.T, b *broker.Broker) {
		s := subscribe(t, b, "g", broker.SubscribeOptions{Window: 1000})
		add := func(n int) {
			for range n {
				publish(t, b, string(make([]byte, 1000)))
			}
			for _, d := range receive(t, s, n) {
				require.NoError(t, d.Ack())
			}
		}
		add(10)
		c.set(10 * 365 * 24 * time.Hour)
		add(1)
		time.Sleep(2 * time.Minute)
		info, err := b.Topic("cases")
		require.NoError(t, err)
		require.Zero(t, info.Start, "nothing is old because the clock is ahead")
		c.set(0)
		right := c.now()
		add(10)
		_, err = b.SetPosition("cases", "by-time", broker.FromTime(right))
		require.NoError(t, err)
		by, err := b.Group("cases", "by-time")
		require.NoError(t, err)
		require.Equal(t, uint64(10), by.Start, "with the one whose time is wrong")
		require.NoError(t, b.DeleteGroup("cases", "by-time"))
		time.Sleep(2 * time.Hour)
		add(10)
		time.Sleep(2 * time.Minute)
		info, err = b.Topic("cases")
		require.NoError(t, err)
		require.Greater(t, info.Start, uint64(15), "what was written with the clock ahead has gone with its neighbours")
	})
}

// TestAMessageTooFarAhead is refused: it would be kept, with all that comes after it, until it is due.
func TestAMessageTooFarAhead(t *testing.T) {
	inBubble(t, broker.Options{MaxDelay: time.Hour}, func(t *testing.T, b *broker.Broker) {
		for ahead, want := range map[time.Duration]error{time.Hour: nil, time.Hour + time.Second: broker.ErrInvalid, 1 << 62: broker.ErrInvalid} {
			_, err := b.Publish(t.Context(), "cases", broker.Message{DeliverAt: time.Now().Add(ahead)})
			require.ErrorIs(t, err, want)
		}
		_, err := b.Publish(t.Context(), "cases", broker.Message{DeliverAt: time.Now().AddDate(9000, 0, 0)})
		require.ErrorIs(t, err, broker.ErrInvalid)
		require.ErrorContains(t, err, "deliver_at")
		time.Sleep(time.Hour)
		d := receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)[0]
		require.ErrorIs(t, d.Release(time.Hour+1), broker.ErrInvalid)
		require.NoError(t, d.Release(time.Hour))
	})
}

// TestAStuckGroupIsTold in the log once, in the metrics and where the group is described, until it goes on.
func TestAStuckGroupIsTold(t *testing.T) {
	var logged strings.Builder
	metrics := prometheus.NewRegistry()
	o := broker.Options{MaxUnacked: 10, LockTimeout: time.Hour, Registerer: metrics, Logger: slog.New(slog.NewTextHandler(&logged, nil))}
	inBubble(t, o, func(t *testing.T, b *broker.Broker) {
		told := func(want bool) {
			t.Helper()
			info, err := b.Group("cases", "g")
			require.NoError(t, err)
			require.Equal(t, want, info.Full)
			n := map[bool]float64{true: 1}[want]
			require.Equal(t, n, metricOf(t, metrics, "casepress_broker_stuck_groups", map[string]string{"topic": "other"}))
		}
		publishN(t, b, 30)
		s := subscribe(t, b, "g", broker.SubscribeOptions{})
		held := receive(t, s, 10)
		nothing(t, s)
		nothing(t, s)
		told(true)
		require.Equal(t, 1, strings.Count(logged.String(), "hands out nothing new"))
		require.Equal(t, 10.0, metricOf(t, metrics, "casepress_broker_group_unacked_messages", nil))
		for _, d := range held[:5] {
			require.NoError(t, d.Ack())
		}
		receive(t, s, 4)
		told(false)
	})
}

func TestGroupTellsAges(t *testing.T) {
	inBubble(t, broker.Options{}, func(t *testing.T, b *broker.Broker) {
		start := time.Now()
		for range 3 {
			publish(t, b, "m")
			time.Sleep(time.Minute)
		}
		s := subscribe(t, b, "g", broker.SubscribeOptions{LockTimeout: time.Hour})
		ages := func(unacked, waiting time.Time) {
			t.Helper()
			info, err := b.Group("cases", "g")
			require.NoError(t, err)
			require.WithinDuration(t, unacked, info.OldestUnacked, time.Second)
			require.WithinDuration(t, waiting, info.OldestWaiting, time.Second)
		}
		ages(start, start)
		ds := receive(t, s, 2)
		ages(start, start.Add(2*time.Minute))
		require.NoError(t, ds[0].Ack())
		ages(start.Add(time.Minute), start.Add(2*time.Minute))
		require.NoError(t, ds[1].Ack())
		require.NoError(t, receive(t, s, 1)[0].Ack())
		ages(time.Time{}, time.Time{})
	})
}
