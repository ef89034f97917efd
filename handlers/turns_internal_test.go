package handlers

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := make(turns, 2)
		begun, next := make(chan int, 10), make(chan struct{})
		for i := range 5 {
			go turns.do(t.Context(), func() {
				begun <- i
				<-next
			})
			synctest.Wait() // they come one after the other
		}
		require.Len(t, begun, 2, "no more are busy at once")
		for done := range 3 {
			next <- struct{}{}
			synctest.Wait()
			require.Len(t, begun, 3+done)
		}
		close(next)
		synctest.Wait()
		for i := range 5 {
			require.Equal(t, i, <-begun, "in the order in which they came")
		}
		require.Empty(t, turns)
	})
}

func TestTurnsWithoutPatience(t *testing.T) {
	turns := make(turns, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	called := 0
	turns.do(t.Context(), func() { turns.do(ctx, func() { called++ }) })
	require.Equal(t, 1, called, "it does not wait for a turn that nobody gives back")
	require.Empty(t, turns)
}
