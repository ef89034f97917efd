package broker_test

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk/disktest"
)

// TestADamagedTopicOfAClientStopsNothingElse: the broker opens without it, says what is wrong with it to who asks for it, and
// deletes it on request, also where its files cannot be removed yet. An essential topic, or its dead letters, keep it from opening.
func TestADamagedTopicOfAClientStopsNothingElse(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	b, err := broker.Open("/data", broker.Options{FS: fsys})
	require.NoError(t, err)
	for _, topic := range []string{"cases", "client"} {
		require.NoError(t, b.CreateTopic(t.Context(), topic))
		_, err = b.Publish(t.Context(), topic, broker.Message{Payload: []byte("one")})
		require.NoError(t, err)
	}
	require.NoError(t, b.Close())
	f, err := fsys.OpenFile(filepath.Join("/data/client/log", "00000000000000000000.log"), syscall.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("damage"), 10)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	for _, essential := range [][]string{nil, {"client"}} {
		_, err = broker.Open("/data", broker.Options{FS: fsys, Essential: essential})
		require.ErrorAs(t, err, new(*commitlog.CorruptionError))
	}

	b = open(t, "/data", broker.Options{FS: fsys, Essential: []string{"cases"}})
	require.NoError(t, b.Err())
	publish(t, b, "two")
	require.Equal(t, []string{"cases", "client"}, b.Topics())
	require.True(t, b.HasTopic("client"))
	_, err = b.Publish(t.Context(), "client", broker.Message{})
	require.ErrorAs(t, err, new(*commitlog.CorruptionError))
	require.ErrorAs(t, b.CreateTopic(t.Context(), "client"), new(*commitlog.CorruptionError))
	_, err = b.Subscribe("client", "g", broker.SubscribeOptions{})
	require.ErrorAs(t, err, new(*commitlog.CorruptionError))
	fsys.Inject(disktest.Fault{Op: disktest.OpRemove, N: 1, Err: syscall.EIO})
	require.ErrorContains(t, b.DeleteTopic(t.Context(), "client"), "it is gone, its files not yet")
	require.False(t, slices.Contains(b.Topics(), "client"))
	require.NoError(t, b.CreateTopic(t.Context(), "client"))
	end, err := b.End("client")
	require.NoError(t, err)
	require.Zero(t, end)
}

// TestAPoisonedTopicOfAClientIsNoFailureOfTheBroker.
func TestAPoisonedTopicOfAClientIsNoFailureOfTheBroker(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	b, err := broker.Open("/data", broker.Options{FS: fsys, Essential: []string{"cases"}})
	require.NoError(t, err)
	for _, topic := range []string{"client", "cases"} {
		require.NoError(t, b.CreateTopic(t.Context(), topic))
		fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO})
		_, err = b.Publish(t.Context(), topic, broker.Message{})
		require.ErrorIs(t, err, commitlog.ErrPoisoned)
		require.Equal(t, topic == "cases", b.Err() != nil)
	}
	require.Error(t, b.Close())
}
