package handlers

import (
	"net/netip"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

// uploads counts the uploads under way and the bytes that they may still store. Small documents are not among them: see [bodies].
type uploads struct {
	mu    sync.Mutex // guards the rest
	count int
	bytes int64
	from  map[netip.Prefix]uploadsFrom
}

// uploadsFrom are those of one client.
type uploadsFrom struct {
	count int
	bytes int64
}

// enter counts one more upload of at most size bytes until leave is called. It returns a fault if there are as many
// already as there may be, in all or from this client, or if those of the client would have more than share bytes. One
// upload is taken from a client however large it is.
func (u *uploads) enter(cfg Config, from netip.Prefix, size, share int64) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if limit := cfg.MaxUploads; limit >= 0 && u.count >= limit {
		return nil, &fault{code: codeTooManyUploads, args: []any{limit}, extras: extras{Limit: int64(limit)}}
	}
	own := u.from[from]
	if limit := cfg.MaxUploadsPerAddress; limit >= 0 {
		if own.count >= limit {
			return nil, &fault{code: codeTooManyFromAddress, args: []any{limit}, extras: extras{Limit: int64(limit)}}
		}
		if own.bytes > 0 && own.bytes+size > share {
			return nil, &fault{code: codeTooManyFromAddress, detail: textShareFromAddress, args: []any{byteSize(share)}}
		}
	}
	u.add(from, 1, size)
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.add(from, -1, -size)
	}, nil
}

// add is called with mu held.
func (u *uploads) add(from netip.Prefix, count int, bytes int64) {
	u.count += count
	u.bytes += bytes
	own := u.from[from]
	own.count += count
	own.bytes += bytes
	if own.count == 0 {
		delete(u.from, from)
		return
	}
	if u.from == nil {
		u.from = map[netip.Prefix]uploadsFrom{}
	}
	u.from[from] = own
}

// reserved is how many bytes the uploads under way may store in all.
func (u *uploads) reserved() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes
}

// clientOf is the network that counts as one client: see [Config.MaxUploadsPerAddress].
func (a *API) clientOf(c *gin.Context) netip.Prefix {
	if name := a.cfg.ClientHeader; name != "" {
		// The last one is what the proxy added; those before it anybody may have sent.
		all := strings.Split(strings.Join(c.Request.Header.Values(name), ","), ",")
		if client := networkOf(strings.TrimSpace(all[len(all)-1])); client.IsValid() {
			return client
		}
	}
	return networkOf(c.Request.RemoteAddr)
}

// networkOf reads an address with or without a port. The network is not valid if it is none.
func networkOf(address string) netip.Prefix {
	withPort, err := netip.ParseAddrPort(address) // as connections have it
	addr := withPort.Addr()
	if err != nil {
		if addr, err = netip.ParseAddr(strings.Trim(address, "[]")); err != nil {
			return netip.Prefix{}
		}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}
