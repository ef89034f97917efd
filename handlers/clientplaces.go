package handlers

import (
	"context"
	"net/netip"
	"sync"
)

// clientPlaces bounds how many answers of one sort each client has at once. One more waits for its turn.
type clientPlaces struct {
	each int // how many one client has

	mu   sync.Mutex // guards the rest
	from map[netip.Prefix]*placesFrom
}

// placesFrom are those of one client. Who waits for a place is among the users, too.
type placesFrom struct {
	taken chan struct{}
	users int
}

// enter takes a place of the client until leave is called. The error is that of ctx.
func (p *clientPlaces) enter(ctx context.Context, from netip.Prefix) (leave func(), err error) {
	p.mu.Lock()
	if p.from == nil {
		p.from = map[netip.Prefix]*placesFrom{}
	}
	places := p.from[from]
	if places == nil {
		places = &placesFrom{taken: make(chan struct{}, p.each)}
		p.from[from] = places
	}
	places.users++
	p.mu.Unlock()
	end := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if places.users--; places.users == 0 {
			delete(p.from, from)
		}
	}
	select {
	case places.taken <- struct{}{}:
		return func() { <-places.taken; end() }, nil
	case <-ctx.Done():
		end()
		return nil, ctx.Err()
	}
}
