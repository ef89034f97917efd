package broker_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk/disktest"
)

// TestOrderSurvivesRestart: what was not settled is in line again.
func TestOrderSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{})
	for i := range 3 {
		for _, key := range []string{"a", "b"} {
			_, err := b.Publish(t.Context(), "cases", broker.Message{Key: key, Payload: fmt.Append(nil, key, i)})
			require.NoError(t, err)
		}
	}
	ds := receive(t, subscribe(t, b, "g", broker.SubscribeOptions{Ordered: true}), 2)
	require.Equal(t, []string{"a0", "b0"}, payloads(ds))
	require.NoError(t, ds[1].Ack())
	b = openedAgain(t, b, dir)
	s := subscribe(t, b, "g", broker.SubscribeOptions{Ordered: true})
	ds = receive(t, s, 2)
	require.Equal(t, []string{"a0", "b1"}, payloads(ds))
	nothing(t, s)
	require.NoError(t, ds[0].Ack())
	require.Equal(t, []string{"a1"}, payloads(receive(t, s, 1)))
}

// TestPositionsAndDeletedGroupsSurvivePowerCuts: when the call has returned.
func TestPositionsAndDeletedGroupsSurvivePowerCuts(t *testing.T) {
	fs := disktest.NewCrash(1)
	b := openTopic(t, "/data", broker.Options{FS: fs})
	publishN(t, b, 3)
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	require.NoError(t, receive(t, s, 3)[0].Ack())
	_, err := b.SetPosition("cases", "g", broker.FromOffset(2))
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, payloads(receive(t, s, 1)), "members go on")
	_, err = b.SetPosition("cases", "h", broker.Latest)
	require.NoError(t, err)
	require.NoError(t, b.DeleteGroup("cases", "h"))
	again := open(t, "/data", broker.Options{FS: fs.CrashClone(0)})
	info, err := again.Group("cases", "g")
	require.NoError(t, err)
	require.Equal(t, uint64(2), info.Start)
	_, err = again.Group("cases", "h")
	require.ErrorIs(t, err, broker.ErrNoGroup)
}

// TestDeletionSurvivesPowerCuts: the deletion of a topic fails at one operation after another, and then the power
// does. The topic is whole or gone; it is whole if the broker went on with it, and gone if the deletion returned nil.
func TestDeletionSurvivesPowerCuts(t *testing.T) {
	for n := 1; ; n++ {
		fs := disktest.NewCrash(uint64(n))
		faulty := disktest.NewFault(fs)
		b, err := broker.Open("/data", broker.Options{FS: faulty})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "cases"))
		publishN(t, b, 3)
		faulty.Inject(disktest.Fault{N: n, Err: syscall.EIO})
		deleted := b.DeleteTopic(t.Context(), "cases")
		fired := faulty.Fired() > 0
		faulty.Heal()
		_, kept := b.Publish(t.Context(), "cases", broker.Message{Payload: []byte("3")})
		for seed := range 4 {
			after, err := broker.Open("/data", broker.Options{FS: fs.CrashClone(float64(seed) / 3)})
			require.NoError(t, err)
			end, err := after.End("cases")
			switch {
			case deleted == nil:
				require.ErrorIs(t, err, broker.ErrNoTopic)
			case kept == nil:
				require.NoError(t, err, "fault %d: an acknowledged message is lost: %v", n, deleted)
				require.Equal(t, uint64(4), end)
			case err == nil:
				require.Equal(t, uint64(3), end)
			default:
				require.ErrorIs(t, err, broker.ErrNoTopic)
			}
			require.NoError(t, after.Close())
		}
		_ = b.Close()
		if !fired {
			require.NoError(t, deleted)
			return
		}
	}
}

func TestDeleteTopic(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{})
	publishN(t, b, 3)
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	d := receive(t, s, 1)[0]
	require.ErrorIs(t, b.DeleteTopic(t.Context(), "cases"), broker.ErrBusy)
	require.ErrorIs(t, b.DeleteGroup("cases", "g"), broker.ErrBusy)
	publishN(t, b, 1)
	require.NoError(t, s.Close())
	require.NoError(t, b.DeleteTopic(t.Context(), "cases"))
	require.ErrorIs(t, b.DeleteTopic(t.Context(), "cases"), broker.ErrNoTopic)
	_, err := b.Delivery(d.Lease())
	require.ErrorIs(t, err, broker.ErrLockLost)
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	require.Equal(t, uint64(0), publish(t, b, "new"))
	b = openedAgain(t, b, dir)
	require.Equal(t, []string{"new"}, payloads(receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)))
}
