package embedded

import (
	"context"
	"maps"
	"sync"
	"time"

	"casepress/tasks"
)

// gate makes suspects run alone: a submission that was in work when the process died may be why it died. Of two suspects
// at work nobody could tell which one the process dies of, so there is never more than one, of whatever lanes; then its
// crash is counted.
//
//	who comes                 is let in when                                    if not, it
//	------------------------  ------------------------------------------------  -----------------------------------
//	ordinary                  no suspect is inside or waits                     waits
//	ordinary suspect          nobody ordinary and no suspect is inside, and no  waits, and keeps ordinary ones out
//	                          reserved suspect is expected
//	reserved suspect          no suspect is inside                              is turned away, and is expected
//	reserved, no suspect      always: it does not come to the gate
//
// Who is of a reserved lane is "reserved", anybody else "ordinary". A reserved suspect waits for no ordinary work: it
// keeps the ordinary from coming in, and those that are inside, being no suspects, leave no doubt which one it was.
// It waits for at most one ordinary suspect, the one inside when it comes.
//
// Expected are the reserved suspects that an earlier process left behind, and those turned away: they go first. Because
// one may never come, each is expected for no longer than expectFor after it was last seen, and no ordinary suspect waits
// for longer than that on their account.
type gate struct {
	mu       sync.Mutex // guards the rest
	inside   int        // ordinary ones
	alone    bool       // an ordinary suspect is inside
	reserved bool       // a reserved suspect is inside
	expected map[tasks.Ref]time.Time
	waiting  int           // ordinary suspects that wait
	changed  chan struct{} // closed and replaced when somebody leaves; nil while nobody waits
}

// expectFor is enough for a lane whose workers are free: its deliveries come at once, and those turned away after busyDelay.
const expectFor = 10 * time.Second

// expect tells of a reserved suspect that an earlier process left behind.
func (g *gate) expect(ref tasks.Ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expectLocked(ref)
}

func (g *gate) expectLocked(ref tasks.Ref) {
	if g.expected == nil {
		g.expected = map[tasks.Ref]time.Time{}
	}
	g.expected[ref] = time.Now().Add(expectFor)
}

// expects returns when the last of the reserved suspects is expected no longer, if any is. It is called with mu held.
func (g *gate) expects(now time.Time) (until time.Time, some bool) {
	maps.DeleteFunc(g.expected, func(_ tasks.Ref, end time.Time) bool { return !end.After(now) })
	for _, end := range g.expected {
		if end.After(until) {
			until = end
		}
	}
	return until, len(g.expected) > 0
}

// enter lets n ordinary ones in together.
func (g *gate) enter(ctx context.Context, n int) error {
	return g.await(ctx, func() (bool, time.Time) {
		if g.alone || g.reserved || g.waiting > 0 {
			return false, time.Time{}
		}
		g.inside += n
		return true, time.Time{}
	})
}

func (g *gate) leave(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside -= n
	g.wakeAll()
}

// enterAlone lets an ordinary suspect in.
func (g *gate) enterAlone(ctx context.Context) error {
	patience := time.Now().Add(expectFor)
	g.mu.Lock()
	g.waiting++
	g.mu.Unlock()
	err := g.await(ctx, func() (bool, time.Time) {
		if g.alone || g.reserved || g.inside > 0 {
			return false, time.Time{}
		}
		now := time.Now()
		if until, some := g.expects(now); some && patience.After(now) {
			if patience.Before(until) {
				until = patience
			}
			return false, until
		}
		g.alone = true
		return true, time.Time{}
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
	g.wakeAll()
	return err
}

func (g *gate) leaveAlone() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alone = false
	g.wakeAll()
}

// tryReserved lets a reserved suspect in, unless another suspect is inside: then it is expected again. It never waits.
func (g *gate) tryReserved(ref tasks.Ref) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.alone || g.reserved {
		g.expectLocked(ref)
		return false
	}
	g.reserved = true
	delete(g.expected, ref)
	return true
}

func (g *gate) leaveReserved() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reserved = false
	g.wakeAll()
}

// wakeAll wakes all who wait. It is called with mu held.
func (g *gate) wakeAll() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// await waits until try says yes. What try asks for is tried again when somebody has left, and at the time that it names
// unless that is zero.
func (g *gate) await(ctx context.Context, try func() (ok bool, again time.Time)) error {
	for {
		g.mu.Lock()
		ok, again := try()
		if ok {
			g.mu.Unlock()
			return nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		var timer <-chan time.Time
		if !again.IsZero() {
			timer = time.After(time.Until(again))
		}
		select {
		case <-changed:
		case <-timer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
