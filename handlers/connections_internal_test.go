package handlers

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// connectionFrom is a connection of a client. It is closed when the test ends.
type connectionFrom struct {
	net.Conn
	from string
}

func (c connectionFrom) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}

func boundConnections(most, mostFrom int) *connections {
	return newConnections(Config{MaxConnections: most, MaxConnectionsPerAddress: mostFrom}.withDefaults(), slog.New(slog.DiscardHandler))
}

// enterFrom lets a new connection of an address in, or returns why not. busy says that its header has come.
func enterFrom(t *testing.T, u *connections, from string, busy bool) (counted, gaveWay *countedConn, wrong *fault) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
	counted, gaveWay, wrong = u.enter(connectionFrom{here, from})
	if wrong == nil {
		u.changed(counted, http.StateNew)
		if busy {
			u.changed(counted, http.StateActive)
		}
	}
	return counted, gaveWay, wrong
}

// Connections count for their client, an IPv6 address with its network, until they are closed, once.
func TestConnectionsOfOneAddress(t *testing.T) {
	u := boundConnections(5, 2)
	var open []*countedConn
	for _, from := range []string{"192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1", "[2001:db8::ffff:1]:1"} {
		c, _, wrong := enterFrom(t, u, from, true)
		require.Nil(t, wrong)
		open = append(open, c)
	}
	for _, from := range []string{"192.0.2.1:3", "[2001:db8::2]:1"} {
		_, gaveWay, wrong := enterFrom(t, u, from, true)
		require.Nil(t, gaveWay)
		require.Equal(t, codeTooManyConnectionsFromAddress, wrong.code)
	}
	_, _, wrong := enterFrom(t, u, "192.0.2.2:1", true)
	require.Nil(t, wrong)
	_, _, wrong = enterFrom(t, u, "192.0.2.3:1", true)
	require.Equal(t, codeTooManyConnections, wrong.code)

	require.NoError(t, open[0].Close())
	require.NoError(t, open[0].Close(), "which counts once")
	u.changed(open[0], http.StateClosed)
	u.changed(open[0], http.StateIdle) // what came late
	require.EqualValues(t, 4, u.open())
	_, _, wrong = enterFrom(t, u, "192.0.2.1:4", true)
	require.Nil(t, wrong)
	_, _, wrong = enterFrom(t, u, "192.0.2.1:5", true)
	require.Equal(t, codeTooManyConnectionsFromAddress, wrong.code)
}

// Who has waited for longest without a request gives way: one of the client where its own share is taken, one of anybody
// where all is; and one whose first header is still to come only if it is slow.
func TestConnectionsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := boundConnections(4, 2)
		one, _, _ := enterFrom(t, u, "192.0.2.1:1", true)
		two, _, _ := enterFrom(t, u, "192.0.2.2:1", true)
		u.changed(two, http.StateIdle)
		u.changed(one, http.StateIdle)
		_, _, wrong := enterFrom(t, u, "192.0.2.1:2", true)
		require.Nil(t, wrong)
		three, gaveWay, wrong := enterFrom(t, u, "192.0.2.1:3", false)
		require.Nil(t, wrong)
		require.Same(t, one, gaveWay)
		_, gaveWay, wrong = enterFrom(t, u, "192.0.2.1:4", true)
		require.Nil(t, gaveWay)
		require.Equal(t, codeTooManyConnectionsFromAddress, wrong.code, "none is idle, and none is slow")

		_, _, wrong = enterFrom(t, u, "192.0.2.2:2", true)
		require.Nil(t, wrong)
		_, gaveWay, wrong = enterFrom(t, u, "192.0.2.3:1", true)
		require.Nil(t, wrong)
		require.Same(t, two, gaveWay)
		_, _, wrong = enterFrom(t, u, "192.0.2.3:2", true)
		require.Equal(t, codeTooManyConnections, wrong.code)
		time.Sleep(slowAfter)
		_, gaveWay, wrong = enterFrom(t, u, "192.0.2.3:2", true)
		require.Nil(t, wrong)
		require.Same(t, three, gaveWay)
		require.EqualValues(t, 4, u.open())
		require.Zero(t, u.waiting.Len())
	})
}

// One that is idle gives way also where one that is new has waited for longer.
func TestConnectionsThatWaitBehindNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := boundConnections(2, -1)
		_, _, wrong := enterFrom(t, u, "192.0.2.1:1", false)
		require.Nil(t, wrong)
		idle, _, wrong := enterFrom(t, u, "192.0.2.2:1", true)
		require.Nil(t, wrong)
		u.changed(idle, http.StateIdle)
		_, gaveWay, wrong := enterFrom(t, u, "192.0.2.3:1", true)
		require.Nil(t, wrong)
		require.Same(t, idle, gaveWay)
	})
}

func TestConnectionsWithoutLimit(t *testing.T) {
	u := boundConnections(-1, -1)
	for range 100 {
		_, gaveWay, wrong := enterFrom(t, u, "192.0.2.1:1", true)
		require.Nil(t, wrong)
		require.Nil(t, gaveWay)
	}
}
