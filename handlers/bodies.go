package handlers

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// bodies bounds the memory of bodies that are coming in and are held whole. Those for reserved lanes have room of their own, so
// that no burst of anything else, and no number of uploads from the same address, refuses an adverse event; and small documents
// have room of theirs.
//
// A body counts as long as it is so far, with the header of its request, so that one that trickles takes no more than it has sent. Where there is no room
// left, whoever is slow gives way to whoever comes: in a client's own share the slowest of its bodies, in the whole the
// slowest of the client that has most. One that has not been read for [slowAfter] is not known to be slow, and one that was
// read to its end is never let go.
type bodies struct {
	max, maxFrom int64 // bytes under way, in all and from one client

	mu    sync.Mutex // guards the rest, and all of every heldBody
	bytes int64
	from  map[netip.Prefix]int64 // how many of them by client
	all   map[*heldBody]struct{}
}

const (
	// maxUrgent bounds the bytes of bodies for reserved lanes under way, maxUrgentFrom those from one client.
	maxUrgent     = 6 << 20
	maxUrgentFrom = maxUrgent / 4
	// maxSmall and maxSmallFrom are the same for small documents.
	maxSmall     = 24 << 20
	maxSmallFrom = maxSmall / 4
	// bodyOverhead is counted for each body beside its bytes and those of its header, so that those of nothing are not without
	// number. What its connection takes is bounded by the number of connections.
	bodyOverhead = 512
	// slowAfter is how long a body may take before others may be served in its place.
	slowAfter = time.Second
)

// heldBody is the body of a request that counts among bodies.
type heldBody struct {
	io.ReadCloser
	in      *bodies
	from    netip.Prefix
	giveWay func()    // ends a read that waits
	begun   time.Time // when it was first read; zero: not yet
	bytes   int64     // that it counts for
	ended   bool      // it was read to its end, or its request has ended
	let     bool      // it has given way
}

// enter counts the body of r until leave is called. giveWay must end a read of the body that waits for the client.
func (u *bodies) enter(from netip.Prefix, r *http.Request, giveWay func()) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := &heldBody{ReadCloser: r.Body, in: u, from: from, giveWay: giveWay}
	if err := u.take(b, bodyOverhead+headerMemory(r)); err != nil {
		return nil, err
	}
	if u.all == nil {
		u.all = map[*heldBody]struct{}{}
	}
	u.all[b] = struct{}{}
	r.Body = b
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.drop(b)
	}, nil
}

const (
	// headerCopies is how many times the bytes of a header are counted: they are kept once, in pieces of the sizes that Go
	// allocates, and the collector leaves as much that was needed to read them.
	headerCopies = 2
	// lineMemory is what a line of a header takes beside its bytes: its entry in a map that may be half empty, and a slice.
	lineMemory = 96
)

// headerMemory is about how many bytes of memory the header of a request takes, from its first line on.
func headerMemory(r *http.Request) int64 {
	n := headerCopies * (len(r.Method) + len(r.RequestURI) + len(r.Host))
	for name, values := range r.Header {
		for _, value := range values {
			n += headerCopies*(len(name)+len(value)) + lineMemory
		}
	}
	return int64(n)
}

// take counts n bytes more of b, for which slow ones give way. It is called with mu held.
func (u *bodies) take(b *heldBody, n int64) error {
	for u.from[b.from]+n > u.maxFrom || u.bytes+n > u.max {
		slow := u.slowest(b.from, u.from[b.from]+n > u.maxFrom)
		if slow == nil || slow == b {
			return &fault{code: codeOverloaded}
		}
		slow.let = true
		u.drop(slow)
		slow.giveWay()
	}
	if u.from == nil {
		u.from = map[netip.Prefix]int64{}
	}
	u.bytes += n
	u.from[b.from] += n
	b.bytes += n
	return nil
}

// slowest is the body that gives way, nil if none is slow: one of the client, or else one of whoever has most. It is called
// with mu held.
func (u *bodies) slowest(of netip.Prefix, own bool) (found *heldBody) {
	now := time.Now()
	rate := func(b *heldBody) float64 { return float64(b.bytes) / now.Sub(b.begun).Seconds() }
	for b := range u.all {
		switch {
		case b.ended || b.begun.IsZero() || now.Sub(b.begun) < slowAfter || own && b.from != of:
		case found == nil, u.from[b.from] > u.from[found.from], u.from[b.from] == u.from[found.from] && rate(b) < rate(found):
			found = b
		}
	}
	return found
}

// drop no longer counts b. It is called with mu held.
func (u *bodies) drop(b *heldBody) {
	u.bytes -= b.bytes
	if u.from[b.from] -= b.bytes; u.from[b.from] == 0 {
		delete(u.from, b.from)
	}
	b.bytes, b.ended = 0, true
	delete(u.all, b)
}

// Read counts what it has read, before it is kept.
func (b *heldBody) Read(p []byte) (int, error) {
	if err := b.start(); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if wrong := b.count(int64(n), errors.Is(err, io.EOF)); wrong != nil {
		return 0, wrong
	}
	return n, err
}

func (b *heldBody) start() error {
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	if b.begun.IsZero() {
		b.begun = time.Now()
	}
	return b.letGo()
}

func (b *heldBody) count(n int64, end bool) error {
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	if err := b.letGo(); err != nil {
		return err
	}
	if _, counts := b.in.all[b]; !counts { // its request has ended
		return nil
	}
	b.ended = end
	return b.in.take(b, n)
}

// letGo returns a fault if b has given way. It is called with mu held.
func (b *heldBody) letGo() error {
	if b.let {
		return gaveWayFault()
	}
	return nil
}

// gaveWayFault is that of a body whose room others needed.
func gaveWayFault() error { return &fault{code: codeTrickle, detail: textGaveWay} }
