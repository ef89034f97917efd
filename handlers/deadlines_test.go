package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	"casepress/tasks"
)

// dial opens a connection to the service, for what http.Client cannot do.
func (s *service) dial() net.Conn {
	s.Helper()
	dial := s.pipes.dial
	if s.pipes == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(s.Context(), "tcp", s.addr)
	require.NoError(s, err)
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// begin sends the header of an upload of size bytes and the first of them.
func (s *service) begin(c io.Writer, contentType string, size int, first []byte) {
	s.Helper()
	_, err := fmt.Fprintf(c, "POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, size, first)
	require.NoError(s, err)
}

// answerOn reads an answer from a connection.
func (s *service) answerOn(c io.Reader) answer {
	s.Helper()
	r := s.request(http.MethodPost, "/upload-case-report", nil)
	response, err := http.ReadResponse(bufio.NewReader(c), r)
	require.NoError(s, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(s, err)
	a := answer{s.TB, response, body}
	a.holdsContract()
	return a
}

// stall is a stall timeout that is soon over, and in which even a busy machine answers.
const stall = time.Second

func TestStalledUpload(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = stall }))
	contentType, body := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	c := s.dial()
	s.begin(c, contentType, len(body), body[:len(body)/2])
	a := s.answerOn(c).is(http.StatusRequestTimeout, "upload-stalled")
	require.Contains(t, a.get("detail"), "1s")
	require.Equal(t, true, a.get("retryable"))
	require.Empty(t, s.temps())
}

// A request that is refused before its body is read must not wait for the body.
func TestStalledUploadThatIsRefused(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = stall }))
	c := s.dial()
	s.begin(c, "application/json", 1000, nil)
	s.answerOn(c).is(http.StatusUnsupportedMediaType)
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err, "the connection stays open with an unread body")
}

// A client that sends everything before it looks for an answer finds one, even if
// it was refused at the first byte.
func TestRefusedClientReadsTheReason(t *testing.T) {
	const size = 20 << 20
	s := open(t, with(func(c *handlers.Config) { c.MaxBodyBytes = 10 << 20 }))
	for _, test := range []struct {
		name, contentType, head string
		status                  int
	}{
		{"by its length", "multipart/form-data; boundary=x", "", http.StatusRequestEntityTooLarge},
		{"by its type", "application/json", "", http.StatusRequestEntityTooLarge},
		{"by its first field", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=unknown\r\n\r\n1\r\n--x\r\n", http.StatusBadRequest},
		{"by its true size", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=images\r\n\r\n", http.StatusRequestEntityTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			c := s.dial()
			if test.head == "" {
				s.begin(c, test.contentType, size, nil)
			} else {
				_, err := fmt.Fprintf(c, "POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n",
					test.contentType, len(test.head), test.head, size)
				require.NoError(t, err)
			}
			_, err := io.CopyN(c, zeros{}, size)
			require.NoError(t, err)
			s.answerOn(c).is(test.status)
		})
	}
}

// A client that asks first is answered without sending its body.
func TestRefusedBeforeContinue(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxBodyBytes = 10 }))
	c := s.dial()
	_, err := io.WriteString(c, "PUT /images/i?patientId=P1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	s.answerOn(c).is(http.StatusRequestEntityTooLarge)
}

func TestSlowUploadLives(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = 2 * time.Second }))
	contentType, body := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	c := s.dial()
	s.begin(c, contentType, len(body), nil)
	s.trickle(c, body, 8, 300*time.Millisecond)
	s.final(s.answerOn(c).is(http.StatusAccepted).get("id").(string))
}

func TestTricklingUploadEnds(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) {
		c.StallTimeout = 10 * time.Second
		c.UploadTimeout = 200 * time.Millisecond
	}))
	contentType, body := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	c := s.dial()
	s.begin(c, contentType, len(body), body[:10])
	a := s.answerOn(c).is(http.StatusRequestTimeout, "upload-too-slow")
	require.Contains(t, a.get("detail"), "200ms")
	require.Empty(t, s.temps())
}

// trickle sends b in n pieces with a pause before each.
func (s *service) trickle(c io.Writer, b []byte, n int, pause time.Duration) {
	s.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	size := (len(b) + n - 1) / n
	for len(b) > 0 {
		<-tick.C
		_, err := c.Write(b[:min(size, len(b))])
		require.NoError(s, err)
		b = b[min(size, len(b)):]
	}
}

// A connection that rests longer than the stall time between two requests is
// answered as ever.
func TestDeadlinesEndWithTheRequest(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = stall }))
	c := s.dial()
	for range 2 {
		_, err := io.WriteString(c, "GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n")
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(c), s.request(http.MethodGet, "/openapi.yaml", nil))
		require.NoError(t, err)
		require.Equal(t, http.StatusNotModified, response.StatusCode)
		<-time.After(3 * stall / 2)
	}
}

