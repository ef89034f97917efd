package brokergrpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A call that needs all room has its turn although somebody always has something unread: those that come after it wait,
// but for what is their own, and only for as long as it does.
func TestAnswerThatNeedsAllRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &connection{maxUnread: 100}
		first, second, all := &reader{connection: c}, &reader{connection: c}, &reader{connection: c}
		withOwn := &reader{connection: c, own: 2 * leastRoom}
		got := func(reserve func(context.Context) error) <-chan error {
			done := make(chan error, 1)
			go func() { done <- reserve(t.Context()) }()
			synctest.Wait()
			return done
		}
		some := func(r *reader) <-chan error {
			return got(func(ctx context.Context) error { return r.reserve(ctx, 10) })
		}

		require.NoError(t, <-some(first))
		whole := got(all.reserveAll)
		require.Empty(t, whole)
		waits := some(second)
		require.Empty(t, waits, "else there would always be something unread")
		require.Zero(t, second.reserveUpTo(100))
		require.Equal(t, withOwn.own, withOwn.reserveUpTo(10*leastRoom), "its own")
		first.release(10)
		require.NoError(t, <-whole)
		synctest.Wait()
		require.Empty(t, waits)
		all.release(100)
		require.NoError(t, <-waits)

		whole = got(all.reserveAll)
		waits = some(first)
		time.Sleep(reserveWait)
		require.ErrorContains(t, <-whole, "not read")
		require.NoError(t, <-waits, "nobody waits for all room any more")
		second.release(10)
		first.release(10)
		withOwn.release(withOwn.own)
		require.Zero(t, c.shared)
		require.Zero(t, c.wantAll)
		require.Empty(t, c.waiting)
	})
}
