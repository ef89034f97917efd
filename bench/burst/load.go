package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// burst sends responses over a number of connections that are kept alive, each as soon as its connection is free. What
// is answered 503 is sent again once the answer's Retry-After is over; what is cut off, on a new connection.
//
// Connections come from addresses of their own (127.1.x.y), as phones do.
type burst struct {
	address     string
	connections int
	responses   []response
	todo        chan int
	half        func() // called once when half is accepted; nil: nothing is

	first, last time.Time
	replies     []time.Duration // of the answer that accepted it, by response

	accepted, refused, cut, replayed atomic.Int64

	halfOnce sync.Once
	finished chan struct{} // closed when all is accepted, or on the first error
	ending   sync.Once
	err      error // set before finished is closed
}

func newBurst(address string, connections int, responses []response) *burst {
	b := &burst{
		address: address, connections: connections, responses: responses,
		todo: make(chan int, len(responses)), replies: make([]time.Duration, len(responses)), finished: make(chan struct{}),
	}
	for i := range responses {
		b.todo <- i
	}
	return b
}

func (b *burst) fail(err error) {
	b.ending.Do(func() {
		b.err = err
		close(b.finished)
	})
}

// patience is how long a burst may take.
const patience = 2 * time.Minute

func (b *burst) run(ctx context.Context) error {
	connections := make([]*connection, b.connections)
	defer func() {
		for _, c := range connections {
			if c != nil && c.Conn != nil {
				_ = c.Close() // nothing is expected of it any more
			}
		}
	}()
	for i := range connections {
		connections[i] = &connection{address: b.address, from: net.IPv4(127, 1, byte(i/250), byte(i%250+1))}
		if err := connections[i].dial(); err != nil {
			return err
		}
	}
	timeout := time.AfterFunc(patience, func() {
		b.fail(fmt.Errorf("%d of %d were accepted in %v", b.accepted.Load(), len(b.responses), patience))
	})
	defer timeout.Stop()
	stop := context.AfterFunc(ctx, func() { b.fail(context.Cause(ctx)) })
	defer stop()
	var sending, killing sync.WaitGroup
	b.first = time.Now()
	for _, c := range connections {
		sending.Go(func() { b.send(c, &killing) })
	}
	sending.Wait()
	killing.Wait()
	return b.err
}

func (b *burst) send(c *connection, killing *sync.WaitGroup) {
	for {
		select {
		case <-b.finished:
			return
		case i := <-b.todo:
			if err := b.one(c, i); err != nil {
				b.fail(err)
				return
			}
		}
		if b.half != nil && b.accepted.Load() >= int64(len(b.responses)/2) {
			b.halfOnce.Do(func() { killing.Go(b.half) })
		}
	}
}

// reconnectAfter is how long a phone waits whose connection was cut off.
const reconnectAfter = 10 * time.Millisecond

func (b *burst) one(c *connection, i int) error {
	r := &b.responses[i]
	for {
		begun := time.Now()
		status, after, replayed, err := c.exchange(r)
		if err != nil {
			if b.half == nil {
				return fmt.Errorf("%s: %w", r.id, err)
			}
			b.cut.Add(1)
			for c.dial() != nil {
				select {
				case <-b.finished:
					return nil
				case <-time.After(reconnectAfter):
				}
			}
			continue
		}
		switch {
		case status == http.StatusServiceUnavailable && after > 0:
			b.refused.Add(1)
			time.AfterFunc(after, func() { b.todo <- i })
			if c.closing {
				return c.dial()
			}
			return nil
		case status != http.StatusCreated:
			return fmt.Errorf("%s: answered %d", r.id, status)
		}
		now := time.Now()
		b.replies[i] = now.Sub(begun)
		if replayed {
			b.replayed.Add(1)
		}
		if b.accepted.Add(1) == int64(len(b.responses)) {
			b.last = now
			b.fail(nil)
		}
		return nil
	}
}

// connection is one connection that is kept alive.
type connection struct {
	net.Conn
	address string
	from    net.IP
	answers *bufio.Reader
	closing bool // the last answer said that the connection is not kept
}

func (c *connection) dial() error {
	if c.Conn != nil {
		_ = c.Close() // it was cut off
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: c.from}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", c.address)
	if err != nil {
		c.Conn = nil
		return err
	}
	c.Conn, c.closing, c.answers = conn, false, bufio.NewReader(conn)
	return nil
}

// exchange sends a response and reads the answer as cheaply as can be, for it shares the service's processors. An answer
// that accepts must name the digest of the body, and has a crisis text if and only if a flag is raised.
func (c *connection) exchange(r *response) (status int, retryAfter time.Duration, replayed bool, err error) {
	if _, err := c.Write(r.request); err != nil {
		return 0, 0, false, err
	}
	line, err := c.answers.ReadSlice('\n')
	if err != nil {
		return 0, 0, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, false, fmt.Errorf("answer %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, false, err
	}
	length := -1
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return 0, 0, false, err
		}
		if len(line) == 2 {
			break
		}
		name, value, _ := bytes.Cut(line[:len(line)-2], []byte(": "))
		switch string(name) {
		case "Content-Length":
			length, err = strconv.Atoi(string(value))
		case "Retry-After":
			var seconds int
			seconds, err = strconv.Atoi(string(value))
			retryAfter = time.Duration(seconds) * time.Second
		case "Idempotency-Replayed":
			replayed = true
		case "Connection":
			c.closing = string(value) == "close"
		}
		if err != nil {
			return 0, 0, false, err
		}
	}
	if length < 0 {
		return 0, 0, false, errors.New("an answer without a length")
	}
	if length > c.answers.Size() {
		_, err := io.CopyN(io.Discard, c.answers, int64(length))
		return status, retryAfter, replayed, err
	}
	body, err := c.answers.Peek(length)
	if err == nil && status == http.StatusCreated {
		if !bytes.Contains(body, []byte(r.sha256)) {
			err = fmt.Errorf("the answer does not have the digest: %s", body)
		}
		if bytes.Contains(body, []byte(`"crisisText":`)) != r.flagged {
			err = fmt.Errorf("a crisis text is there or missing: %s", body)
		}
	}
	if err != nil {
		return 0, 0, false, err
	}
	_, err = c.answers.Discard(length)
	return status, retryAfter, replayed, err
}
