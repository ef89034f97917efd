package handlers

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Requests over HTTP/2 are bounded for each client and in all until they are answered; those over HTTP/1.1 count as their connections.
func TestRequestsOverHTTP2(t *testing.T) {
	u := boundConnections(3, 2)
	begun, end := make(chan struct{}), make(chan struct{})
	h := u.boundRequests(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	}))
	ask := func(from string, major int) (refused bool) {
		r := httptest.NewRequest(http.MethodGet, "/limits", nil)
		r.RemoteAddr, r.ProtoMajor = from, major
		defer func() {
			abort, _ := recover().(error)
			refused = errors.Is(abort, http.ErrAbortHandler)
		}()
		h.ServeHTTP(httptest.NewRecorder(), r)
		return false
	}
	answers := make(chan bool)
	hold := func(from string, major int) {
		go func() { answers <- ask(from, major) }()
		<-begun
	}
	hold("192.0.2.1:1", 2)
	hold("192.0.2.1:1", 2)
	require.True(t, ask("192.0.2.1:2", 2), "of one client")
	hold("192.0.2.2:1", 2)
	require.True(t, ask("192.0.2.3:1", 2), "in all")
	hold("192.0.2.1:3", 1)
	for range 4 {
		end <- struct{}{}
		require.False(t, <-answers)
	}
	hold("192.0.2.1:1", 2)
	close(end)
	require.False(t, <-answers)
	require.Empty(t, u.requestsFrom)
	require.Zero(t, u.requests)
}

// Connections that speak HTTP/2 are fewer, for each takes more memory.
func TestConnectionsOfHTTP2(t *testing.T) {
	u := boundConnections(2*maxHTTP2, 2*maxHTTP2From)
	speak := func(from string) (*countedConn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
		c, _, wrong := u.enter(connectionFrom{here, from})
		require.Nil(t, wrong)
		u.changed(c, http.StateNew)
		go func() { _, _ = io.WriteString(there, http2Preface+"\r\n\r\n") }()
		_, err := io.ReadAtLeast(c, make([]byte, 64), len(http2Preface)+4)
		return c, err
	}
	var all []*countedConn
	for client := range maxHTTP2 / maxHTTP2From {
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(client)}).String() + ":1"
		for range maxHTTP2From {
			c, err := speak(from)
			require.NoError(t, err)
			all = append(all, c)
		}
		c, err := speak(from)
		require.ErrorIs(t, err, io.EOF, "of one client")
		require.NoError(t, c.Close())
	}
	c, err := speak("192.0.2.99:1")
	require.ErrorIs(t, err, io.EOF, "in all")
	require.NoError(t, c.Close())
	require.NoError(t, all[0].Close())
	last, err := speak("192.0.2.99:1")
	require.NoError(t, err)
	for _, c := range append(all, last) {
		require.NoError(t, c.Close())
	}
	require.Zero(t, u.http2)
	require.Empty(t, u.from)
}

// An answer that the client does not take counts, also one that is short enough for net/http to keep until its handler has
// returned. A request that is one too many is reset.
func TestRequestsOverHTTP2WhoseAnswersAreNotTaken(t *testing.T) {
	u := boundConnections(10, 2)
	c := serveHTTP2(t, u.boundRequests(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })))
	write(t, c, frameSettings, 0, 0, []byte{0, 4, 0, 0, 0, 0}) // INITIAL_WINDOW_SIZE is 0
	// :method GET, :scheme http and :path / of the static table of HPACK, and :authority "a"
	const question = "\x82\x86\x84\x41\x01a"
	for stream := range uint32(3) {
		write(t, c, frameHeaders, 5, 2*stream+1, []byte(question))
	}
	frame := await(t, c, frameReset)
	require.Contains(t, []uint32{1, 3, 5}, frame.stream)
}

// A connection keeps no more of a frame than the smallest that HTTP/2 lets a server bound, and of bodies that nobody reads no
// more than is said.
func TestFramesOfHTTP2(t *testing.T) {
	c := serveHTTP2(t, http.NotFoundHandler())
	settings := map[uint16]uint32{}
	for all := await(t, c, frameSettings).content; len(all) > 0; all = all[6:] {
		settings[binary.BigEndian.Uint16(all)] = binary.BigEndian.Uint32(all[2:])
	}
	require.EqualValues(t, 100, settings[3], "MAX_CONCURRENT_STREAMS")
	require.EqualValues(t, 64<<10, settings[4], "INITIAL_WINDOW_SIZE")
	require.EqualValues(t, 16<<10, settings[5], "MAX_FRAME_SIZE")
	write(t, c, frameSettings, 0, 0, nil)
	_, err := c.Write([]byte{0, 0x40, 1, 0, 0, 0, 0, 0, 1}) // the head of a frame of 16 KiB and a byte
	require.NoError(t, err)
	require.EqualValues(t, 6, binary.BigEndian.Uint32(await(t, c, frameGoAway).content[4:]), "FRAME_SIZE_ERROR")
	_, _ = io.Copy(io.Discard, c) // net/http closes the connection a second later
}

// A client may send 65,535 bytes of a body before it has read how many the server wants.
func TestUploadBeforeTheSettingsOfHTTP2(t *testing.T) {
	const size = 1<<16 - 1
	received := make(chan int64, 1)
	c := serveHTTP2(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received <- n
	}))
	write(t, c, frameSettings, 0, 0, nil)
	write(t, c, frameHeaders, 4, 1, []byte("\x83\x86\x84\x41\x01a")) // :method POST
	for sent := 0; sent < size; sent += 1 << 14 {
		var flags byte
		if size-sent <= 1<<14 {
			flags = 1 // END_STREAM
		}
		write(t, c, frameData, flags, 1, make([]byte, min(1<<14, size-sent)))
	}
	require.EqualValues(t, frameHeaders, await(t, c, frameHeaders, frameReset, frameGoAway).kind)
	require.EqualValues(t, size, <-received)
}

// Types of frames: RFC 9113, section 6.
const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7
)

// serveHTTP2 serves h as the public address is served, and returns a connection on which the client has said that it speaks HTTP/2.
func serveHTTP2(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := newServer(h)
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(); _ = server.Close(); <-served })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	require.NoError(t, err)
	return c
}

type frameOfHTTP2 struct {
	kind    byte
	stream  uint32
	content []byte
}

func write(t *testing.T, c net.Conn, kind, flags byte, stream uint32, content []byte) {
	t.Helper()
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(content)))[1:], kind, flags)
	_, err := c.Write(append(binary.BigEndian.AppendUint32(frame, stream), content...))
	require.NoError(t, err)
}

// await reads up to the next frame of one of the kinds.
func await(t *testing.T, c net.Conn, kinds ...byte) frameOfHTTP2 {
	t.Helper()
	for {
		head := make([]byte, 9)
		_, err := io.ReadFull(c, head)
		require.NoError(t, err)
		f := frameOfHTTP2{kind: head[3], stream: binary.BigEndian.Uint32(head[5:]), content: make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))}
		_, err = io.ReadFull(c, f.content)
		require.NoError(t, err)
		if slices.Contains(kinds, f.kind) {
			return f
		}
	}
}
