package handlers

import (
	linked "container/list"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server is the server of the public address. It bounds its connections: see [Config.MaxConnections].
type Server struct {
	*http.Server
	connections *connections
}

// Serve answers connections of l, as that of [http.Server] does.
func (s *Server) Serve(l net.Listener) error {
	defer s.connections.refusing.Wait()
	return s.Server.Serve(boundListener{l, s.connections})
}

// connections bounds the connections of a server, in all and from one client address: each takes about 12 KiB of memory, and
// up to twice [maxHeader] more while the header of its request comes in or is kept.
//
// Where there are as many as there may be, the one gives way that has waited for longest for a request: one that is idle
// after a request, or has not brought its first header, or the rest of a body that is refused, for [slowAfter]. It is closed, as it would be soon anyway. If there is
// none, the new one is refused: it gets an answer before it has sent a byte, and is closed.
type connections struct {
	max, maxFrom int // negative: no limit
	log          *slog.Logger
	refused      prometheus.Counter
	refusing     sync.WaitGroup // those whose client still has to read that it is refused
	refusals     chan struct{}  // has one for each of them

	mu      sync.Mutex // guards the rest, and all of every countedConn
	count   int
	waiting linked.List // of *countedConn, the one that has waited for longest first
	from    map[netip.Prefix]*connectionsFrom
	warned  time.Time
	http2   int // how many of them speak HTTP/2
	// requests are those over HTTP/2 that are under way, requestsFrom those of each client.
	requests     int
	requestsFrom map[netip.Prefix]int
}

// connectionsFrom are those of one client.
type connectionsFrom struct {
	count   int
	http2   int
	waiting linked.List
}

// countedConn is a connection that counts until it is closed.
type countedConn struct {
	net.Conn
	in     *connections
	from   netip.Prefix
	waits  [2]*linked.Element // in the lists of all and of its client; nil: it does not wait for a request
	state  http.ConnState     // in which it waits
	since  time.Time
	closed bool
	http2  bool // it counts among those that speak HTTP/2
	header headerLines
}

const (
	// maxRefusals is how many refused connections are kept at a time until their client has read why.
	maxRefusals = 64
	// refusalTime is how long.
	refusalTime = time.Second
	// refusalBytes is how much of a request is read that is not wanted.
	refusalBytes = 64 << 10
	// warnEach is how often refused connections are logged.
	warnEach = time.Minute
)

func newConnections(cfg Config, log *slog.Logger) *connections {
	u := &connections{
		max: cfg.MaxConnections, maxFrom: cfg.MaxConnectionsPerAddress, log: log,
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casepress_http_connections_refused_total", Help: "Connections, and requests over HTTP/2, that were one too many, in all or from their client address.",
		}),
		refusals: make(chan struct{}, maxRefusals), from: map[netip.Prefix]*connectionsFrom{}, requestsFrom: map[netip.Prefix]int{},
	}
	cfg.Registry.MustRegister(u.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "casepress_http_connections", Help: "Connections of clients that are open.",
	}, u.open))
	return u
}

func (u *connections) open() float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return float64(u.count)
}

// boundListener is a listener whose connections count.
type boundListener struct {
	net.Listener
	connections *connections
}

// Accept returns the next connection that is not one too many.
func (l boundListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		counted, gaveWay, wrong := l.connections.enter(conn)
		if gaveWay != nil {
			_ = gaveWay.Close() // no request has come in on it that is not answered
		}
		if wrong == nil {
			return counted, nil
		}
		l.connections.refuse(conn, wrong)
	}
}

// enter counts a connection until it is closed, or returns a fault. The one that gave way, nil if none had to, counts no more
// and is to be closed.
func (u *connections) enter(conn net.Conn) (counted, gaveWay *countedConn, wrong *fault) {
	from := networkOf(conn.RemoteAddr().String())
	u.mu.Lock()
	defer u.mu.Unlock()
	own := u.from[from]
	switch {
	case own != nil && u.maxFrom >= 0 && own.count >= u.maxFrom:
		if gaveWay = longest(&own.waiting); gaveWay == nil {
			return nil, nil, u.tooMany(codeTooManyConnectionsFromAddress, u.maxFrom)
		}
	case u.max >= 0 && u.count >= u.max:
		if gaveWay = longest(&u.waiting); gaveWay == nil {
			return nil, nil, u.tooMany(codeTooManyConnections, u.max)
		}
	}
	if gaveWay != nil {
		u.leave(gaveWay)
	}
	if own = u.from[from]; own == nil {
		own = &connectionsFrom{}
		u.from[from] = own
	}
	u.count++
	own.count++
	return &countedConn{Conn: conn, in: u, from: from}, gaveWay, nil
}

// longest is the connection that gives way, nil if none does. It passes over those that are not slow yet, which came in the last second.
func longest(waiting *linked.List) *countedConn {
	now := time.Now()
	for e := waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*countedConn); c.state != http.StateNew || now.Sub(c.since) >= slowAfter {
			return c
		}
	}
	return nil
}

