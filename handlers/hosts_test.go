package handlers_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

func TestUnknownHosts(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.Hosts = []string{"Trial.example", "casepress.local:8443"} }))
	ask := func(t *testing.T, host string) answer {
		r := s.on(t).request(http.MethodGet, "/case-reports", nil)
		r.Host = host
		return s.on(t).do(r)
	}
	for _, host := range []string{
		"localhost", "localhost:1234", "LOCALHOST.", "127.0.0.1", "127.5.5.5:80", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]",
		"trial.example", "TRIAL.example.:443", "casepress.local",
	} {
		t.Run(host, func(t *testing.T) { ask(t, host).is(200) })
	}
	for _, host := range []string{
		"evil.example", "evil.example:8080", "trial.example.evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.1.2.3",
		"[2001:db8::1]", "0.0.0.0", "x.localhost",
	} {
		t.Run(host, func(t *testing.T) {
			a := ask(t, host).is(421, "unknown-host")
			require.Contains(t, a.get("detail"), "--hosts")
			require.NotContains(t, a.json(), "stored")
		})
	}
	t.Run("everything is refused", func(t *testing.T) {
		for _, path := range []string{"/", "/app.js", "/openapi.yaml", "/healthz", "/case-reports/r1", "/images/i?patientId=P1", "/nothing"} {
			r := s.on(t).request(http.MethodGet, path, nil)
			r.Host = "evil.example"
			s.on(t).do(r).is(421, "unknown-host")
		}
		r := s.on(t).request(http.MethodPost, "/upload-case-report", nil)
		r.Host = "evil.example"
		require.Equal(t, false, s.on(t).do(r).is(421, "unknown-host").get("stored"))
	})
	t.Run("the private address", func(t *testing.T) {
		for host, status := range map[string]int{"localhost:8081": 200, "trial.example": 200, "evil.example": 421} {
			for _, path := range []string{"/metrics", "/debug/pprof/heap", "/healthz"} {
				w := httptest.NewRecorder()
				s.API.Admin().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+path, nil))
				require.Equal(t, status, w.Code, "%s %s", host, path)
			}
		}
	})
}

// On a wildcard address every address of the machine is a name of the server; on one address only that.
func TestHostsOfTheMachine(t *testing.T) {
	own := ownAddress(t)
	s := open(t)
	ask := func(listen, host string) int {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", listen)
		require.NoError(t, err)
		server := s.API.Server()
		var wg sync.WaitGroup
		wg.Go(func() { _ = server.Serve(l) })
		defer wg.Wait()
		defer func() { require.NoError(t, server.Shutdown(context.Background())) }()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		address, _, err := net.SplitHostPort(listen)
		require.NoError(t, err)
		if address == "0.0.0.0" {
			address = "127.0.0.1"
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(address, port)+"/healthz", nil)
		require.NoError(t, err)
		r.Host = host
		response, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	require.Equal(t, 200, ask("0.0.0.0:0", own))
	require.Equal(t, 421, ask("0.0.0.0:0", "192.0.2.1"))
	require.Equal(t, 421, ask("127.0.0.1:0", own), "it is not reached by this address")
	require.Equal(t, 200, ask(net.JoinHostPort(own, "0"), own+":80"))
}

// ownAddress is an IPv4 address of this machine other than loopback.
func ownAddress(t *testing.T) string {
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.To4() != nil && !network.IP.IsLoopback() {
			return network.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// A browser must not show our pictures in a page of another site.
func TestPicturesStayOnTheirSite(t *testing.T) {
	s := open(t)
	s.uploadOne("r1")
	s.final("r1")
	for _, path := range []string{"/", "/case-reports/r1", "/case-reports/r1/images/1", "/case-reports/r1/report.pdf", "/nothing"} {
		require.Equal(t, "same-origin", s.get(path).Header.Get("Cross-Origin-Resource-Policy"), path)
	}
}
