// Package mail implements alerts by mail: each is handed to one SMTP server (RFC 5321), which carries it on.
//
//	notify.Alert ──> text in the reader's language ──STARTTLS, AUTH──> SMTP server ──> …
//
// It promises that a mail for which [Sender.Send] returns nil has been taken by the server, and that the same alert to the same
// address has the same Message-ID however often it is sent. A mail is plain text in English or Chinese. It says which case of which
// study waits, where the case stands and how long there is, and leads to it; it has no patient, no description and no
// clinical values, for mail is read on the way and kept for ever.
//
// It does not promise that a mail is read, or that it arrives: what becomes of it behind the first server is told to the
// address of --mail-from, if at all. Nor that it comes once only: a server may have taken a mail and have died
// before it could say so. Nothing is kept here and nothing is tried again: that is up to the caller.
package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/notify"
	"casepress/study"
)

// Defaults of [Config]. The command line has them from here.
const (
	DefaultTimeout     = 20 * time.Second
	DefaultConnections = 4
	// MostConnections is as many as no server takes for an attack.
	MostConnections = 64
)

// checkEach is how often [Sender.Watch] looks.
const checkEach = 5 * time.Minute

// Security is how the way to the server is kept from others.
type Security string

// The kinds of security.
const (
	// STARTTLS begins in plain text and refuses to go on unless the server turns to TLS (RFC 3207).
	STARTTLS Security = "starttls"
	// TLS begins with TLS (RFC 8314), as on port 465.
	TLS Security = "tls"
	// NoTLS never encrypts, for a server on the same machine.
	NoTLS Security = "none"
)

// Config is what mails are sent by. The zero value of a field means its default.
type Config struct {
	// Server is host:port of the SMTP server. Required. Its certificate must be for that host.
	Server string
	// Security is how the way there is kept from others. Default [STARTTLS].
	Security Security
	// User and Password are for AUTH PLAIN or LOGIN, over TLS only; no user: there is no AUTH.
	User, Password string
	// From is who mails come from, with or without a name: "casepress <alerts@example.org>". Required. The server of its domain is
	// told of mails that did not arrive.
	From string
	// PublicURL is where people reach the page, as "https://casepress.example.org"; "": mails have no link.
	PublicURL string
	// Timeout bounds one attempt, from the look-up of the name to the last answer; waiting for a connection does not count.
	// Default 20 seconds.
	Timeout time.Duration
	// Connections is how many there are at once; a mail beyond it waits. Default 4.
	Connections int
	// Dial replaces the network, for tests; TLS says whom to trust there. Nil: the real one, and whom the system trusts.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  *tls.Config
	// Metrics is where the figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Logger hears of failures; nil discards.
	Logger *slog.Logger
}

// Sender hands mails to a server. Use [New]. It is safe for concurrent use, and holds no connection between mails.
type Sender struct {
	cfg      Config
	host     string
	from     *mail.Address
	hello    string // our name
	slots    chan struct{}
	attempts *prometheus.CounterVec
	standing atomic.Pointer[standing] // nil: not known yet
}

// standing is whether mails would be taken, as far as is known.
type standing struct{ err error }

// New returns a sender, without a look at the server: see [Sender.Check]. An error is that of [Config.Validate].
func New(c Config) (*Sender, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Security = cmp.Or(c.Security, STARTTLS)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.Connections = cmp.Or(c.Connections, DefaultConnections)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, err
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil, err
	}
	s := &Sender{cfg: c, host: host, from: from, slots: make(chan struct{}, c.Connections)}
	if s.hello, err = os.Hostname(); err != nil || s.hello == "" {
		s.hello = "localhost" // servers on the way show it, and that is all
	}
	s.attempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "casepress_mail_attempts_total", Help: "Attempts to hand a mail to the mail server: taken, failed (may be tried again), refused (the server would refuse it again).",
	}, []string{"outcome"})
	if c.Metrics != nil {
		c.Metrics.MustRegister(s.attempts, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casepress_mail_ready", Help: "1 if the mail server, when it was last looked at, would have taken mails.",
		}, func() float64 {
			if known := s.standing.Load(); known != nil && known.err == nil {
				return 1
			}
			return 0
		}))
	}
	return s, nil
}

// ConfigError says what is wrong with a field of [Config].
type ConfigError struct{ Field, Reason string }

