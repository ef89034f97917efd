package broker

import (
	"context"
	"time"
)

// runDeadlines does what is due at its time, until ctx ends: it wakes when the next lock lapses or message is due.
func (g *group) runDeadlines(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, dead := g.handleDeadlines()
		if dead {
			g.publishDeadLetters(ctx)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-g.deadlines:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// handleDeadlines does what is due and returns how long nothing will be, and whether there are dead letters to publish.
func (g *group) handleDeadlines() (wait time.Duration, dead bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.handOut(now)
	g.nextDeadline = g.nextLook()
	return time.Duration(min(g.nextDeadline-now.steady, time.Hour.Microseconds())) * time.Microsecond, len(g.state.dead) > 0
}

// nextLook returns when something is due next by the steady clock. Where that depends on the date, it is soon, because the
// date may be set. The caller holds mu.
func (g *group) nextLook() int64 {
	due, ok := g.state.nextDue()
	if !ok {
		due = never
	}
	if date, ok := g.state.nextDate(); ok {
		now := g.now()
		due = min(due, now.steady+min(max(date-now.date, 0), dateCheck.Microseconds()))
	}
	return due
}
