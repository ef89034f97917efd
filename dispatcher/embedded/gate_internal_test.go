package embedded

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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
			require.False(t, isIn(alone), "the one that was turned away goes first")
			require.True(t, g.tryReserved(ref("b")))
			require.False(t, isIn(alone))
			g.leaveReserved()
			require.True(t, isIn(alone))
			g.leaveAlone()
			require.True(t, isIn(later))
		},
		"a reserved suspect that comes again waits for an ordinary one": func(t *testing.T, g *gate) {
			g.expect(ref("a"))
			require.True(t, g.tryReserved(ref("a")))
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			require.False(t, isIn(alone))
			g.leaveReserved() // after a fault: it is a suspect still
			require.True(t, isIn(alone))
			require.False(t, g.tryReserved(ref("a")), "two suspects are not together")
			second := enters(func() { _ = g.enterAlone(t.Context()) })
			g.leaveAlone()
			require.False(t, isIn(second), "it goes before the next ordinary one")
			require.True(t, g.tryReserved(ref("a")))
			g.leaveReserved()
			require.True(t, isIn(second))
			g.leaveAlone()
		},
		"a reserved suspect that never comes holds nobody for ever": func(t *testing.T, g *gate) {
			g.expect(ref("a"))
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			require.False(t, isIn(alone))
			later := enters(func() { _ = g.enter(t.Context(), 1) })
			time.Sleep(expectFor - time.Second)
			require.False(t, isIn(alone))
			require.False(t, isIn(later))
			time.Sleep(time.Second)
			require.True(t, isIn(alone))
			g.leaveAlone()
			require.True(t, isIn(later))
			g.leave(1)
			require.True(t, isIn(enters(func() { _ = g.enterAlone(t.Context()) })), "nor the next one")
		},
		"reserved suspects that come again and again hold nobody for ever": func(t *testing.T, g *gate) {
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			require.True(t, isIn(alone))
			second := enters(func() { _ = g.enterAlone(t.Context()) })
			require.False(t, g.tryReserved(ref("b")))
			g.leaveAlone()
			for range expectFor / time.Second {
				require.False(t, isIn(second))
				require.True(t, g.tryReserved(ref("b")))
				require.False(t, g.tryReserved(ref("a")))
				time.Sleep(time.Second)
				g.leaveReserved()
			}
			require.True(t, isIn(second))
			g.leaveAlone()
		},
		"a reserved suspect waits for one ordinary suspect at most, however long it takes": func(t *testing.T, g *gate) {
			alone := enters(func() { _ = g.enterAlone(t.Context()) })
			require.True(t, isIn(alone))
			second := enters(func() { _ = g.enterAlone(t.Context()) })
			third := enters(func() { _ = g.enterAlone(t.Context()) })
			for range 2 * expectFor / time.Second {
				time.Sleep(time.Second)
				require.False(t, g.tryReserved(ref("a")))
			}
			g.leaveAlone()
			require.False(t, isIn(second) || isIn(third), "it goes before those that have waited for long")
			time.Sleep(time.Second)
			require.True(t, g.tryReserved(ref("a")))
			g.leaveReserved()
			require.NotEqual(t, isIn(second), isIn(third))
			require.False(t, g.tryReserved(ref("b")))
			time.Sleep(2 * expectFor)
			require.False(t, g.tryReserved(ref("b")))
			g.leaveAlone()
			require.False(t, isIn(second) && isIn(third), "nor before the last of them")
			require.True(t, g.tryReserved(ref("b")))
			g.leaveReserved()
			require.True(t, isIn(second) && isIn(third))
			g.leaveAlone()
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

// TestGateModel lets all kinds come, leave and give up in random order. The model is the table at gate: whoever is inside
// may be there, and whoever waits has a reason to.
func TestGateModel(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			m := gateModel{t: t, rng: rand.New(rand.NewPCG(seed, 0)), expected: map[tasks.Ref]time.Time{}}
			for range 200 {
				m.step()
				synctest.Wait()
				m.check()
			}
			m.end()
		})
	}
}