// A long poll outlives the stall time: nothing moves on its connection.
func TestDeadlinesSpareLongPolls(t *testing.T) {
	g := newGate()
	s := gated(t, g, with(func(c *handlers.Config) { c.StallTimeout = stall }))
	s.uploadOne("r1")
	<-g.begun
	a := s.get("/case-reports/r1?wait=1500ms").is(200)
	require.Equal(t, "processing", a.get("status"))
}

// A client that stops taking its download is dropped: the service can close.
func TestStalledDownload(t *testing.T) {
	large := bytes.Repeat([]byte("%PDF-1.3"), 4<<20) // more than sockets buffer
	var keep func(context.Context, string) tasks.Output
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = stall }),
		processing(func(ctx context.Context, _ tasks.Work, _ tasks.CaseReport) (tasks.CaseReportResult, error) {
			return tasks.CaseReportResult{Images: make([]tasks.ImageResult, 1), PDF: tasks.PDF{Output: keep(ctx, string(large)), Pages: 1}}, nil
		}))
	keep = s.keep
	s.uploadOne("r1")
	s.final("r1")
	c := s.dial()
	_, err := io.WriteString(c, "GET /case-reports/r1/report.pdf HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.NoError(t, err)
	s.log.wait(t, "report.pdf") // the request has ended
}

// The system keeps little of a long answer for a client that does not take it: a writer goes on only when a good part of
// that is free, so whoever is slow would be taken for one that stalls.
func TestLittleOfADownloadIsKept(t *testing.T) {
	large := bytes.Repeat([]byte("%PDF-1.3"), 4<<20)
	var keep func(context.Context, string) tasks.Output
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = stall }),
		processing(func(ctx context.Context, _ tasks.Work, _ tasks.CaseReport) (tasks.CaseReportResult, error) {
			return tasks.CaseReportResult{Images: make([]tasks.ImageResult, 1), PDF: tasks.PDF{Output: keep(ctx, string(large)), Pages: 1}}, nil
		}))
	keep = s.keep
	s.uploadOne("r1")
	s.final("r1")
	// Set before it connects, for the window is never made smaller.
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		wrong := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
		return errors.Join(err, wrong)
	}}
	c, err := dialer.DialContext(t.Context(), "tcp", s.addr)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /case-reports/r1/report.pdf HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	s.log.wait(t, "report.pdf") // the server has given up, and what was kept is all there is
	taken, _ := io.Copy(io.Discard, c)
	t.Logf("%d KiB were kept", taken>>10)
	require.Less(t, taken, int64(512<<10))
}

// A client that takes a long answer slowly gets all of it, and one that takes no more of it is dropped.
func TestSlowReaderOfALongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, withCases(t), inVirtualTime, with(func(c *handlers.Config) { c.StallTimeout = 30 * time.Second }))
		s.longCase("AE-1")
		ask := func() (net.Conn, *http.Response) {
			c := s.dial()
			_, err := io.WriteString(c, "GET /adverse-events/AE-1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
			require.NoError(t, err)
			require.Greater(t, response.ContentLength, int64(1<<20))
			return c, response
		}
		c, response := ask()
		defer c.Close()
		start := time.Now()
		for left := response.ContentLength; left > 0; left -= 8 << 10 {
			time.Sleep(5 * time.Second)
			_, err := io.CopyN(io.Discard, response.Body, min(left, 8<<10))
			require.NoError(t, err, "after %v", time.Since(start))
		}
		require.Greater(t, time.Since(start), 10*time.Minute)

		stopped, response := ask()
		defer stopped.Close()
		time.Sleep(time.Minute)
		taken, err := io.Copy(io.Discard, response.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Less(t, taken, int64(64<<10))
		synctest.Wait()
		require.Zero(t, s.casesHeld())
	})
}

func (s *service) casesHeld() int64 {
	_, bytes := handlers.CasePlaces(s.API)
	return bytes
}

func TestClientLeavesDuringUpload(t *testing.T) {
	s := open(t)
	contentType, body := encode(field("reportId", "r1"), field("patientId", "P1"), file("a.jpg", append(photo(1), make([]byte, 300<<10)...)))
	c := s.dial()
	s.begin(c, contentType, len(body), body[:len(body)-10])
	require.NoError(t, c.Close())
	s.log.wait(t, "incomplete-body")
	require.Empty(t, s.temps())
	s.get("/case-reports/r1").is(404)
}

// Once all bytes are in, the client leaving changes nothing.
func TestClientLeavesAfterUpload(t *testing.T) {
	s := open(t)
	contentType, body := encode(field("reportId", "r1"), field("patientId", "P1"), file("a.jpg", photo(1)))
	c := s.dial()
	s.begin(c, contentType, len(body), body)
	require.NoError(t, c.Close())
	s.log.wait(t, "/upload-case-report")
	require.Equal(t, "completed", s.final("r1").get("status"))
}

