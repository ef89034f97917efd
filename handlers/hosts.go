package handlers

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"
)

// A web page of another site can make its own name resolve to this server's address ("DNS rebinding").
// The browser then takes the server for a part of that site and lets the page read every answer. Such a
// request still carries the page's name in Host, so only known names are answered:
//
//   - localhost and every loopback address,
//   - the address that the request came in on,
//   - on a wildcard address (0.0.0.0, [::]): every address of this machine,
//   - what [Config.Hosts] lists.
//
// The port does not matter: behind a proxy or in a container it is not ours. A request without a Host is
// answered too, because no browser sends one.

// hosts decides which names in the Host header are answered.
type hosts struct {
	names map[string]bool // of Config.Hosts
	own   cached[map[netip.Addr]bool]
}

func newHosts(names []string) *hosts {
	h := &hosts{names: map[string]bool{}, own: cached[map[netip.Addr]bool]{load: ownAddresses}}
	for _, name := range names {
		h.names[hostName(name)] = true
	}
	return h
}

// knownHost refuses a request whose Host is not a name of this server.
func (a *API) knownHost(c *gin.Context) {
	name := hostName(c.Request.Host)
	known, err := a.hosts.known(c.Request.Context(), name)
	if err == nil && !known {
		err = refuse(codeUnknownHost, printable(name), printable(name))
	}
	if err != nil {
		a.fail(c, err)
		c.Abort()
	}
}

func (h *hosts) known(ctx context.Context, name string) (bool, error) {
	if name == "" || name == "localhost" || h.names[name] {
		return true, nil
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false, nil
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() {
		return true, nil
	}
	if local, ok := localAddr(ctx.Value(http.LocalAddrContextKey)); ok && local == addr {
		return true, nil
	}
	listener, _ := ctx.Value(listenerKey{}).(net.Addr)
	if listening, ok := localAddr(listener); !ok || !listening.IsUnspecified() {
		return false, nil
	}
	own, err := h.own.get(ctx)
	return own[addr], err
}

// listenerKey is the context key of the address that a server listens on.
type listenerKey struct{}

func withListener(l net.Listener) context.Context {
	return context.WithValue(context.Background(), listenerKey{}, l.Addr())
}

func localAddr(v any) (netip.Addr, bool) {
	tcp, ok := v.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(tcp.IP)
	return addr.Unmap(), ok
}

func ownAddresses(context.Context) (map[netip.Addr]bool, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	own := make(map[netip.Addr]bool, len(all))
	for _, a := range all {
		if network, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(network.IP); ok {
				own[addr.Unmap()] = true
			}
		}
	}
	return own, nil
}

// hostName returns a Host header's name or address in one form: lower case, without port, brackets and
// final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