type gateModel struct {
	t        *testing.T
	rng      *rand.Rand
	g        gate
	visits   []*visit // of ordinary ones that have not left
	reserved bool     // a reserved suspect is inside
	expected map[tasks.Ref]time.Time
	ordinary time.Time // when somebody ordinary was inside last
}

// visit is that of an ordinary submission.
type visit struct {
	suspect bool
	since   time.Time
	give    context.CancelFunc // up
	in      <-chan struct{}
	err     error
}

func (m *gateModel) come(suspect bool) {
	ctx, cancel := context.WithCancel(m.t.Context())
	v := &visit{suspect: suspect, since: time.Now(), give: cancel}
	v.in = enters(func() {
		if suspect {
			v.err = m.g.enterAlone(ctx)
		} else {
			v.err = m.g.enter(ctx, 1)
		}
	})
	m.visits = append(m.visits, v)
}

func (m *gateModel) leave(v *visit) {
	if v.suspect {
		m.g.leaveAlone()
	} else {
		m.g.leave(1)
	}
	v.give()
	m.visits = slices.DeleteFunc(m.visits, func(o *visit) bool { return o == v })
}

// count returns how many visits of a sort are inside, and how many wait.
func (m *gateModel) count(suspect bool) (inside, waiting int) {
	for _, v := range m.visits {
		switch {
		case v.suspect != suspect:
		case isIn(v.in):
			inside++
		default:
			waiting++
		}
	}
	return inside, waiting
}

func (m *gateModel) step() {
	alone, _ := m.count(true)
	id := ref(string(rune('a' + m.rng.IntN(3))))
	switch m.rng.IntN(9) {
	case 0, 1:
		m.come(false)
	case 2:
		m.come(true)
	case 3, 4:
		if len(m.visits) == 0 {
			return
		}
		v := m.visits[m.rng.IntN(len(m.visits))]
		if isIn(v.in) {
			m.leave(v)
			return
		}
		v.give()
		synctest.Wait()
		require.ErrorIs(m.t, v.err, context.Canceled)
		m.visits = slices.DeleteFunc(m.visits, func(o *visit) bool { return o == v })
	case 5:
		in := m.g.tryReserved(id)
		require.Equal(m.t, alone == 0 && !m.reserved, in, "a reserved suspect is turned away for other suspects only")
		if in {
			m.reserved = true
			delete(m.expected, id)
		} else {
			m.expected[id] = time.Now()
		}
	case 6:
		if m.reserved {
			m.reserved = false
			m.g.leaveReserved()
		}
	case 7:
		m.g.expect(id)
		m.expected[id] = time.Now()
	default:
		time.Sleep(time.Duration(m.rng.IntN(4)) * time.Second)
	}
}

func (m *gateModel) check() {
	ordinary, ordinaryWait := m.count(false)
	alone, suspectsWait := m.count(true)
	suspects := alone
	if m.reserved {
		suspects++
	}
	require.LessOrEqual(m.t, suspects, 1, "two suspects are not together")
	require.False(m.t, alone > 0 && ordinary > 0, "nothing ordinary is beside an ordinary suspect")
	expected := false
	for _, since := range m.expected {
		expected = expected || time.Since(since) < expectFor
	}
	if alone > 0 || ordinary > 0 {
		m.ordinary = time.Now()
	}
	if ordinaryWait > 0 {
		require.True(m.t, suspects > 0 || suspectsWait > 0, "an ordinary one waits for nothing")
	}
	for _, v := range m.visits {
		if v.suspect && !isIn(v.in) {
			patient := time.Since(v.since) < expectFor || time.Since(m.ordinary) < expectFor
			require.True(m.t, suspects > 0 || ordinary > 0 || expected && patient, "a suspect waits for nothing")
		}
	}
}

// end lets everybody go: nobody stays behind.
func (m *gateModel) end() {
	if m.reserved {
		m.g.leaveReserved()
	}
	time.Sleep(expectFor)
	for len(m.visits) > 0 {
		synctest.Wait()
		i := slices.IndexFunc(m.visits, func(v *visit) bool { return isIn(v.in) })
		require.GreaterOrEqual(m.t, i, 0, "those who are left are never let in")
		require.NoError(m.t, m.visits[i].err)
		m.leave(m.visits[i])
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
