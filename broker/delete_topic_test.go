package broker_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk"
	"casepress/disk/disktest"
)

// slowToRemove is a disk that takes its time to remove the files of the topic "old", until goOn is closed.
type slowToRemove struct {
	disk.FS
	reached chan struct{}
	goOn    chan struct{}
	once    sync.Once
}

func newSlowToRemove() *slowToRemove {
	return &slowToRemove{FS: disktest.NewCrash(1), reached: make(chan struct{}), goOn: make(chan struct{})}
}

func (d *slowToRemove) Remove(name string) error {
	if strings.HasPrefix(name, "/data/old/") {
		d.once.Do(func() { close(d.reached) })
		<-d.goOn
	}
	return d.FS.Remove(name)
}

// TestDeletingATopicStopsNobody else: neither making another topic nor dead letters of another one. Only the same name waits,
// for as long as its caller does.
func TestDeletingATopicStopsNobody(t *testing.T) {
	d := newSlowToRemove()
	b := openTopic(t, "/data", broker.Options{FS: d, RetainBytes: 1})
	require.NoError(t, b.CreateTopic(t.Context(), "old"))
	publish(t, b, "a")
	held := receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), 1)[0]
	deleted := make(chan error, 1)
	go func() { deleted <- b.DeleteTopic(t.Context(), "old") }()
	<-d.reached
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			if err := b.CreateTopic(t.Context(), "other"); err != nil {
				return err
			}
			return held.Reject("no")
		}()
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(patience):
		close(d.goOn)
		require.FailNow(t, "others wait for the deletion")
	}
	require.NotContains(t, b.Topics(), "old")
	_, err := b.Publish(t.Context(), "old", broker.Message{})
	require.ErrorIs(t, err, broker.ErrNoTopic)
	require.ErrorIs(t, b.DeleteTopic(t.Context(), "old"), broker.ErrNoTopic)
	for _, name := range []string{"old", "OLD"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		require.ErrorIs(t, b.CreateTopic(ctx, name), context.DeadlineExceeded)
		cancel()
	}
	made := make(chan error, 1)
	go func() { made <- b.CreateTopic(t.Context(), "old") }()
	close(d.goOn)
	require.NoError(t, <-deleted)
	require.NoError(t, <-made)
	end, err := b.End("old")
	require.NoError(t, err)
	require.Zero(t, end)
}

// TestCloseWaitsForADeletion, so that nothing of this process touches the folder afterwards.
func TestCloseWaitsForADeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSlowToRemove()
		b, err := broker.Open("/data", broker.Options{FS: d})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "old"))
		deleted, closed := make(chan error, 1), make(chan error, 1)
		go func() { deleted <- b.DeleteTopic(t.Context(), "old") }()
		<-d.reached
		go func() { closed <- b.Close() }()
		synctest.Wait()
		require.Empty(t, closed)
		require.ErrorIs(t, b.CreateTopic(t.Context(), "new"), broker.ErrClosed)
		close(d.goOn)
		require.NoError(t, <-deleted)
		require.NoError(t, <-closed)
		b = open(t, "/data", broker.Options{FS: d})
		require.Empty(t, b.Topics())
	})
}
