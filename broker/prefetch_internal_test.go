package broker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/disk/disktest"
)

// Groups that have read a backlog and wait, for messages or for somebody who takes what was read, do not keep the room to
// read ahead from others.
func TestIdleGroupsKeepNoBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := Open("/data", Options{FS: disktest.NewCrash(1)})
		require.NoError(t, err)
		defer func() { require.NoError(t, b.Close()) }()
		require.NoError(t, b.CreateTopic(t.Context(), "t"))
		const messages, groups = 64, 4
		for range messages {
			_, err := b.Publish(t.Context(), "t", Message{Payload: make([]byte, 32<<10)})
			require.NoError(t, err)
		}
		subscriptions := make([]*Subscription, groups)
		for i := range subscriptions {
			s, err := b.Subscribe("t", fmt.Sprint("g", i), SubscribeOptions{Window: messages})
			require.NoError(t, err)
			subscriptions[i] = s
		}
		synctest.Wait()
		queued := 0 // of messages that nobody has taken yet
		for _, s := range subscriptions {
			s.group.mu.Lock()
			queued += s.group.prefetched.bytes
			s.group.mu.Unlock()
		}
		require.Positive(t, queued)
		time.Sleep(readerIdle)
		synctest.Wait()
		require.EqualValues(t, queued, b.readAhead.bytes.Load())

		for _, s := range subscriptions {
			for got := 0; got < messages; {
				ds, err := s.Receive(t.Context(), messages)
				require.NoError(t, err)
				got += len(ds)
			}
		}
		synctest.Wait()
		time.Sleep(readerIdle)
		synctest.Wait()
		require.Zero(t, b.readAhead.bytes.Load())
		_, err = b.Publish(t.Context(), "t", Message{Payload: []byte("more")})
		require.NoError(t, err)
		for _, s := range subscriptions {
			s.group.mu.Lock()
			s.window++
			s.group.mu.Unlock()
			ds, err := s.Receive(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, "more", string(ds[0].Payload))
		}
	})
}