// closingBody is the body of a client that closes its sending side right behind it: net/http takes that for one that has left.
type closingBody struct {
	io.Reader
	leave func()
}

func (b closingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF { //nolint:errorlint // the bare one is the end
		b.leave()
	}
	return n, err
}

// A body that is whole is taken in, whatever net/http believes of the client.
func TestClientClosesItsSendingSideAfterUpload(t *testing.T) {
	s := open(t, withCases(t, s1))
	form, upload := encode(field("patientId", "P1"), file("a.jpg", photo(2)))
	const event = `{"id":"AE-%d","patientId":"P001","description":"a rash","knownAt":"2026-11-26T19:40:00+08:00"}`
	for _, test := range []struct {
		method, path, mediaType string
		body                    func(n int) string
		status                  int
	}{
		{http.MethodPut, "/images/i%d?patientId=P1", "", func(n int) string { return string(photo(uint8(n))) }, 201},
		{http.MethodPost, "/upload-case-report", form, func(int) string { return string(upload) }, 202},
		{http.MethodPost, "/questionnaire-responses", "application/json", func(n int) string { return response(fmt.Sprintf("R%d", n), "") }, 201},
		{http.MethodPost, "/questionnaire-responses/batch", "application/x-ndjson", func(n int) string { return response(fmt.Sprintf("B%d", n), "") }, 207},
		{http.MethodPut, "/fhir/R4/QuestionnaireResponse/" + fhirID, "application/fhir+json", func(int) string { return fhirQR1() }, 201},
		{http.MethodPost, "/adverse-events", "application/json", func(n int) string { return fmt.Sprintf(event, n) }, 201},
		{http.MethodPost, "/adverse-events/AE-1/follow-ups", "application/json", func(n int) string { return fmt.Sprintf(`{"id":"F%d","description":"better"}`, n) }, 201},
	} {
		t.Run(test.path, func(t *testing.T) {
			for n := range 16 { // which of two is first is chance where it is wrong
				path := strings.Replace(test.path, "%d", strconv.Itoa(n), 1)
				body := test.body(n)
				ctx, leave := context.WithCancel(t.Context())
				r := httptest.NewRequestWithContext(ctx, test.method, path, closingBody{strings.NewReader(body), leave})
				r.Host, r.ContentLength = "localhost", int64(len(body))
				r.Header.Set("Content-Type", test.mediaType)
				w := httptest.NewRecorder()
				s.API.ServeHTTP(w, r)
				require.Error(t, ctx.Err())
				if n > 0 && w.Code == http.StatusOK { // it was there
					continue
				}
				require.Equal(t, test.status, w.Code, "%d: %s", n, w.Body)
				require.NotContains(t, w.Body.String(), `"problem"`)
			}
		})
	}
}

// A question of such a client is answered as one, not as an upload that broke off.
func TestClientClosesItsSendingSideAfterAQuestion(t *testing.T) {
	s := open(t)
	s.uploadOne("r1")
	s.final("r1")
	ctx, leave := context.WithCancel(t.Context())
	leave()
	for _, path := range []string{"/case-reports", "/case-reports/r1"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		r.Host = "localhost"
		s.API.ServeHTTP(w, r)
		a := answer{t, w.Result(), w.Body.Bytes()}
		a.Request = s.request(http.MethodGet, path, nil)
		a.holdsContract()
		a.is(400, "client-closed-request")
		require.Equal(t, true, a.get("retryable"))
		require.NotContains(t, a.json(), "stored")
	}
}

// An upload takes as much memory however large it is.
func TestUploadMemory(t *testing.T) {
	s := open(t, alone, with(func(c *handlers.Config) { c.MaxBodyBytes = 300 << 20 }))
	s.upload(field("patientId", "P1"), file("a.jpg", photo(1))).is(202) // whatever is made once is made

	const size = 200 << 20
	head := "--x\r\nContent-Disposition: form-data; name=\"patientId\"\r\n\r\nP1\r\n" +
		"--x\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a.jpg\"\r\n\r\n" + string(photo(1))
	const tail = "\r\n--x--\r\n"
	body := io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, size), strings.NewReader(tail))
	r := s.request(http.MethodPost, "/upload-case-report", io.NopCloser(body), "Content-Type", "multipart/form-data; boundary=x")
	r.ContentLength = int64(len(head)) + size + int64(len(tail))

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a := s.do(r).is(http.StatusAccepted)
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d KiB allocated", allocated>>10)
	require.Less(t, allocated, uint64(8<<20))
	require.Equal(t, float64(size+len(photo(1))), a.get("images").([]any)[0].(map[string]any)["bytes"])
	s.final(a.get("id").(string))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
