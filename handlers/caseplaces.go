package handlers

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/store"
)

const (
	// maxCasesFrom is how many cases one client has made, or long ones sent, at once. It waits for more.
	maxCasesFrom = 4
	// maxCaseBytes bounds the bytes of long cases that are being sent: a client that reads slowly keeps one in memory. One with
	// 1,000 follow-ups of the longest text has about 16 MB.
	maxCaseBytes = 128 << 20
	// maxCaseBytesFrom bounds those for one client, so that a few that read slowly leave room for others. One case is sent
	// to it however long it is.
	maxCaseBytesFrom = maxCaseBytes / 8
	// caseWait is how long a question waits for its turn.
	caseWait = 5 * time.Second
)

// casePlaces bounds what answers with whole cases take. A case is made of all its steps, and a long one has megabytes.
type casePlaces struct {
	clients clientPlaces
	making  chan struct{} // has one for each that is being made
	wait    time.Duration // see caseWait

	mu    sync.Mutex // guards the rest
	bytes int64      // of long cases that are being sent
	from  map[netip.Prefix]int64
}

// hold counts the bytes of a long case for a client until release is called, or returns a fault if there are too many.
func (p *casePlaces) hold(from netip.Prefix, bytes int64) (release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.from[from]
	if p.bytes+bytes > maxCaseBytes || own > 0 && own+bytes > maxCaseBytesFrom {
		return nil, refuse(codeOverloaded)
	}
	if p.from == nil {
		p.from = map[netip.Prefix]int64{}
	}
	p.bytes += bytes
	p.from[from] += bytes
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bytes -= bytes
		if p.from[from] -= bytes; p.from[from] == 0 {
			delete(p.from, from)
		}
	}, nil
}

// caseFault says that its turn did not come, or that the client has left.
func caseFault(ctx context.Context) error {
	return fmt.Errorf("wait for the turn of a case: %w", ctx.Err())
}

// makeCase makes the body of a case, when its turn has come. A long one keeps its place until release is called, when it is sent.
func (a *API) makeCase(c *gin.Context, row store.Row) (body []byte, release func(), err error) {
	turn, cancel := context.WithTimeout(c.Request.Context(), a.cases.wait)
	defer cancel()
	from := a.clientOf(c)
	leave, err := a.cases.clients.enter(turn, from)
	if err != nil {
		return nil, nil, caseFault(turn)
	}
	kept := false
	defer func() { // also if making it panics
		if !kept {
			leave()
		}
	}()
	if body, err = a.encodeCase(turn, c.Request.Context(), row); err != nil || len(body) <= pageBytes {
		return body, func() {}, err
	}
	let, err := a.cases.hold(from, int64(len(body)))
	if err != nil {
		return nil, nil, err
	}
	kept = true
	return body, func() { let(); leave() }, nil
}

func (a *API) encodeCase(turn, ctx context.Context, row store.Row) ([]byte, error) {
	select {
	case a.cases.making <- struct{}{}:
		defer func() { <-a.cases.making }()
	case <-turn.Done():
		return nil, caseFault(turn)
	}
	entries, err := a.timeline(ctx, row)
	if err != nil {
		return nil, err
	}
	return encodeJSON(showCase(row, entries)), nil
}
