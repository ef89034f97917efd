package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

// heldConnection is a connection on which an image is under way.
type heldConnection struct {
	net.Conn
	s       *service
	answers *bufio.Reader
}

// hold begins an image, and returns when the server asks for its bytes.
func (s *service) hold() heldConnection {
	s.Helper()
	c := heldConnection{s.dial(), s, nil}
	c.answers = bufio.NewReader(c)
	_, err := fmt.Fprintf(c, "PUT /images/i?patientId=P1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", len(photo(1)))
	require.NoError(s, err)
	line, err := c.answers.ReadString('\n')
	require.NoError(s, err)
	require.Contains(s, line, "100 Continue")
	_, err = c.answers.ReadString('\n')
	require.NoError(s, err)
	return c
}

// finish sends the image, and returns when the server has closed the connection.
func (c heldConnection) finish() {
	c.s.Helper()
	_, err := c.Write(photo(1))
	require.NoError(c.s, err)
	answer, err := io.ReadAll(c.answers)
	require.NoError(c.s, err)
	require.Regexp(c.s, `^HTTP/1\.1 20[01] `, string(answer))
}

// One connection too many is answered before it has sent anything, and closed; it can come when another has ended.
func TestTooManyConnections(t *testing.T) {
	for code, limit := range map[string]func(*handlers.Config){
		"too-many-connections":              func(c *handlers.Config) { c.MaxConnections, c.MaxConnectionsPerAddress = 2, -1 },
		"too-many-connections-from-address": func(c *handlers.Config) { c.MaxConnectionsPerAddress = 2 },
	} {
		t.Run(code, func(t *testing.T) {
			s := open(t, with(limit))
			first, second := s.hold(), s.hold()
			for range 3 {
				c := s.dial()
				a := s.answerOn(c).is(503, code)
				require.Equal(t, false, a.get("stored"))
				require.Equal(t, true, a.get("retryable"))
				require.Equal(t, float64(2), a.get("limit"))
				require.Equal(t, "5", a.Header.Get("Retry-After"))
				require.True(t, a.Close)
			}
			sending := s.dial()
			_, err := io.WriteString(sending, "GET /limits HTTP/1.1\r\nHost: localhost\r\n\r\n")
			require.NoError(t, err)
			s.answerOn(sending).is(503, code)
			for range 3 {
				first.finish()
				first = s.hold()
			}
			first.finish()
			second.finish()
			s.get("/limits").is(200)
		})
	}
}

// A connection gives way on which nothing comes but a document that is refused.
func TestConnectionsOfRefusedDocuments(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) {
		c.MaxConnections, c.StallTimeout, c.MinUploadRate, c.MinFreeDisk = 1, time.Hour, -1, math.MaxInt64/2
	}))
	slow := s.dial()
	_, err := io.WriteString(slow, "POST /questionnaire-responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(t, func() bool {
		answer, err := client.Get(s.url + "/limits")
		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond)
}

// A header has as many lines as there may be, or is refused; the next one on the connection counts for itself.
func TestHeaderWithManyLines(t *testing.T) {
	s := open(t)
	c := s.dial()
	answers := bufio.NewReader(c)
	send := func(lines int) int {
		_, err := fmt.Fprintf(c, "GET /limits HTTP/1.1\r\nHost: localhost\r\n%s\r\n", strings.Repeat("A: b\r\n", lines-2))
		require.NoError(t, err)
		answer, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(t, err)
		return answer.StatusCode
	}
	require.Equal(t, 200, send(100))
	require.Equal(t, 200, send(100))
	require.Equal(t, 400, send(101))
}

// The lines of a header count too whose beginning came together with the request before.
func TestHeaderWithManyLinesBehindAnother(t *testing.T) {
	s := open(t)
	c := s.dial()
	answers := bufio.NewReader(c)
	const request = "GET /limits HTTP/1.1\r\nHost: localhost\r\n" // with the lines below no more than is read at twice: what is unread would break the connection
	_, err := io.WriteString(c, request+"\r\n"+request+strings.Repeat("a:\r\n", 1900)+"\r\n")
	require.NoError(t, err)
	for _, status := range []int{200, 400} {
		answer, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(t, err)
		require.Equal(t, status, answer.StatusCode)
	}
}

// A connection does not give way on which a request is answered whose header came together with the request before.
func TestConnectionsOfRequestsBehindAnother(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxConnections = 1 }))
	c := s.dial()
	answers := bufio.NewReader(c)
	_, err := fmt.Fprintf(c, "GET /limits HTTP/1.1\r\nHost: localhost\r\n\r\n"+
		"PUT /images/i?patientId=P1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", len(photo(1)))
	require.NoError(t, err)
	answer, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	line, err := answers.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue")
	s.answerOn(s.dial()).is(503, "too-many-connections")
	_, err = answers.ReadString('\n')
	require.NoError(t, err)
	heldConnection{c, s, answers}.finish()
}
