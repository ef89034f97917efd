package notify

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSign(t *testing.T) {
	secret := NewSecret()
	require.Regexp(t, "^whsec_", secret)
	key, err := base64.StdEncoding.DecodeString(secret[len("whsec_"):])
	require.NoError(t, err)
	require.Len(t, key, 32)
	require.NotEqual(t, secret, NewSecret())
	at := time.Unix(1_614_265_330, 999)
	got, err := sign([]string{secret, NewSecret()}, "evt_1", at, []byte(`{"a":1}`))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(`evt_1.1614265330.{"a":1}`))
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), strings.Fields(got)[0])
	require.Len(t, strings.Fields(got), 2)
	require.NotEqual(t, messageID("a"), messageID("b"))
}

// The example of the specification's reference libraries.
func TestSignPublishedVector(t *testing.T) {
	got, err := sign([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", got)
}

func TestGuard(t *testing.T) {
	g := guard{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "2606:4700::1111": true, "64:ff9b::808:808": true, "2002:808:808::1": true,
		"10.1.2.3": true, "fd00:1::5": true, "::ffff:10.1.2.3": true, "64:ff9b::10.1.2.3": true,
		"10.2.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "0.1.2.3": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false, "224.0.0.1": false, "239.1.1.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"192.0.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "192.88.99.1": false,
		"::1": false, "::": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:2::1": false, "ff02::1": false, "fec0::1": false, "::127.0.0.1": false,
		"::ffff:127.0.0.1": false, "::ffff:192.168.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::192.168.0.1": false, "64:ff9b:1::808:808": false,
		"2002:7f00:1::1": false, "2002:c0a8:101::1": false, "2002:a9fe:a9fe::": false, "2001:0:808:808::1": false, "2001:db8::1": false, "3fff::1": false, "100::1": false, "5f00::1": false,
	} {
		err := g.check(netip.MustParseAddr(addr), false)
		require.Equal(t, want, err == nil, "%s: %v", addr, err)
		if !want {
			require.ErrorIs(t, err, ErrForbiddenAddress)
			require.ErrorContains(t, err, "--webhook-allow")
		}
	}
	require.NoError(t, g.check(netip.MustParseAddr("10.1.2.3"), true))
	require.ErrorIs(t, g.check(netip.MustParseAddr("8.8.8.8"), true), ErrForbiddenAddress, "http is for allowed networks alone")
}

func TestCheckURL(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, ok := range []string{"https://example.org", "https://example.org:8443/a?b=c", "https://[2606:4700::1111]/x", "http://hooks.internal/x", "http://10.1.1.1/x", "https://10.1.1.1"} {
		require.NoError(t, CheckURL(ok, allow), ok)
	}
	for _, wrong := range []string{
		"", "example.org", "ftp://example.org", "https://", "https:///x", "https:example.org", "https://u:p@example.org", "https://example.org/#x", "https://example.org/#",
		"https://127.0.0.1", "https://[::1]/", "http://8.8.8.8", "https://exa mple.org", "https://example.org/\n", "https://:443/", "https://example.org:0/", "https://example.org:99999/", "https://" + strings.Repeat("a", 2048),
	} {
		require.Error(t, CheckURL(wrong, allow), wrong)
	}
	require.ErrorContains(t, CheckURL("http://example.org", nil), "https")
}

func TestRetryAfterOf(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "x": 0, "9223372036854775807": 24 * time.Hour, "86401": 24 * time.Hour, "99999999999999999999": 24 * time.Hour, "1.5": 0,
		"Fri, 27 Nov 2026 12:01:00 GMT": time.Minute, "Fri, 27 Nov 2026 11:01:00 GMT": 0, "Fri, 27 Nov 2099 12:01:00 GMT": 24 * time.Hour,
	} {
		require.Equal(t, want, retryAfterOf(http.Header{"Retry-After": {text}}, now), text)
	}
}

// onLoopback is a client as the service has it, that may send to this machine.
func onLoopback(t *testing.T, timeout time.Duration) *client {
	c := newClient(Config{Timeout: timeout, PerEndpoint: 4, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(c.close)
	return c
}

// Each is a receiver on a real socket that does what receivers do.
func TestReceiversInTrouble(t *testing.T) {
	var inside atomic.Int32
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	t.Cleanup(secret.Close)
	const timeout = 300 * time.Millisecond
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		status int
		fails  string // "": it is delivered
	}{
		"takes it":                {func(http.ResponseWriter, *http.Request) {}, 200, ""},
		"takes it without a word": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, ""},
		"fails":                   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 500, "500"},
		"redirects inside": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, secret.URL, http.StatusTemporaryRedirect)
		}, 307, "307"},
		"moved": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, secret.URL, http.StatusMovedPermanently)
		}, 301, "301"},
		"is gone":                   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, 410, "410"},
		"hangs":                     {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, "no answer within 300ms"},
		"resets":                    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "EOF"},
		"sends a huge header":       {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 100<<10)) }, 0, "exceeded"},
		"never ends":                {endless, 200, ""},
		"trickles":                  {trickle, 200, ""},
		"fails with a body trickle": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503); trickle(w, r) }, 503, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client leaves
				tc.answer(w, r)
			}))
			server.Config.ErrorLog = nil
			server.Start()
			t.Cleanup(server.Close)
			limit := 10 * time.Second
			if name == "hangs" {
				limit = timeout
			}
			c := onLoopback(t, limit)
			begun := time.Now()
			got := c.send(t.Context(), server.URL, []string{NewSecret()}, "e", []byte("{}"))
			require.Less(t, time.Since(begun), 30*time.Second)
			require.Equal(t, tc.status, got.status)
			require.Equal(t, tc.status == 410, got.gone())
			if tc.fails == "" {
				require.NoError(t, got.err)
			} else {
				require.ErrorContains(t, got.err, tc.fails)
			}
		})
	}
	t.Cleanup(func() { require.Zero(t, inside.Load(), "a redirect was followed") })
}

