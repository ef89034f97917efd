package notify

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrForbiddenAddress says that events are not sent to an address: it is within the network of whoever runs the service, or
// is no address of one host, and no --webhook-allow names it.
var ErrForbiddenAddress = errors.New("events are not sent to this address unless --webhook-allow names its network")

// maxURL is the longest address of an endpoint, in bytes.
const maxURL = 2048

// A guard keeps whoever registers an endpoint from reaching services of the network in which casepress runs (SSRF). It looks
// at the address that is dialled, after its name was resolved, so that a name whose address changes in between gains nothing.
type guard struct {
	allow []netip.Prefix // addresses that are allowed although they would be forbidden, and over http
}

// CheckURL refuses an address that nothing would ever be sent to. That its name stands for an allowed address it does not
// check: that may change, and is looked at whenever something is sent.
func CheckURL(text string, allow []netip.Prefix) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return fmt.Errorf("is longer than %d bytes", maxURL)
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must be an absolute address, as https://example.org/casepress")
	case !isPort(u.Port()):
		return errors.New("must have a port from 1 to 65535, or none")
	case u.User != nil:
		return errors.New("must have no user and password: what is sent is signed")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return errors.New("must have no #")
	case u.Scheme == "http" && len(allow) == 0:
		return errors.New("must begin with https: over http events are sent to networks of --webhook-allow alone")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return guard{allow}.check(addr, u.Scheme == "http")
	}
	return nil
}

// isPort reports whether a connection can be made to the port; "" is that of the scheme.
func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && port > 0
}

// controlFor returns the check for [net.Dialer.Control] of connections for https, or for http, which must lie within what is
// allowed.
func (g guard) controlFor(plain bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return err
		}
		return g.check(addr, plain)
	}
}

func (g guard) check(addr netip.Addr, plain bool) error {
	addr = addr.Unmap().WithZone("")
	inner, embeds := embedded(addr)
	if g.allows(addr) || embeds && g.allows(inner) {
		return nil
	}
	switch {
	case plain:
		return fmt.Errorf("%w: %s, over http", ErrForbiddenAddress, addr)
	case !isPublic(addr), embeds && !isPublic(inner):
		return fmt.Errorf("%w: %s", ErrForbiddenAddress, addr)
	}
	return nil
}

func (g guard) allows(addr netip.Addr) bool {
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// special are blocks of the IANA special-purpose address registries (RFC 6890) that are no hosts of the Internet, beside
// those that package netip knows. Of IPv6 only 2000::/3 and the well-known prefix of NAT64 are looked at.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), // and broadcast
	netip.MustParsePrefix("2001::/23"),   // Teredo, ORCHID and others
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour     = netip.MustParsePrefix("2002::/16")
)

func isPublic(addr netip.Addr) bool {
	if addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
		return false
	}
	if addr.Is6() && !globalUnicast.Contains(addr) && !nat64.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// embedded is the IPv4 address that packets to an IPv6 address end up at: behind NAT64 (RFC 6052), or by 6to4 (RFC 3056).
func embedded(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case addr.Is4():
		return netip.Addr{}, false
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
