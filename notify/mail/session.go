package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// maxAnswers is how much the server may say in one session, in bytes, certificates included: the library reads lines of
	// any length.
	maxAnswers = 256 << 10
	// quitTimeout is how long the server may take to say goodbye. The mail is taken by then.
	quitTimeout = time.Second
)

// The steps of a session, as [Failure] names them.
const (
	stepCompose  = "compose"
	stepConnect  = "connect"
	stepGreeting = "greeting"
	stepHello    = "EHLO"
	stepStartTLS = "STARTTLS"
	stepAuth     = "AUTH"
	stepMail     = "MAIL FROM"
	stepRcpt     = "RCPT TO"
	stepData     = "DATA"
)

// talk has one session with the server, on a connection of its own. Without a mail it ends where one would begin. An error is a
// [*Failure].
func (s *Sender) talk(ctx context.Context, m *message) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return failed(ctx, stepConnect, context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, fmt.Errorf("no answer within %v", s.cfg.Timeout))
	defer cancel()
	conn, err := s.cfg.Dial(ctx, "tcp", s.cfg.Server)
	if err != nil {
		return failed(ctx, stepConnect, err)
	}
	// The library knows no context. It cannot stay in a call on a connection that is closed.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		stop()
		_ = conn.Close() // it is of no use any more, and what counts was answered
	}()
	session := &session{sender: s, step: stepConnect}
	if err := session.guarded(ctx, &limitedConn{conn, maxAnswers}, m); err != nil {
		f := failed(ctx, session.step, err)
		if m != nil {
			f.to = m.to
		}
		return f
	}
	return nil
}

// session is what is said on one connection.
type session struct {
	sender *Sender
	step   string
}

// guarded turns a panic of the library, which reads what the server sends, into an error.
func (x *session) guarded(ctx context.Context, conn net.Conn, m *message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return x.run(ctx, conn, m)
}

func (x *session) run(ctx context.Context, conn net.Conn, m *message) error {
	client, err := x.open(ctx, conn)
	if err != nil {
		return err
	}
	if m != nil {
		if err := x.deliver(client, m); err != nil {
			return err
		}
	}
	// Whether the server says goodbye says nothing about the mail.
	if conn.SetDeadline(time.Now().Add(quitTimeout)) == nil {
		_ = client.Quit()
	}
	return nil
}

// open comes as far as MAIL FROM.
func (x *session) open(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	s := x.sender
	if s.cfg.Security == TLS {
		secure := tls.Client(conn, s.tlsConfig())
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	x.step = stepGreeting
	client, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return nil, err
	}
	client.SkipSMTPUTF8(true) // addresses are ASCII, and a mail that asks for it is refused by servers on the way that lack it
	x.step = stepHello
	if err := client.Hello(s.hello); err != nil {
		return nil, err
	}
	if s.cfg.Security == STARTTLS {
		x.step = stepStartTLS
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return nil, errors.New("the server does not offer it, and nothing is sent in plain text")
		}
		if err := client.StartTLS(s.tlsConfig()); err != nil {
			return nil, err
		}
	}
	if s.cfg.User != "" {
		x.step = stepAuth
		auth, err := s.auth(client)
		if err != nil {
			return nil, err
		}
		if err := client.Auth(auth); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// deliver hands the mail over.
func (x *session) deliver(client *smtp.Client, m *message) error {
	x.step = stepMail
	if err := client.Mail("<" + m.from + ">"); err != nil {
		return err
	}
	x.step = stepRcpt
	if err := client.Rcpt("<" + m.to + ">"); err != nil {
		return err
	}
	x.step = stepData
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.content); err != nil {
		return err // and not closed: half a mail must not end as a whole one
	}
	return w.Close()
}

func (s *Sender) tlsConfig() *tls.Config {
	c := s.cfg.TLS.Clone()
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.ServerName = s.host
	return c
}

// auth chooses a mechanism. Both hand the password over, which TLS allows.
func (s *Sender) auth(client *smtp.Client) (smtp.Auth, error) {
	_, offered := client.Extension("AUTH")
	switch mechanisms := strings.Fields(strings.ToUpper(offered)); {
	case slices.Contains(mechanisms, "PLAIN"):
		return smtp.PlainAuth("", s.cfg.User, s.cfg.Password, s.host, false), nil
	case slices.Contains(mechanisms, "LOGIN"):
		return smtp.LoginAuth(s.cfg.User, s.cfg.Password, s.host, false), nil
	}
	return nil, errors.New("the server offers neither PLAIN nor LOGIN")
}

// limitedConn is a connection that ends after so many bytes were read. One goroutine reads.
type limitedConn struct {
	net.Conn
	left int
}

func (c *limitedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		_ = c.Conn.Close() // nobody must wait for it any longer
		return 0, fmt.Errorf("the server has said more than %d KiB", maxAnswers>>10)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
