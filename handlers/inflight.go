package handlers

import (
	"net/netip"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

// uploads counts the uploads under way and the bytes that they may still store.
type uploads struct {
	mu    sync.Mutex // guards the rest
	count int
	from  map[netip.Prefix]int // how many of them by client
	bytes int64
	small int64 // of them those of small bodies, which are not in count
}

// maxSmall bounds the bytes of small bodies under way. They are held in memory, and thousands of phones send one of
// a few hundred bytes each at the same hour: so they do not count as uploads, of which there may be few.
const maxSmall = 16 << 20

// enter counts one more upload of at most size bytes until leave is called. It returns a fault if there are as many
// already as there may be, in all or from this client. small says that it is a body that can only be small.
func (u *uploads) enter(cfg Config, from netip.Prefix, size int64, small bool) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	one, smallSize := 1, int64(0)
	if small {
		one, smallSize = 0, size
	}
	if u.small+smallSize > maxSmall {
		return nil, &fault{code: codeOverloaded}
	}
	if limit := cfg.MaxUploads; limit >= 0 && u.count+one > limit {
		return nil, &fault{code: codeTooManyUploads, args: []any{limit}, extras: extras{Limit: int64(limit)}}
	}
	if limit := cfg.MaxUploadsPerAddress; limit >= 0 && u.from[from] >= limit {
		return nil, &fault{code: codeTooManyFromAddress, args: []any{limit}, extras: extras{Limit: int64(limit)}}
	}
	u.count += one
	u.bytes += size
	u.small += smallSize
	if u.from == nil {
		u.from = map[netip.Prefix]int{}
	}
	u.from[from]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.count -= one
		u.bytes -= size
		u.small -= smallSize
		if u.from[from]--; u.from[from] == 0 {
			delete(u.from, from)
		}
	}, nil
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
