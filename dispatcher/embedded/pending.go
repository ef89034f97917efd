package embedded

import (
	"sync"

	"casepress/dispatcher"
)

// pending holds the submissions that the rows do not show yet: those being published, those that are in the
// log and not in the rows, and those of which only the next start can tell whether they are in the log. It lets a second
// submission with the same key wait for the first instead of racing it.
//
// mu guards all fields, and those of an entry until its done is closed.
type pending struct {
	mu        sync.Mutex
	byKey     map[string]*entry
	published map[string][]*entry // by topic, in offset order as near as publishing allows
	bytes     int64               // of all entries
}

// entry is one submission on its way. receipt and err are fixed before done is closed.
type entry struct {
	key   string
	bytes int64
	// originals are the digests of those that the submission brought: they are needed although no row names them yet.
	originals []string
	done      chan struct{} // closed when receipt and err are fixed
	gone      chan struct{} // closed when it is no longer pending
	ended     bool          // by its owner
	receipt   dispatcher.Receipt
	err       error
}

// entryOverhead is what an entry occupies beside the content of its submission, roughly, in bytes.
const entryOverhead = 512

func newPending() *pending {
	return &pending{byKey: map[string]*entry{}, published: map[string][]*entry{}}
}

// add returns the entry for key and whether the caller owns it, and so has to end it with drop or keep;
// otherwise the caller waits for entry.done. A new entry beyond limit bytes in all is refused: then both are
// zero.
func (p *pending) add(key string, bytes, limit int64, originals []string) (e *entry, owner bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.byKey[key]; ok {
		return e, false
	}
	if p.bytes > 0 && p.bytes+bytes > limit {
		return nil, false
	}
	e = &entry{key: key, bytes: bytes, originals: originals, done: make(chan struct{}), gone: make(chan struct{})}
	p.byKey[key] = e
	p.bytes += bytes
	return e, true
}

// size is how many bytes are pending.
func (p *pending) size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// originals are the digests of the originals that pending submissions brought.
func (p *pending) originals() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	named := map[string]bool{}
	for _, e := range p.byKey {
		for _, sha256 := range e.originals {
			named[sha256] = true
		}
	}
	return named
}

// remove is called with mu held.
func (p *pending) remove(e *entry) {
	delete(p.byKey, e.key)
	p.bytes -= e.bytes
	close(e.gone)
}

// drop ends e without keeping it: the rows already have it, or nothing was accepted.
func (p *pending) drop(e *entry, r dispatcher.Receipt, err error) {
	p.mu.Lock()
	p.remove(e)
	e.ended = true
	p.mu.Unlock()
	e.receipt, e.err = r, err
	close(e.done)
}

// keepUnknown ends e, of content with the digest, with an error that says that only the next start can tell whether it was
// accepted. Until then it stays: the same content gets the same answer, and what the submission needs is not deleted. It takes no
// room from others, since the log lets no more of its kind follow.
func (p *pending) keepUnknown(e *entry, sha256 string, err error) {
	p.mu.Lock()
	p.bytes -= e.bytes
	e.bytes, e.ended = 0, true
	p.mu.Unlock()
	e.receipt, e.err = dispatcher.Receipt{SHA256: sha256}, err
	close(e.done)
}

// dropUnended ends e with err if its owner has not.
func (p *pending) dropUnended(e *entry, err error) {
	p.mu.Lock()
	ended := e.ended
	p.mu.Unlock()
	if !ended {
		p.drop(e, dispatcher.Receipt{}, err)
	}
}

// keep ends e as accepted and keeps it until the topic's rows have come past its sequence, which may have
// happened already.
func (p *pending) keep(topic string, recorded *watermark, e *entry, r dispatcher.Receipt) {
	p.mu.Lock()
	e.receipt, e.ended = r, true
	if recorded.passed(r.Sequence) {
		p.remove(e)
	} else {
		p.published[topic] = append(p.published[topic], e)
	}
	p.mu.Unlock()
	close(e.done)
}

// forget removes every entry of topic below next. It must be called after the topic's watermark has advanced
// to next.
func (p *pending) forget(topic string, next uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.published[topic][:0]
	for _, e := range p.published[topic] {
		if e.receipt.Sequence < next {
			p.remove(e)
		} else {
			kept = append(kept, e)
		}
	}
	clear(p.published[topic][len(kept):])
	p.published[topic] = kept
}