func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 1<<10)); err != nil {
			return
		}
	}
}

// trickle ends when the client hangs up, and not before.
func trickle(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte("x"))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// What answers no HTTP, closes at once or only accepts.
func TestReceiversThatSpeakNoHTTP(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"garbage": func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); _ = c.Close() },
		"closes":  func(c net.Conn) { _ = c.Close() },
		"half":    func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-"); _ = c.Close() },
		"switches": func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c)) // an answer that comes before is none
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			_, _ = io.Copy(io.Discard, c) // until the client hangs up
		},
		"says none": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					serve(c)
				}
			}()
			timeout := time.Minute // all but one end by themselves, however busy the machine is
			if name == "says none" {
				timeout = 200 * time.Millisecond
			}
			got := onLoopback(t, timeout).send(t.Context(), "http://"+l.Addr().String(), []string{NewSecret()}, "e", []byte("{}"))
			if name == "switches" {
				require.Equal(t, http.StatusSwitchingProtocols, got.status)
			} else {
				require.Zero(t, got.status)
			}
			require.Error(t, got.err)
			require.NoError(t, l.Close())
			<-done
		})
	}
}

// What is kept of an error is whole characters, also of what a receiver has sent.
func TestReasonIsCutAtACharacter(t *testing.T) {
	require.Equal(t, "it broke", reasonOf(errors.New("it broke")))
	require.Equal(t, "x"+strings.Repeat("é", 149), reasonOf(errors.New("x"+strings.Repeat("é", 200))))
	require.Equal(t, "ab", reasonOf(errors.New("a\xffb")))
}

// The address that is dialled counts, whatever the name; and no proxy is asked.
func TestForbiddenAddressesAreNotDialled(t *testing.T) {
	var came atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	t.Setenv("HTTPS_PROXY", server.URL)
	t.Setenv("HTTP_PROXY", server.URL)
	c := newClient(Config{Timeout: 5 * time.Second, PerEndpoint: 4, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	t.Cleanup(c.close)
	for _, url := range []string{"https://localhost:" + port, "https://127.0.0.1:" + port, "http://localhost:" + port, "https://[::ffff:127.0.0.1]:" + port} {
		got := c.send(t.Context(), url, []string{NewSecret()}, "e", []byte("{}"))
		require.ErrorIs(t, got.err, ErrForbiddenAddress, url)
	}
	require.Zero(t, came.Load())
	allowed := onLoopback(t, 5*time.Second)
	got := allowed.send(t.Context(), "https://127.0.0.1:"+port, []string{NewSecret()}, "e", []byte("{}"))
	require.ErrorContains(t, got.err, "certificate", "whom nobody vouches for is not sent to")
	require.Zero(t, came.Load())

	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	c = newClient(Config{Timeout: 5 * time.Second, PerEndpoint: 4, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, TLS: &tls.Config{RootCAs: trusted}})
	t.Cleanup(c.close)
	require.NoError(t, c.send(t.Context(), "https://127.0.0.1:"+port, []string{NewSecret()}, "e", []byte("{}")).err)
	require.EqualValues(t, 1, came.Load())
}

// Why an attempt failed says nothing of the network in which casepress runs.
func TestReasonsNameNoInnerAddress(t *testing.T) {
	inner := &net.TCPAddr{IP: net.IPv4(10, 255, 255, 53), Port: 53}
	for want, err := range map[string]error{
		"the name x.example has no address":         &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "x.example", Server: inner.String(), IsNotFound: true}},
		"the name x.example could not be looked up": &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "read udp 10.0.0.1:1->" + inner.String() + ": i/o timeout", Name: "x.example"}},
		"dial: connect: connection refused":         &net.OpError{Op: "dial", Net: "tcp", Addr: inner, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"read: i/o timeout":                         &net.OpError{Op: "read", Net: "tcp", Source: inner, Addr: inner, Err: os.ErrDeadlineExceeded},
		ErrForbiddenAddress.Error():                 &net.OpError{Op: "dial", Net: "tcp", Addr: inner, Err: guard{}.check(netip.MustParseAddr("10.255.255.53"), false)},
		"EOF":                                       io.EOF,
	} {
		require.EqualError(t, withoutNetwork(err), want)
	}
	c := newClient(Config{Timeout: time.Minute})
	defer c.close()
	got := c.send(t.Context(), "https://localhost:9/", []string{NewSecret()}, "e", nil) // a name of an inner address
	require.EqualError(t, got.err, ErrForbiddenAddress.Error())
}
