package handlers

import (
	"context"
	"runtime"
)

// turns lets a few requests of those that come in bursts do at once what takes a processor's time: their documents are read
// under one, and the answers to responses are made under another. The others wait here, in the order in which they came, and
// not among the goroutines that are ready to run: there Go has no priorities, and one that tells of an adverse event would stand
// behind all whom one write to the log has answered, at each of its steps. See decision 31.
type turns chan struct{}

// newTurns returns turns for a quarter of Go's processors, at least one. Of these casepress has twice as many as the machine
// (tune in package main): with reading and answering together as many requests are busy as the machine has processors, and some of
// Go's are always free to take up other work.
func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/4)) }

// do calls step when it is its turn. What is done in step must not wait for anybody, least of all for a client. When ctx ends
// first step is called at once: whoever is answered then is gone, or there is an answer to be given all the same.
func (t turns) do(ctx context.Context, step func()) {
	select {
	case t <- struct{}{}:
		defer func() { <-t }()
	case <-ctx.Done():
	}
	step()
}