// Error names the field.
func (e *ConfigError) Error() string { return e.Field + " " + e.Reason }

// Validate returns a [*ConfigError] for what nothing can be sent by.
func (c Config) Validate() error {
	host, port, err := net.SplitHostPort(c.Server)
	n, portErr := strconv.ParseUint(port, 10, 16)
	from, fromErr := mail.ParseAddress(c.From)
	switch {
	case err != nil, portErr != nil, n == 0, host == "", strings.ContainsFunc(host, unicode.IsSpace):
		return &ConfigError{"Server", fmt.Sprintf("must be host:port, as mail.example.org:587, not %q", c.Server)}
	case fromErr != nil || !study.IsMailAddress(from.Address):
		return &ConfigError{"From", fmt.Sprintf("must be a mail address in ASCII, as casepress <alerts@example.org>, not %q", c.From)}
	case c.Security != "" && c.Security != STARTTLS && c.Security != TLS && c.Security != NoTLS:
		return &ConfigError{"Security", fmt.Sprintf("must be %s, %s or %s, not %q", STARTTLS, TLS, NoTLS, c.Security)}
	case c.User == "" && c.Password != "":
		return &ConfigError{"Password", "needs a user"}
	case c.User != "" && c.Password == "":
		return &ConfigError{"User", "needs a password"}
	case c.User != "" && c.Security == NoTLS:
		return &ConfigError{"User", "needs TLS: a password is not sent in plain text"}
	case c.Timeout < 0:
		return &ConfigError{"Timeout", fmt.Sprintf("is %v: it must be above 0", c.Timeout)}
	case c.Connections < 0 || c.Connections > MostConnections:
		return &ConfigError{"Connections", fmt.Sprintf("is %d: it must be 1 to %d", c.Connections, MostConnections)}
	case !isPublicURL(c.PublicURL):
		return &ConfigError{"PublicURL", fmt.Sprintf("must be as https://casepress.example.org, without user, ? and #, not %q", c.PublicURL)}
	}
	return nil
}

// isPublicURL reports whether links can begin with it.
func isPublicURL(text string) bool {
	if text == "" {
		return true
	}
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && !strings.ContainsFunc(text, func(r rune) bool {
		return r == '?' || r == '#' || r <= ' ' || r > '~'
	})
}

// Send hands an alert to the server for an address of a ladder. It returns nil when the server has taken the mail, and a
// [*Failure] otherwise. It waits for a connection until ctx ends, and then takes no longer than the timeout.
func (s *Sender) Send(ctx context.Context, to study.Rung, a notify.Alert) error {
	m, err := s.compose(to, a, time.Now())
	if err != nil {
		err = &Failure{Step: "compose", Err: err}
	} else {
		err = s.talk(ctx, m)
	}
	outcome := "taken"
	var failure *Failure
	if errors.As(err, &failure) {
		outcome = "failed"
		if failure.Permanent() {
			outcome = "refused"
		}
	}
	s.attempts.WithLabelValues(outcome).Inc()
	if err == nil {
		s.note(nil)
	}
	return err
}

// Check asks the server whether it would take mails: it connects, turns to TLS and gives user and password, and no more. It
// returns a [*Failure] if not.
func (s *Sender) Check(ctx context.Context) error { return s.talk(ctx, nil) }

// Watch checks the server every 5 minutes until ctx ends: a password that is wrong should be known before the first alert. It logs
// each change.
func (s *Sender) Watch(ctx context.Context) {
	for {
		err := s.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		s.note(err)
		select {
		case <-time.After(checkEach):
		case <-ctx.Done():
			return
		}
	}
}

// note keeps what was found out about the server: by a check, or by a mail that it has taken.
func (s *Sender) note(err error) {
	before := s.standing.Swap(&standing{err})
	switch {
	case err != nil && (before == nil || before.err == nil):
		s.cfg.Logger.Error("the mail server takes no mails; it is asked again", "err", err)
	case err == nil && (before == nil || before.err != nil):
		s.cfg.Logger.Info("the mail server takes mails")
	}
}

// Unready says why the server would take no mails, as far as [Sender.Watch] knows; "" if it would, or if that is not known.
func (s *Sender) Unready() string {
	if known := s.standing.Load(); known != nil && known.err != nil {
		return known.err.Error()
	}
	return ""
}
