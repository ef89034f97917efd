package handlers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func urgentRoom() *bodies { return &bodies{max: maxUrgent, maxFrom: maxUrgentFrom} }

// alone is what a body of those requests counts for itself.
var alone = int(bodyOverhead + headerMemory(httptest.NewRequest(http.MethodPost, "/adverse-events", nil)))

// bodySender is a request whose body comes as the test sends it.
type bodySender struct {
	*testing.T
	body *io.PipeWriter
	read chan error // its end
	end  func()
}

// send lets a request in, and sends the first bytes of its body.
func send(t *testing.T, u *bodies, from netip.Prefix, first int) *bodySender {
	t.Helper()
	r, w := io.Pipe()
	request := httptest.NewRequest(http.MethodPost, "/adverse-events", r)
	leave, err := u.enter(from, request, func() { require.NoError(t, r.Close()) })
	require.NoError(t, err)
	s := &bodySender{t, w, make(chan error, 1), func() { leave(); _ = w.Close() }}
	go func() {
		_, err := io.Copy(io.Discard, request.Body)
		s.read <- err
	}()
	s.more(first)
	return s
}

func (s *bodySender) more(n int) {
	s.Helper()
	_, err := s.body.Write(make([]byte, n))
	require.NoError(s, err)
	synctest.Wait()
}

// gaveWay reports whether the body was let go.
func (s *bodySender) gaveWay() bool {
	s.Helper()
	synctest.Wait()
	select {
	case err := <-s.read:
		require.Equal(s, codeTrickle, asFault(err).code)
		return true
	default:
		return false
	}
}

// A body takes no more room than it has sent, however many others trickle.
func TestBodiesThatTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := urgentRoom()
		var slow []*bodySender
		for i := range 256 {
			slow = append(slow, send(t, u, client(byte(i)), 1))
		}
		require.EqualValues(t, 256*(alone+1), u.bytes)
		time.Sleep(time.Minute)
		send(t, u, client(1), 64<<10).end()
		for _, s := range slow {
			require.False(t, s.gaveWay(), "there is room")
			s.end()
		}
		require.Zero(t, u.bytes)
		require.Empty(t, u.from)
		require.Empty(t, u.all)
	})
}

// Where a client's share is taken, its slowest body gives way, and nobody else's.
func TestBodiesOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		half := maxUrgentFrom/2 - alone
		u := urgentRoom()
		other := send(t, u, client(2), 1)
		first, second := send(t, u, client(1), half-1), send(t, u, client(1), half)
		defer func() { other.end(); first.end(); second.end() }()
		_, err := u.enter(client(1), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")), nil)
		require.Equal(t, codeOverloaded, asFault(err).code, "nobody has been slow yet")
		time.Sleep(slowAfter)
		third := send(t, u, client(1), 1)
		defer third.end()
		require.True(t, first.gaveWay())
		require.False(t, second.gaveWay())
		require.False(t, other.gaveWay())
	})
}

// Where all is taken, it is the client with most that gives way, and of its bodies the slowest; never one that is whole.
func TestBodiesOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := urgentRoom()
		poor := send(t, u, client(1), 1)
		defer poor.end()
		time.Sleep(time.Hour) // so it is by far the slowest
		whole := send(t, u, client(2), maxUrgentFrom-alone)
		defer whole.end()
		require.NoError(t, whole.body.Close())
		synctest.Wait()
		require.NoError(t, <-whole.read)
		var rich []*bodySender
		for i := byte(3); u.bytes+2*(maxUrgentFrom/2) <= maxUrgent; i++ {
			rich = append(rich, send(t, u, client(i), maxUrgentFrom/2-alone), send(t, u, client(i), maxUrgentFrom/2-alone-int(i)))
			defer rich[len(rich)-2].end()
			defer rich[len(rich)-1].end()
		}
		time.Sleep(slowAfter)
		most := send(t, u, client(9), int(maxUrgent-u.bytes)-alone)
		defer most.end()
		require.EqualValues(t, maxUrgent, u.bytes)
		last := send(t, u, client(10), 1)
		defer last.end()
		var gone []int
		for i, s := range rich {
			if s.gaveWay() {
				gone = append(gone, i)
			}
		}
		require.Equal(t, []int{1}, gone)
		require.False(t, poor.gaveWay())
		require.False(t, most.gaveWay())
	})
}

// A header takes room for its bytes and its lines, from before the first byte of the body.
func TestBodiesWithLongHeaders(t *testing.T) {
	u := urgentRoom()
	count := func(header http.Header) int64 {
		r := httptest.NewRequest(http.MethodPost, "/adverse-events", strings.NewReader("{}"))
		r.Header = header
		leave, err := u.enter(client(1), r, nil)
		require.NoError(t, err)
		defer leave()
		return u.bytes
	}
	bare := count(nil)
	require.GreaterOrEqual(t, count(http.Header{"A": {strings.Repeat("x", 10_000)}}), bare+10_000)
	many := http.Header{}
	for i := range 100 {
		many.Add("A", string(rune('a'+i%26)))
	}
	require.GreaterOrEqual(t, count(many), bare+100*lineMemory)
	require.Zero(t, u.bytes)
}
