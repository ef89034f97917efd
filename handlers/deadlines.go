package handlers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
)

// keepDeadlines sets the connection's deadlines anew with each step that the client makes: a client that
// stalls is cut off, and one that is only slow is not. The timeouts of net/http bound the whole request
// instead, and would end every large upload over a slow line.
//
// On a connection that is used again, a deadline stays after the request. So each request sets its own
// at its start, and once more at its end for the bytes that are still to be flushed.
func (a *API) keepDeadlines(c *gin.Context) {
	p := &deadlines{rc: http.NewResponseController(c.Writer), stall: a.cfg.StallTimeout, stream: c.Request.ProtoMajor >= 2}
	if !p.stream {
		p.writable()
	}
	c.Writer = &deadlineWriter{ResponseWriter: c.Writer, deadlines: p}
	if c.Request.ContentLength != 0 {
		// Also for a body that no handler reads: net/http reads some of it before it answers, and must
		// not wait for it without end.
		p.readable(time.Now(), time.Time{})
	}
	body := a.uploadBody(c, p)
	c.Next()
	p.writable()
	if body != nil && !body.done && !body.expectsContinue {
		body.linger()
	}
}

// uploadBody replaces the body of a submission by one that keeps the deadlines. It returns nil for other
// requests, whose body nobody reads.
func (a *API) uploadBody(c *gin.Context, p *deadlines) *uploadBody {
	if c.Request.ContentLength == 0 || !isSubmission(c) {
		return nil
	}
	body := &uploadBody{
		ReadCloser: c.Request.Body,
		limited:    http.MaxBytesReader(c.Writer, c.Request.Body, a.cfg.MaxBodyBytes),
		deadlines:  p, rate: rate{least: a.cfg.MinUploadRate, span: a.cfg.UploadRateSpan}, limit: a.cfg.UploadTimeout, end: time.Now().Add(a.cfg.UploadTimeout),
		expectsContinue: c.GetHeader("Expect") != "",
	}
	c.Request.Body = body
	c.Set(keyBody, body)
	return body
}

// deadlines sets the deadlines of one connection. It ignores errors: either the connection has no
// deadlines, as in tests, or it is closed, and the next read or write returns that error.
//
// Each is set for an eighth of the stall time more than must be, and left alone until less than the stall time is left of
// it: the steps of a small request follow each other at once, and each change is one of a timer.
type deadlines struct {
	rc    *http.ResponseController
	stall time.Duration
	// stream says that the deadlines are of an HTTP/2 stream. There a write deadline that passes resets the
	// stream at once, even if nothing is being written, so it must stand only while something is.
	stream bool
	// writeBy and readBy are what this request has set; zero: nothing.
	writeBy, readBy time.Time
}

// spare is the part of the stall time by which a deadline is set later: one in so many.
const spare = 8

func (p *deadlines) writable() {
	now := time.Now()
	if p.writeBy.Sub(now) >= p.stall {
		return
	}
	p.writeBy = now.Add(p.stall + p.stall/spare)
	_ = p.rc.SetWriteDeadline(p.writeBy)
}

func (p *deadlines) written() {
	if p.stream {
		p.writeBy = time.Time{}
		_ = p.rc.SetWriteDeadline(p.writeBy)
	}
}

// readable lets the client send on for the stall time, but not beyond the end if there is one. It returns whether it is the
// end that counts.
func (p *deadlines) readable(now, end time.Time) (last bool) {
	least := now.Add(p.stall)
	if p.readBy.Before(least) || !end.IsZero() && p.readBy.After(end) {
		by := least.Add(p.stall / spare)
		if !end.IsZero() && by.After(end) {
			by = end
		}
		p.readUntil(by)
	}
	return p.readBy.Equal(end)
}

// readUntil sets the deadline for what is read; zero: none.
func (p *deadlines) readUntil(by time.Time) {
	p.readBy = by
	_ = p.rc.SetReadDeadline(by)
}

// uploadBody is a request body whose reader gives up on a client that stalls, takes too long in all, or sends
// too much. Its errors are faults, or *http.MaxBytesError.
type uploadBody struct {
	io.ReadCloser
	limited io.Reader // the same, up to the largest body allowed
	*deadlines
	rate            rate
	limit           time.Duration
	end             time.Time // of the whole upload
	expectsContinue bool      // the client sends nothing before it is asked to
	done            bool      // the body is at its end, or broken
	fault           error     // of an earlier read
	gaveWay         atomic.Bool
}

