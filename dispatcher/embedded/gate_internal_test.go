package embedded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
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

func ref(id string) tasks.Ref { return tasks.Ref{Kind: tasks.KindCaseReport().Name, ID: id} }

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
		"a reserved suspect waits for no other lane": func(t *testing.T, g *gate) {
			require.NoError(t, g.enter(t.Context(), 1))
			require.True(t, g.tryReserved(ref("a")))
			require.False(t, g.tryReserved(ref("b")), "two suspects are not together")
			later := enters(func() { _ = g.enter(t.Context(), 1) })
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			g.leave(1)
			require.False(t, isIn(later))
			require.False(t, isIn(alone))
			g.leaveReserved()
			require.True(t, isIn(alone))
			require.True(t, g.tryReserved(ref("b")))
			g.leaveReserved()
			g.leaveAlone()
			require.True(t, isIn(later))
		},
		"reserved suspects of an earlier process come first": func(t *testing.T, g *gate) {
			g.expect(ref("a"))
			g.expect(ref("b"))
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			for _, id := range []string{"b", "a"} {
				require.False(t, isIn(alone))
				require.True(t, g.tryReserved(ref(id)))
				require.False(t, isIn(alone))
				g.leaveReserved()
			}
			require.True(t, isIn(alone))
			g.leaveAlone()
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
	e, owner := p.add("k", 10, 100, nil)
	require.True(t, owner)
	require.Panics(t, func() {
		defer p.dropUnended(e, errors.ErrUnsupported)
		panic("a query went wild")
	})
	<-e.done
	<-e.gone
	require.ErrorIs(t, e.err, errors.ErrUnsupported)
	require.Zero(t, p.bytes)
	e, owner = p.add("k", 10, 100, nil)
	require.True(t, owner)
	_, owner = p.add("k", 10, 100, nil)
	require.False(t, owner)
	none, owner := p.add("l", 91, 100, nil)
	require.Nil(t, none)
	require.False(t, owner)
	p.drop(e, e.receipt, nil)
	p.dropUnended(e, errors.ErrUnsupported)
	require.NoError(t, e.err)
}
