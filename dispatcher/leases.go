package dispatcher

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"casepress/store"
)

// leases keeps the leases of everything in work from running out.
type leases struct {
	ledger Ledger
	lease  time.Duration
	log    *slog.Logger

	mu   sync.Mutex // guards held
	held map[store.Held]Claim
}

func newLeases(ledger Ledger, lease time.Duration, log *slog.Logger) *leases {
	return &leases{ledger: ledger, lease: lease, log: log, held: map[store.Held]Claim{}}
}

func (l *leases) add(claims []Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range claims {
		l.held[c.Held()] = c
	}
}

func (l *leases) remove(claims []Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range claims {
		delete(l.held, c.Held())
	}
}

// run renews three times per lease until ctx ends.
func (l *leases) run(ctx context.Context) {
	tick := time.NewTicker(l.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.renew(ctx)
		}
	}
}

func (l *leases) renew(ctx context.Context) {
	l.mu.Lock()
	held := slices.Collect(maps.Values(l.held))
	l.mu.Unlock()
	if len(held) == 0 {
		return
	}
	lost := l.ledger.Renew(ctx, l.lease, held)
	for _, c := range lost {
		// It will come again; the attempt number keeps the late worker's result from counting.
		l.log.Warn("a lease was lost", "kind", c.Row.Kind.Name, "id", c.Row.ID, "attempt", c.Attempt)
	}
	l.remove(lost)
}
