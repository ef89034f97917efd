package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"casepress/tasks"
)

// What a receiver can make casepress keep or wait for.
const (
	maxAnswerHeader = 64 << 10
	maxAnswerBody   = 4 << 10 // is read, so that the connection can be used again, and not kept
	answerBodyTime  = time.Second
	dialTimeout     = 10 * time.Second
)

// client sends to endpoints: over https to public addresses, and to all that are allowed. It follows no redirect and asks no
// proxy.
type client struct {
	timeout       time.Duration
	secure, plain *http.Transport
}

func newClient(c Config) *client {
	g := guard{c.Allow}
	return &client{timeout: c.Timeout, secure: newTransport(c, g, false), plain: newTransport(c, g, true)}
}

func newTransport(c Config, g guard, plain bool) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: g.controlFor(plain)}
	dial := dialer.DialContext
	if c.Dial != nil {
		dial = c.Dial
	}
	return &http.Transport{
		DialContext: dial, TLSClientConfig: c.TLS.Clone(), TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxAnswerHeader, MaxIdleConnsPerHost: c.PerEndpoint, IdleConnTimeout: time.Minute,
	}
}

func (c *client) close() {
	c.secure.CloseIdleConnections()
	c.plain.CloseIdleConnections()
}

// body is what is sent: the payload of Standard Webhooks.
type body struct {
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Data      tasks.ToldEvent `json:"data"`
}

// answer is what came of an attempt.
type answer struct {
	status     int           // 0: there was none
	retryAfter time.Duration // that the receiver asked for
	err        error         // nil: the receiver has the event
}

// gone says that the receiver wants nothing more.
func (a answer) gone() bool { return a.status == http.StatusGone }

// withoutNetwork returns what failed without the names and addresses of the network in which casepress runs: whoever registers
// endpoints sees the reason, and could ask for hosts and servers one by one.
func withoutNetwork(err error) error {
	lookup, isLookup := errors.AsType[*net.DNSError](err)
	operation, isOperation := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, ErrForbiddenAddress):
		return ErrForbiddenAddress
	case isLookup && lookup.IsNotFound:
		return fmt.Errorf("the name %s has no address", lookup.Name)
	case isLookup:
		return fmt.Errorf("the name %s could not be looked up", lookup.Name)
	case isOperation:
		return fmt.Errorf("%s: %w", operation.Op, operation.Err)
	}
	return err
}

// send makes one attempt. It returns within the timeout.
func (c *client) send(ctx context.Context, url string, secrets []string, eventID string, payload []byte) answer {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %v", c.timeout))
	defer cancel()
	now := time.Now()
	id := messageID(eventID)
	signature, err := sign(secrets, id, now, payload)
	if err != nil {
		return answer{err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return answer{err: err}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "casepress")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", signature)
	transport := c.secure
	if r.URL.Scheme == "http" {
		transport = c.plain
	}
	response, err := transport.RoundTrip(r) // and so follows no redirect
	if err != nil {
		if cause := context.Cause(ctx); ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = cause
		}
		return answer{err: withoutNetwork(err)}
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	a := answer{status: response.StatusCode, retryAfter: retryAfterOf(response.Header, time.Now())}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		a.err = fmt.Errorf("the receiver answered %d", response.StatusCode)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return a // nobody asked for it, and its body is the connection, which no context ends
	}
	// The answer is known; a body that trickles must not hold the place of another event.
	stop := time.AfterFunc(answerBodyTime, cancel)
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswerBody)
	stop.Stop()
	return a
}
