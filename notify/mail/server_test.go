package mail_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"casepress/notify/mail"
)

// received is a mail as a server has taken it.
type received struct {
	from   string
	to     []string
	secure bool
	header netmail.Header
	raw    []byte
	body   string // decoded
}

func (r received) subject(t *testing.T) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(r.header.Get("Subject"))
	require.NoError(t, err)
	return text
}

// server is a real SMTP server, on the loopback interface.
type server struct {
	*smtp.Server
	address string
	user    string // "": there is no AUTH
	login   bool   // AUTH LOGIN in place of PLAIN
	trust   *tls.Config

	mu  sync.Mutex // guards got
	got []received
}

// startServer starts a server whose certificate is for name.
func startServer(t *testing.T, name string, change ...func(*server)) *server {
	t.Helper()
	certificate, pool := newCertificate(t, name)
	s := &server{trust: &tls.Config{RootCAs: pool}}
	s.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &serverSession{server: s, conn: c}, nil
	}))
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.Domain, s.ErrorLog = name, quiet{}
	s.ReadTimeout, s.WriteTimeout = time.Minute, time.Minute
	for _, f := range change {
		f(s)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = listener.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(listener) })
	t.Cleanup(func() {
		_ = s.Close()        // which says that listeners are closed already, if they are
		_ = listener.Close() // the server does not know it, if it has not begun yet
		wg.Wait()
	})
	return s
}

// implicitTLS makes a server that begins with TLS.
func (s *server) implicitTLS(t *testing.T) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", s.TLSConfig)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(listener) })
	t.Cleanup(func() {
		_ = listener.Close() // which is all that ends Serve here
		wg.Wait()
	})
	return listener.Addr().String()
}

func (s *server) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received{}, s.got...)
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

type serverSession struct {
	server        *server
	conn          *smtp.Conn
	authenticated bool
	mail          received
}

func (x *serverSession) AuthMechanisms() []string {
	switch {
	case x.server.user == "":
		return nil
	case x.server.login:
		return []string{sasl.Login}
	}
	return []string{sasl.Plain}
}

func (x *serverSession) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != x.server.user || password != goodPassword {
			return smtp.ErrAuthFailed
		}
		x.authenticated = true
		return nil
	}
	if mechanism == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// loginServer is AUTH LOGIN, which go-sasl has for clients alone.
type loginServer struct {
	check func(user, password string) error
	said  []string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		l.said = append(l.said, string(response))
	}
	switch len(l.said) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.said[0], l.said[1])
}

func (x *serverSession) Mail(from string, _ *smtp.MailOptions) error {
	if x.server.user != "" && !x.authenticated {
		return smtp.ErrAuthRequired
	}
	_, secure := x.conn.TLSConnectionState()
	x.mail = received{from: from, secure: secure}
	return nil
}

func (x *serverSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.mail.to = append(x.mail.to, to)
	return nil
}

func (x *serverSession) Data(r io.Reader) (err error) {
	if x.mail.raw, err = io.ReadAll(r); err != nil {
		return err
	}
	if x.mail.header, x.mail.body, err = parse(x.mail.raw); err != nil {
		return err
	}
	x.server.mu.Lock()
	defer x.server.mu.Unlock()
	x.server.got = append(x.server.got, x.mail)
	return nil
}

func (x *serverSession) Reset()        { x.mail = received{} }
func (x *serverSession) Logout() error { return nil }

// newCertificate makes a certificate that signs itself, and those who trust it.
func newCertificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// What a scripted server does in place of an answer.
const (
	hangs    = "hangs"
	drops    = "drops"
	trickles = "trickles" // a byte a second, without end
	floods   = "floods"   // one line without end
	stalls   = "stalls"   // asks for the mail and does not read it
)

// script is a server that does one thing wrong: what it answers to a command, without "\r\n", if that is not what is right.
// "greeting" is before all commands, "content" after the final dot.
type script map[string]string

var right = script{
	"greeting": "220 mail.example.org", "EHLO": "250 mail.example.org", "MAIL": "250 2.1.0 OK", "RCPT": "250 2.1.5 OK",
	"DATA": "354 go on", "content": "250 2.0.0 taken", "QUIT": "221 2.0.0 bye",
}

// dial connects to a server of its own, in the bubble of a test.
func (s script) dial(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		wg.Go(func() { s.serve(there) })
		return here, nil
	}
}

func (s script) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	if !s.answer(conn, "greeting") {
		return
	}
	for lines.Scan() {
		command, _, _ := strings.Cut(lines.Text(), " ")
		if !s.answer(conn, command) {
			return
		}
		if command != "DATA" {
			continue
		}
		for lines.Scan() && lines.Text() != "." {
		}
		if !s.answer(conn, "content") {
			return
		}
	}
}

// answer reports whether the session goes on.
func (s script) answer(conn net.Conn, to string) bool {
	reply, set := s[to]
	if !set {
		reply = right[to]
	}
	switch reply {
	case drops:
		return false
	case hangs:
		_, _ = io.Copy(io.Discard, conn)
		return false
	case stalls:
		if _, err := io.WriteString(conn, "354 go on\r\n"); err == nil {
			_, _ = conn.Write([]byte("2")) // which nobody reads, either
		}
		return false
	case trickles:
		second := time.NewTicker(time.Second) // of the bubble
		defer second.Stop()
		for {
			if _, err := conn.Write([]byte("2")); err != nil {
				return false
			}
			<-second.C
		}
	case floods:
		for {
			if _, err := conn.Write(bytes.Repeat([]byte("x"), 1<<10)); err != nil {
				return false
			}
		}
	}
	_, err := io.WriteString(conn, reply+"\r\n")
	return err == nil
}

// newSender makes a sender to a server that is trusted.
func newSender(t *testing.T, s *server, change ...func(*mail.Config)) *mail.Sender {
	t.Helper()
	c := mail.Config{Server: s.address, From: "casepress <alerts@example.org>", PublicURL: "https://casepress.example.org/", TLS: s.trust}
	for _, f := range change {
		f(&c)
	}
	sender, err := mail.New(c)
	require.NoError(t, err)
	return sender
}

var errUnexpected = errors.New("unexpected")

// parse reads a mail as programs that read mail do.
func parse(raw []byte) (netmail.Header, string, error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, "", err
	}
	mediaType, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || mediaType != "text/plain" || !strings.EqualFold(parameters["charset"], "utf-8") {
		return nil, "", fmt.Errorf("%w: content type %q: %w", errUnexpected, m.Header.Get("Content-Type"), err)
	}
	if encoding := m.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
		return nil, "", fmt.Errorf("%w: transfer encoding %q", errUnexpected, encoding)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	return m.Header, strings.ReplaceAll(string(body), "\r\n", "\n"), err
}
