package handlers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
)

// pace moves the connection's deadlines along with the progress of the client:
// one that stalls is cut off, one that is slow lives. net/http's own timeouts
// bound the whole request instead, which no large upload over a bad line
// survives.
//
// A deadline outlives the request on a kept-alive connection, so each request
// sets its own at the start and again at the end, for the flush after it.
func (a *API) pace(c *gin.Context) {
	p := &pacer{rc: http.NewResponseController(c.Writer), stall: a.cfg.StallTimeout}
	p.writable()
	if c.Request.ContentLength != 0 {
		now := time.Now()
		c.Request.Body = &pacedBody{
			ReadCloser: http.MaxBytesReader(c.Writer, c.Request.Body, a.cfg.MaxBodyBytes),
			pacer:      p, limit: a.cfg.UploadTimeout, end: now.Add(a.cfg.UploadTimeout),
		}
		// A handler that refuses before it reads leaves the rest of the body to
		// net/http, which must not wait for it for ever either.
		p.readable(now.Add(a.cfg.StallTimeout))
	}
	c.Writer = &pacedWriter{ResponseWriter: c.Writer, pacer: p}
	c.Next()
	p.writable()
}

// pacer sets the deadlines of one connection. Errors mean that the connection
// has none (tests) or is closed; then the next read or write tells.
type pacer struct {
	rc    *http.ResponseController
	stall time.Duration
}

func (p *pacer) writable()              { _ = p.rc.SetWriteDeadline(time.Now().Add(p.stall)) }
func (p *pacer) readable(end time.Time) { _ = p.rc.SetReadDeadline(end) }

// pacedBody is a request body whose reader gives up on a client that stalls or
// takes too long in all. Its errors are faults, or *http.MaxBytesError.
type pacedBody struct {
	io.ReadCloser
	*pacer
	limit time.Duration
	end   time.Time // of the whole upload
	fault error     // of an earlier read
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.fault != nil {
		return 0, b.fault
	}
	deadline := time.Now().Add(b.stall)
	late := deadline.After(b.end)
	if late {
		deadline = b.end
	}
	b.readable(deadline)
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		// net/http now watches the connection for the client leaving: with a
		// deadline it would take a quiet client for one that left.
		b.readable(time.Time{})
		return n, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded) && late:
		err = &fault{code: codeTooSlow, args: []any{b.limit}, cause: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &fault{code: codeStalled, args: []any{b.stall}, cause: err}
	default:
		if _, ok := errors.AsType[*http.MaxBytesError](err); !ok {
			err = &fault{code: codeIncompleteBody, cause: fmt.Errorf("read body: %w", err)}
		}
	}
	b.fault = err
	return n, err
}

// pacedWriter gives the client the stall time anew with every write.
type pacedWriter struct {
	gin.ResponseWriter
	*pacer
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	w.writable()
	return w.ResponseWriter.Write(p)
}

func (w *pacedWriter) WriteString(s string) (int, error) {
	w.writable()
	return w.ResponseWriter.WriteString(s)
}

// Unwrap lets http.ResponseController find the connection.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
