package embedded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// enters starts f and returns a channel that is closed when it has returned.
func enters(f func()) <-chan struct{} {
	in := make(chan struct{})
	go func() {
		f()
		close(in)
	}()
	return in
}

func isIn(in <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-in:
		return true
	default:
		return false
	}
}

func TestGate(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, g *gate){
		"others share it": func(t *testing.T, g *gate) {
			require.NoError(t, g.enter(t.Context(), 3))
			require.NoError(t, g.enter(t.Context(), 2))
		},
		"a suspect is alone": func(t *testing.T, g *gate) {
			require.NoError(t, g.enter(t.Context(), 2))
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			require.False(t, isIn(alone))
			later := enters(func() { _ = g.enter(t.Context(), 1) })
			g.leave(1)
			require.False(t, isIn(alone), "one is still inside")
			require.False(t, isIn(later), "who comes later does not overtake the suspect")
			g.leave(1)
			require.True(t, isIn(alone))
			require.False(t, isIn(later), "nothing begins beside it")
			g.leaveAlone()
			require.True(t, isIn(later))
		},
		"two suspects are not together": func(t *testing.T, g *gate) {
			first := enters(func() { _ = g.enterAlone(t.Context()) })
			require.True(t, isIn(first))
			second := enters(func() { _ = g.enterAlone(t.Context()) })
			require.False(t, isIn(second))
			g.leaveAlone()
			require.True(t, isIn(second))
			g.leaveAlone()
		},
		"one that gives up lets the others in": func(t *testing.T, g *gate) {
			require.NoError(t, g.enter(t.Context(), 1))
			ctx, cancel := context.WithCancel(t.Context())
			var err error
			alone := enters(func() { err = g.enterAlone(ctx) })
			require.False(t, isIn(alone))
			later := enters(func() { _ = g.enter(t.Context(), 1) })
			require.False(t, isIn(later))
			cancel()
			require.True(t, isIn(alone))
			require.ErrorIs(t, err, context.Canceled)
			require.True(t, isIn(later))
		},
		"a reserved suspect waits for nobody": func(t *testing.T, g *gate) {
			require.NoError(t, g.enter(t.Context(), 1))
			g.enterReserved()
			later := enters(func() { _ = g.enter(t.Context(), 1) })
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			g.leave(1)
			require.False(t, isIn(later))
			require.False(t, isIn(alone))
			g.leaveReserved()
			require.True(t, isIn(alone))
			g.leaveAlone()
			require.True(t, isIn(later))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &gate{}) })
		})
	}
}

// A submission whose acceptance came to nothing, even by a panic, leaves nothing behind that others wait for.
func TestPendingIsAlwaysEnded(t *testing.T) {
	p := newPending()
	e, owner := p.claim("k", 10, 100)
	require.True(t, owner)
	require.Panics(t, func() {
		defer p.dropUnended(e, errors.ErrUnsupported)
		panic("a query went wild")
	})
	<-e.done
	<-e.gone
	require.ErrorIs(t, e.err, errors.ErrUnsupported)
	require.Zero(t, p.bytes)
	e, owner = p.claim("k", 10, 100)
	require.True(t, owner)
	_, owner = p.claim("k", 10, 100)
	require.False(t, owner)
	none, owner := p.claim("l", 91, 100)
	require.Nil(t, none)
	require.False(t, owner)
	p.drop(e, e.receipt, nil)
	p.dropUnended(e, errors.ErrUnsupported)
	require.NoError(t, e.err)
}
