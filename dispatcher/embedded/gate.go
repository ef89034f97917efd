package embedded

import (
	"context"
	"sync"

	"casepress/tasks"
)

// gate makes suspects run alone: a submission that was in work when the process died may be why it died.
// Others share the gate; a suspect waits until none is inside, and none comes in until it has left.
//
// A suspect of a reserved lane must not wait for other lanes: it keeps the others from coming in, and is alone once
// those inside have left. But two suspects are never begun together, for of two nobody could tell which one the process
// dies of: those of reserved lanes wait for each other, and the rest wait until those that the last process left behind
// have come and gone. What is no suspect passes by on a reserved lane. So at a death one suspect at most is in work, and
// its crash is counted; only one that somebody restarts in the meantime can be a second, until the next start.
type gate struct {
	mu       sync.Mutex // guards the rest
	inside   int
	alone    bool
	reserved bool               // a suspect of a reserved lane is inside
	expected map[tasks.Ref]bool // suspects of reserved lanes that have not come since the start
	waiting  int                // suspects that wait
	changed  chan struct{}      // closed and replaced when somebody leaves; nil while nobody waits
}

// expect tells of a suspect of a reserved lane that an earlier process left behind.
func (g *gate) expect(ref tasks.Ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.expected == nil {
		g.expected = map[tasks.Ref]bool{}
	}
	g.expected[ref] = true
}

// enter lets n in together.
func (g *gate) enter(ctx context.Context, n int) error {
	return g.await(ctx, func() bool {
		if g.alone || g.reserved || g.waiting > 0 {
			return false
		}
		g.inside += n
		return true
	})
}

func (g *gate) leave(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside -= n
	g.wakeAll()
}

// enterAlone lets one in that is to be alone.
func (g *gate) enterAlone(ctx context.Context) error {
	g.mu.Lock()
	g.waiting++
	g.mu.Unlock()
	err := g.await(ctx, func() bool {
		if g.alone || g.reserved || len(g.expected) > 0 || g.inside > 0 {
			return false
		}
		g.alone = true
		return true
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

// tryReserved lets a suspect of a reserved lane in, unless another is inside. It never waits.
func (g *gate) tryReserved(ref tasks.Ref) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reserved {
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

func (g *gate) await(ctx context.Context, try func() bool) error {
	for {
		g.mu.Lock()
		if try() {
			g.mu.Unlock()
			return nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
