package svc

import (
	"context"
	"fmt"
)

// Pool is the one pool of the service: however many partitions and topics there are, so many pieces of work are under way at once.
// The goroutines are those of the callers, so nothing is queued that a crash would lose.
type Pool struct{ places chan struct{} }

// NewPool makes a pool.
func NewPool(size int) *Pool { return &Pool{make(chan struct{}, size)} }

// Do runs work when there is a place, and returns when it is done. A panic is an error.
func (p *Pool) Do(ctx context.Context, work func() error) (err error) {
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return work()
}
