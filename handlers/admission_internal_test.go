package handlers

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCachedWaitsNoLongerThanItsContext measures a disk that hangs: one caller waits for it, all others only as
// long as they want to, and its answer is good for everybody.
func TestCachedWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, loads := make(chan int), 0
		c := cached[int]{load: func(context.Context) (int, error) { loads++; return <-answer, nil }}
		first := make(chan int)
		go func() {
			v, _ := c.get(t.Context())
			first <- v
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
		go func() {
			v, _ := c.get(t.Context())
			first <- v
		}()
		synctest.Wait()
		answer <- 7
		require.Equal(t, []int{7, 7}, []int{<-first, <-first})
		v, err := c.get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, v)
		require.Equal(t, 1, loads)
	})
}

// TestCachedAfterAPanic waits for nobody who is gone.
func TestCachedAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := true
		c := cached[int]{load: func(context.Context) (int, error) {
			if fail {
				panic("load")
			}
			return 1, nil
		}}
		require.Panics(t, func() { _, _ = c.get(t.Context()) })
		_, err := c.get(t.Context())
		require.ErrorIs(t, err, errLoadPanicked)
		fail = false
		time.Sleep(measureEvery)
		v, err := c.get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, v)
	})
}

func client(last byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), 32)
}
