package embedded

import (
	"context"
	"sync"
)

// gate lets suspects work alone: a submission that was in work when the process died may be why it died.
// Others share the gate; a suspect waits until none is inside, and none comes in until it has left. A suspect of
// a reserved lane waits for nobody: it keeps the others from coming in, and is alone once those inside have left.
type gate struct {
	mu       sync.Mutex // guards the rest
	inside   int
	alone    bool
	reserved int           // suspects of reserved lanes
	waiting  int           // suspects that wait
	changed  chan struct{} // closed and replaced when somebody leaves; nil while nobody waits
}

// enter lets n in together.
func (g *gate) enter(ctx context.Context, n int) error {
	return g.await(ctx, func() bool {
		if g.alone || g.reserved > 0 || g.waiting > 0 {
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
		if g.alone || g.reserved > 0 || g.inside > 0 {
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

// enterReserved lets a suspect of a reserved lane in at once.
func (g *gate) enterReserved() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reserved++
}

func (g *gate) leaveReserved() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reserved--
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