// tooMany is called with mu held.
func (u *connections) tooMany(c code, limit int) *fault {
	u.refused.Inc()
	if now := time.Now(); now.Sub(u.warned) >= warnEach {
		u.warned = now
		u.log.Warn("connections or requests over HTTP/2 are refused: there are as many as there may be", "code", string(c), "limit", limit)
	}
	return &fault{code: c, args: []any{limit}, extras: extras{Limit: int64(limit)}}
}

// leave counts a connection no more. It is called with mu held, and may be called again.
func (u *connections) leave(c *countedConn) {
	if c.closed {
		return
	}
	c.closed = true
	u.busy(c)
	u.count--
	own := u.from[c.from]
	if c.http2 {
		u.http2--
		own.http2--
	}
	if own.count > 1 {
		own.count--
	} else {
		delete(u.from, c.from)
	}
}

// busy takes a connection from those that wait. It is called with mu held.
func (u *connections) busy(c *countedConn) {
	if c.waits[0] != nil {
		u.waiting.Remove(c.waits[0])
		u.from[c.from].waiting.Remove(c.waits[1])
		c.waits = [2]*linked.Element{}
	}
}

// changed is told by the server what a connection does: it waits for a request in the states new and idle, until the header
// is in.
func (u *connections) changed(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*countedConn)
	if !ok {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy(c)
	if state == http.StateNew || state == http.StateIdle {
		c.header.stage.Store(headerBegins)
		u.wait(c, state)
	} else {
		c.header.stage.Store(headerIsIn)
	}
}

// wait is called with mu held.
func (u *connections) wait(c *countedConn, state http.ConnState) {
	if !c.closed {
		c.state, c.since = state, time.Now()
		c.waits = [2]*linked.Element{u.waiting.PushBack(c), u.from[c.from].waiting.PushBack(c)}
	}
}

// connectionKey is the context key of the connection of a request.
type connectionKey struct{}

// refusedOn says that the request is refused, and that of its connection only a body is read that nobody wants: if that takes
// long, it gives way as one does that is slow with its header. A connection of HTTP/2 may have other requests.
func refusedOn(r *http.Request) {
	c, ok := r.Context().Value(connectionKey{}).(*countedConn)
	if !ok || r.ProtoMajor != 1 {
		return
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.busy(c)
	c.in.wait(c, http.StateNew)
}

// Read reads what comes next, and looks at how many lines a header has.
func (c *countedConn) Read(p []byte) (int, error) {
	if c.header.tooMany {
		return 0, errHeaderLines
	}
	before := c.header.http2
	n, err := c.Conn.Read(p[:c.header.most(len(p))])
	fine := c.header.add(p[:n])
	if c.header.http2 && !before && !c.in.enterHTTP2(c) {
		return 0, io.EOF // net/http closes it without an answer, for one of HTTP/1.1 would not be understood
	}
	return fine, err
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.in.mu.Lock()
	c.in.leave(c)
	c.in.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite tells the client that no more comes, as net/http does before it closes a connection on which the client may still
// be sending. What has no half of its own to close is left open.
func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// refuse answers on a connection that is one too many, and closes it. It waits for nobody: the answer has room in what the
// system keeps of a new connection. What the client has sent is read by somebody else, else the system would tell the client
// that the connection broke, and throw the answer away.
func (u *connections) refuse(conn net.Conn, wrong *fault) {
	_ = conn.SetDeadline(time.Now().Add(refusalTime)) // an error here and below needs no answer: the client has left
	_, _ = conn.Write(refusal(wrong))
	select {
	case u.refusals <- struct{}{}:
		u.refusing.Go(func() {
			defer func() { <-u.refusals }()
			_ = closeWrite(conn)
			_, _ = io.CopyN(io.Discard, conn, refusalBytes)
			_ = conn.Close()
		})
	default:
		_ = conn.Close()
	}
}

// refusal is the answer on a connection that is one too many, before its request is known.
func refusal(f *fault) []byte {
	info, id := codeTable[f.code], rand.Text()
	body, err := json.Marshal(problem{
		Type: "urn:casepress:problem:" + string(f.code), Title: info.title.in(english), Status: info.status, Detail: info.detail.in(english, f.args...),
		Instance: "urn:casepress:request:" + id, Code: f.code, Stored: json.RawMessage("false"), Retryable: info.retryable, extras: f.extras,
	})
	if err != nil {
		panic(err) // it always encodes
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Language: en\r\nVary: Accept-Language\r\n"+
		"Cache-Control: no-store\r\nX-Request-Id: %s\r\nRetry-After: %d\r\nContent-Length: %d\r\nConnection: close\r\n",
		info.status, http.StatusText(info.status), id, int(info.retryAfter.Seconds()), len(body))
	for _, one := range everyAnswer {
		answer = fmt.Appendf(answer, "%s: %s\r\n", one.name, strings.Join(one.values, ", "))
	}
	return append(append(answer, "\r\n"...), body...)
}
