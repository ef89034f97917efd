package e2e_test

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// An upload that does not end cannot hold the end up: it is cut off, and that is no error. The second signal saves
// waiting for it here.
func TestSlowUploadIsCutOffAtTheEnd(t *testing.T) {
	s := start(t, t.TempDir())
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n" +
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"))
	require.NoError(t, err)
	answer := make([]byte, 100)
	_, err = conn.Read(answer) // 100 Continue: the body is being read
	require.NoError(t, err)
	require.Contains(t, string(answer), "100 Continue")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	s.logs.wait(t, "shutting down")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.ended
	require.NoError(t, s.exit, "%s", s.logs)
	require.Contains(t, s.logs.String(), "cut off")
}
