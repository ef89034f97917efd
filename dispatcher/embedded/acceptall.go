package embedded

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/tasks"
)

// AcceptAll is Accept of each, with one write to the log for all of them that are new:
//
//	Accept ─┐
//	Accept ─┼─> gathering ─ when all have come or left ─> one write
//	Accept ─┘
func (l *Ledger) AcceptAll(ctx context.Context, all []tasks.Submission) []dispatcher.Outcome {
	outcomes := make([]dispatcher.Outcome, len(all))
	byTopic := map[string][]int{}
	for i, s := range all {
		byTopic[s.Kind.Topic] = append(byTopic[s.Kind.Topic], i)
	}
	var wg sync.WaitGroup
	for topic, of := range byTopic {
		g := &gathering{ledger: l, topic: topic, expected: len(of), written: make(chan struct{})}
		for _, i := range of {
			wg.Go(func() {
				one := &gathered{in: g}
				defer one.leave()
				o := &outcomes[i]
				err := tasks.Guard(func() (err error) {
					o.Receipt, err = l.acceptAndDerive(ctx, all[i], one)
					return err
				})
				if err != nil {
					o.Receipt, o.Err = dispatcher.Receipt{}, err
				}
			})
		}
	}
	wg.Wait()
	return outcomes
}

// maxTogether is what is published in one call at most: less than what the broker takes.
const maxTogether = 3 << 20

// gathering collects the records of submissions that are handed in together.
type gathering struct {
	ledger *Ledger
	topic  string

	mu       sync.Mutex // guards the next two
	expected int        // that have neither come nor left
	messages []broker.Message

	written chan struct{} // closed when offsets and errs, by the place in messages, are fixed
	offsets []uint64
	errs    []error
}

// gathered is the part of one submission in a gathering. Nil: it is handed in alone.
type gathered struct {
	in  *gathering
	out atomic.Bool // it has come or left
}

// leave says that this one has nothing to write with the others. It must be called before it waits for what others do, for
// these may wait for it.
func (o *gathered) leave() {
	if o != nil && !o.out.Swap(true) {
		o.in.count(nil)
	}
}

// begin begins to write m with the others, or alone if it has left. When ctx ends before that, or after any other error,
// nothing was stored.
func (o *gathered) begin(ctx context.Context, l *Ledger, topic string, m broker.Message) (writing, error) {
	if o == nil || l.broker.Check(m) != nil || o.out.Swap(true) {
		alone, err := l.broker.Enqueue(ctx, topic, []broker.Message{m}, nil)
		return writing{alone: alone}, err
	}
	return writing{with: o.in, place: o.in.count(&m)}, nil
}

// count takes note of one that has come with a message or left without. The last one writes. It waits for nothing, so that
// a disk that hangs holds nobody up.
func (g *gathering) count(m *broker.Message) (place int) {
	g.mu.Lock()
	if m != nil {
		place = len(g.messages)
		g.messages = append(g.messages, *m)
	}
	g.expected--
	last := g.expected == 0
	g.mu.Unlock()
	if last && len(g.messages) > 0 {
		g.ledger.wg.Go(func() { // Close waits for those who have come, and they wait for this
			if err := tasks.Guard(func() error { g.write(); return nil }); err != nil {
				g.ledger.cfg.Logger.Error("writing what was accepted together has failed", "err", err)
			}
		})
	}
	return place
}

// write begins all writes and then waits for them. A part that fails does not fail the others.
func (g *gathering) write() {
	defer close(g.written)
	n := len(g.messages)
	g.offsets, g.errs = make([]uint64, n), make([]error, n)
	for i := range g.errs {
		g.errs[i] = fmt.Errorf("%w: the write did not end", dispatcher.ErrOutcomeUnknown) // stays only after a panic
	}
	type part struct {
		from, to int
		pending  broker.Pending
		err      error
	}
	ctx := context.Background()
	var parts []part
	for from := 0; from < n; {
		to, size := from, 0
		for to < n && (to == from || size+len(g.messages[to].Payload) <= maxTogether) {
			size += len(g.messages[to].Payload) + entryOverhead
			to++
		}
		pending, err := g.ledger.broker.Enqueue(ctx, g.topic, g.messages[from:to], g.offsets[from:to])
		parts = append(parts, part{from, to, pending, err})
		from = to
	}
	for _, p := range parts {
		if p.err == nil {
			p.err = waitError(p.pending.Wait(ctx))
		}
		for i := p.from; i < p.to; i++ {
			g.errs[i] = p.err
		}
	}
}
