package handlers

import (
	"net/http"
	"net/netip"
)

// Over HTTP/2 one connection carries many requests, and each takes about as much memory as a connection of HTTP/1.1 does. So the
// requests under way over HTTP/2 are bounded as connections are, in all and from one client address; one that is one too many is
// reset, for an answer would wait for a client that may take none.

const (
	// maxFrame is the largest frame, in bytes: a connection keeps a whole one until its last byte has come. HTTP/2 allows no
	// smaller limit (RFC 9113, section 4.2).
	maxFrame = 16 << 10
	// maxConcurrent is how many requests one connection has under way (RFC 9113, section 6.5.2, recommends no fewer than 100).
	maxConcurrent = 100
	// maxHTTP2 is how many connections may speak HTTP/2, maxHTTP2From how many of one client: each takes 37 KiB while it is idle, and
	// about 100 with the bodies and headers that it may bring.
	maxHTTP2     = 256
	maxHTTP2From = 64
	// maxUnread is how many bytes of a body a client may send ahead of whoever reads it. It cannot be less than 65,535: a client
	// may send as much before it knows a smaller limit (RFC 9113, section 6.9.2), and net/http would reset the upload.
	maxUnread = 64 << 10
)

func http2Limits() *http.HTTP2Config {
	return &http.HTTP2Config{MaxReadFrameSize: maxFrame, MaxConcurrentStreams: maxConcurrent, MaxReceiveBufferPerStream: maxUnread}
}

// boundRequests lets h answer as many requests over HTTP/2 at once as there may be connections.
func (u *connections) boundRequests(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor < 2 {
			h.ServeHTTP(w, r)
			return
		}
		from := networkOf(r.RemoteAddr)
		if !u.enterRequest(from) {
			panic(http.ErrAbortHandler) // which resets the stream
		}
		defer u.leaveRequest(from)
		h.ServeHTTP(w, r)
		// The end of the answer is sent while the request still counts: net/http would wait for the client after that.
		_ = http.NewResponseController(w).Flush() // an error needs no answer: the client has left
	})
}

// enterHTTP2 counts a connection on which a client has said that it speaks HTTP/2, or reports that it is one too many.
func (u *connections) enterHTTP2(c *countedConn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	own := u.from[c.from]
	switch {
	case c.closed: // it has given way, or the server has ended
		return false
	case u.maxFrom >= 0 && own.http2 >= maxHTTP2From:
		u.tooMany(codeTooManyConnectionsFromAddress, maxHTTP2From)
		return false
	case u.max >= 0 && u.http2 >= maxHTTP2:
		u.tooMany(codeTooManyConnections, maxHTTP2)
		return false
	}
	c.http2 = true
	u.http2++
	own.http2++
	return true
}

// enterRequest counts a request over HTTP/2 until leaveRequest is called, or reports that it is one too many.
func (u *connections) enterRequest(from netip.Prefix) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.maxFrom >= 0 && u.requestsFrom[from] >= u.maxFrom:
		u.tooMany(codeTooManyConnectionsFromAddress, u.maxFrom)
		return false
	case u.max >= 0 && u.requests >= u.max:
		u.tooMany(codeTooManyConnections, u.max)
		return false
	}
	u.requests++
	u.requestsFrom[from]++
	return true
}

func (u *connections) leaveRequest(from netip.Prefix) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests--
	if u.requestsFrom[from]--; u.requestsFrom[from] == 0 {
		delete(u.requestsFrom, from)
	}
}
