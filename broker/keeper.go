package broker

import (
	"context"
	"time"
)

// keep does what time brings, until ctx ends: it wakes when the next lock lapses or message is due.
func (g *group) keep(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, dead := g.tend()
		if dead {
			g.buryDead(ctx)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-g.kick:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// tend does what is due and returns how long nothing will be, and whether there are messages to bury.
func (g *group) tend() (wait time.Duration, dead bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.serve(now)
	due, ok := g.state.nextDue()
	if !ok {
		due = never
	}
	g.wakeAt = due
	return time.Duration(min(due-now, time.Hour.Microseconds())) * time.Microsecond, len(g.state.dead) > 0
}