// isBodyRead reports whether nothing of the request's body is left to come.
func isBodyRead(c *gin.Context) bool {
	body, ok := c.Value(keyBody).(*uploadBody)
	return !ok || body.done
}

// giveWay ends a read that waits for the client, and every later one, for the sake of others. Any goroutine may call it.
func (b *uploadBody) giveWay() {
	b.gaveWay.Store(true)
	_ = b.rc.SetReadDeadline(time.Now())
}

func (b *uploadBody) Read(p []byte) (int, error) {
	if b.fault != nil {
		return 0, b.fault
	}
	b.expectsContinue = false
	begun := time.Now()
	late := b.readable(begun, b.end)
	if b.gaveWay.Load() { // only now, for setting the deadline may have undone that of giveWay
		b.fault = gaveWayFault()
		return 0, b.fault
	}
	n, err := b.limited.Read(p)
	if err == nil {
		b.fault = b.rate.add(n, time.Since(begun))
		return n, b.fault
	}
	if errors.Is(err, io.EOF) {
		b.done = true
		// net/http now watches the connection for the client leaving: with a deadline it would take a quiet
		// client for one that left.
		b.readUntil(time.Time{})
		return n, io.EOF
	}
	b.fault = b.faultOf(err, late)
	return n, b.fault
}

// rate measures how fast a body arrives. Only the time that was spent waiting for it counts: a server that is busy makes no
// client slow.
type rate struct {
	least  int64 // bytes a second; negative: none
	span   time.Duration
	bytes  int64 // in this span
	waited time.Duration
}

// add counts n bytes that were waited for. It returns a fault at the end of a span that brought too little.
func (r *rate) add(n int, waited time.Duration) error {
	r.bytes += int64(n)
	r.waited += waited
	if r.least < 0 || r.waited < r.span {
		return nil
	}
	if float64(r.bytes) < float64(r.least)*r.waited.Seconds() {
		return &fault{code: codeTrickle, args: []any{byteSize(r.least), period(r.span)}, cause: fmt.Errorf("%d bytes in %v", r.bytes, r.waited)}
	}
	r.bytes, r.waited = 0, 0
	return nil
}

func (b *uploadBody) faultOf(err error, late bool) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	b.done = true
	switch {
	case b.gaveWay.Load():
		return gaveWayFault()
	case errors.Is(err, os.ErrDeadlineExceeded) && late:
		return &fault{code: codeTooSlow, args: []any{period(b.limit)}, cause: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &fault{code: codeStalled, args: []any{period(b.stall)}, cause: err}
	}
	return &fault{code: codeIncompleteBody, cause: fmt.Errorf("read body: %w", err)}
}

// lingerTime is how long a refused client may go on sending.
const lingerTime = 5 * time.Second

// linger takes in what the client of a refused upload is still sending. Many clients look at the answer only
// when they have sent everything, and would find the connection reset instead of the reason.
func (b *uploadBody) linger() {
	if err := b.rc.Flush(); err != nil {
		return // the client has left
	}
	b.readUntil(time.Now().Add(min(lingerTime, b.stall)))
	_, _ = io.Copy(io.Discard, b.ReadCloser) // nothing of it matters
}

// deadlineWriter gives the client the whole stall time for each piece of what is written: a deadline for all of a long answer
// would cut off whoever reads it slowly.
type deadlineWriter struct {
	gin.ResponseWriter
	*deadlines
}

// writePiece is how many bytes a client must take within the stall time. With its default that is half as many a second as an
// upload must bring.
const writePiece = 16 << 10

func (w *deadlineWriter) Write(p []byte) (n int, err error) {
	for first := true; err == nil && (first || n < len(p)); first = false {
		var written int
		written, err = w.writeOne(p[n:min(len(p), n+writePiece)])
		n += written
	}
	return n, err
}

func (w *deadlineWriter) writeOne(p []byte) (int, error) {
	w.writable()
	defer w.written()
	return w.ResponseWriter.Write(p)
}

// WriteString is Write of a string.
func (w *deadlineWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *deadlineWriter) Flush() {
	w.writable()
	defer w.written()
	w.ResponseWriter.Flush()
}

// Unwrap lets http.ResponseController find the connection.
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
