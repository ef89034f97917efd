package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk/disktest"
)

// openedAgain closes the broker and opens its folder again.
func openedAgain(t *testing.T, b *broker.Broker, dir string) *broker.Broker {
	t.Helper()
	require.NoError(t, b.Close())
	return open(t, dir, broker.Options{})
}

func TestOutOfOrderAcksSurviveRestart(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{})
	publishN(t, b, 100)
	ds := receive(t, subscribe(t, b, "g", broker.SubscribeOptions{Window: 90}), 90)
	var want []string
	for i, d := range ds {
		if i%7 == 3 || i > 80 {
			want = append(want, fmt.Sprint(i))
			continue
		}
		require.NoError(t, d.Ack())
	}
	for i := 90; i < 100; i++ {
		want = append(want, fmt.Sprint(i))
	}
	b = openedAgain(t, b, dir)
	again := receive(t, subscribe(t, b, "g", broker.SubscribeOptions{Window: 100}), len(want))
	require.Equal(t, want, payloads(again))
	for _, d := range again {
		require.Equal(t, 1, d.Count, "a clean end costs no delivery")
	}
}

func TestDeliveryCountsSurviveCleanRestart(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{})
	publish(t, b, "a", "b")
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	for range 3 {
		require.NoError(t, receive(t, s, 1)[0].Release(0))
	}
	receive(t, s, 2) // in hand when the broker is closed: not counted
	b = openedAgain(t, b, dir)
	ds := receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 2)
	require.Equal(t, []int{4, 1}, []int{ds[0].Count, ds[1].Count})
}

func TestDeliveryCountsSurviveCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disktest.NewCrash(1)
		b := openTopic(t, "/data", broker.Options{FS: fs})
		publish(t, b, "poison")
		for i := range 3 {
			s := subscribe(t, b, "g", broker.SubscribeOptions{MaxDeliveries: 3})
			require.Equal(t, i+1, receive(t, s, 1)[0].Count)
			require.NoError(t, b.Flush(t.Context())) // happens by itself within 10 ms
			fs = fs.CrashClone(0.5)
			b = open(t, "/data", broker.Options{FS: fs})
		}
		nothing(t, subscribe(t, b, "g", broker.SubscribeOptions{MaxDeliveries: 3}))
		dead, err := b.Subscribe("cases.dead", "g", broker.SubscribeOptions{})
		require.NoError(t, err)
		require.Equal(t, "3", receive(t, dead, 1)[0].Header(broker.DeadCount))
	})
}

// TestGroupsLogIsCompacted: long names make the log grow fast.
func TestGroupsLogIsCompacted(t *testing.T) {
	const groups, rounds = 60, 700
	fs := disktest.NewCrash(1)
	b := openTopic(t, "/data", broker.Options{FS: fs, AckDelay: time.Nanosecond})
	publish(t, b, "stuck")
	name := func(i int) string { return fmt.Sprintf("%0128d", i) }
	var subs []*broker.Subscription
	for i := range groups {
		s := subscribe(t, b, name(i), broker.SubscribeOptions{})
		receive(t, s, 1)
		subs = append(subs, s)
	}
	for round := range rounds {
		publish(t, b, "")
		for _, s := range subs {
			require.NoError(t, receive(t, s, 1)[0].Ack())
		}
		require.NoError(t, b.Flush(t.Context()))
		if round%100 == 0 { // it must not come back from before a compaction, nor with what it once acknowledged
			gone := subscribe(t, b, "gone", broker.SubscribeOptions{})
			require.NoError(t, receive(t, gone, 1)[0].Ack())
			require.NoError(t, gone.Close())
			require.NoError(t, b.DeleteGroup("cases", "gone"))
		}
	}
	require.NoError(t, b.Close())
	l, err := commitlog.Open("/data/cases/groups", commitlog.Options{FS: fs})
	require.NoError(t, err)
	require.NotZero(t, l.Start())
	require.NoError(t, l.Close())
	b = open(t, "/data", broker.Options{FS: fs})
	names, err := b.Groups("cases")
	require.NoError(t, err)
	require.Len(t, names, groups)
	require.NotContains(t, names, "gone")
	require.Equal(t, "stuck", string(receive(t, subscribe(t, b, "gone", broker.SubscribeOptions{}), 1)[0].Payload))
	for i := range groups {
		info, err := b.Group("cases", name(i))
		require.NoError(t, err)
		require.Zero(t, info.Start)
		require.Equal(t, 1, info.Lag)
	}
}

func TestClosedBroker(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	publish(t, b, "a")
	d := receive(t, s, 1)[0]
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	_, err := b.Publish(t.Context(), "cases", broker.Message{})
	require.ErrorIs(t, err, broker.ErrClosed)
	_, err = s.Receive(t.Context(), 1)
	require.ErrorIs(t, err, broker.ErrClosed)
	require.ErrorIs(t, d.Ack(), broker.ErrClosed)
	_, err = b.Subscribe("cases", "g", broker.SubscribeOptions{})
	require.ErrorIs(t, err, broker.ErrClosed)
	require.ErrorIs(t, b.CreateTopic(t.Context(), "x"), broker.ErrClosed)
	require.NoError(t, b.Err())
}

func TestGroupBeyondItsTopicIsDamage(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{})
	publish(t, b, "a", "b")
	for _, d := range receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 2) {
		require.NoError(t, d.Ack())
	}
	require.NoError(t, b.Close())
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "cases", "log")))
	_, err := broker.Open(dir, broker.Options{})
	var damage *broker.DamageError
	require.ErrorAs(t, err, &damage)
	require.Equal(t, "cases", damage.Topic)
	require.Equal(t, "g", damage.Group)
	require.Equal(t, uint64(2), damage.Offset)
	require.ErrorIs(t, err, broker.ErrGroupAhead)
	require.ErrorContains(t, err, filepath.Join(dir, "cases", "log"))
	require.ErrorContains(t, err, damage.Cure)
	require.NotEmpty(t, damage.Cure)
}

func TestDamagedGroupsLog(t *testing.T) {
	for name, payload := range map[string]string{
		"undecodable":             "\x09",
		"group without a start":   "\x01\x01\x01x\x00\x00\x00",
		"acknowledgements undone": "\x01\x01\x01g\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := openTopic(t, dir, broker.Options{})
			publish(t, b, "a")
			require.NoError(t, receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)[0].Ack())
			require.NoError(t, b.Close())
			l, err := commitlog.Open(filepath.Join(dir, "cases", "groups"), commitlog.Options{})
			require.NoError(t, err)
			_, err = l.Append(t.Context(), []byte(payload))
			require.NoError(t, err)
			require.NoError(t, l.Close())
			_, err = broker.Open(dir, broker.Options{})
			var damage *broker.DamageError
			require.ErrorAs(t, err, &damage)
		})
	}
}

func TestDamagedMessage(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{DedupWindow: -1})
	publish(t, b, "a")
	require.NoError(t, b.Close())
	l, err := commitlog.Open(filepath.Join(dir, "cases", "log"), commitlog.Options{})
	require.NoError(t, err)
	_, err = l.Append(t.Context(), []byte("\x09 no message"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	b = open(t, dir, broker.Options{DedupWindow: -1})
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	for err == nil {
		_, err = s.Receive(t.Context(), 1)
	}
	var damage *broker.DamageError
	require.ErrorAs(t, err, &damage)
	require.Equal(t, uint64(1), damage.Offset)
	require.ErrorAs(t, b.Err(), &damage)
	require.NoError(t, b.Verify(t.Context()))
}
