package handlers_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

// TestUploadsOfOneAddress: one client does not take the places of all.
func TestUploadsOfOneAddress(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxUploadsPerAddress, c.ClientHeader = 2, "X-Forwarded-For" }))
	contentType, body := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	begin := func(client string) io.WriteCloser {
		c := s.dial()
		_, err := fmt.Fprintf(c, "POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			client, contentType, len(body), body[:len(body)-1])
		require.NoError(t, err)
		return c
	}
	first := begin("203.0.113.7")
	begin("198.51.100.1, 203.0.113.7:4000")
	begin("2001:db8:1:2::1")
	begin("2001:db8:1:2:ffff::2")
	for handlers.UploadsUnderWay(s.API) < 4 {
		runtime.Gosched()
	}
	for client, refused := range map[string]bool{
		"203.0.113.7": true, "::ffff:203.0.113.7": true, "203.0.113.9, 203.0.113.7": true, "2001:db8:1:2::3": true, "[2001:db8:1:2::3]:80": true,
		"203.0.113.8": false, "203.0.113.7, 203.0.113.8": false, "2001:db8:1:3::1": false, "unknown": false, "": false,
	} {
		a := s.put("P1", "i", photo(1), "X-Forwarded-For", client)
		if !refused {
			require.Contains(t, []int{200, 201}, a.StatusCode, client)
			continue
		}
		a.is(503, "too-many-uploads-from-address")
		require.Equal(t, float64(2), a.get("limit"), client)
		require.Equal(t, true, a.get("retryable"))
		require.Equal(t, false, a.get("stored"))
		require.Equal(t, "5", a.Header.Get("Retry-After"))
	}
	require.NoError(t, first.Close())
	s.log.wait(t, "incomplete-body")
	s.put("P1", "i", photo(1), "X-Forwarded-For", "203.0.113.7").is(200)
}

// announce sends the header of an image and a byte of it. size is "" for a body whose size is not told.
func (s *service) announce(client, size string) net.Conn {
	s.Helper()
	length, first := "Content-Length: "+size, "\xff"
	if size == "" {
		length, first = "Transfer-Encoding: chunked", "1\r\n\xff\r\n"
	}
	c := s.dial()
	_, err := fmt.Fprintf(c, "PUT /images/i?patientId=P1 HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\n%s\r\n\r\n%s", client, length, first)
	require.NoError(s, err)
	return c
}

// TestDiskOfOneAddress: whoever announces much and sends little does not keep others from a disk that is empty.
func TestDiskOfOneAddress(t *testing.T) {
	const upload, floor = 100 << 20, 1 << 30
	s := open(t, with(func(c *handlers.Config) {
		c.MinFreeDisk, c.MaxBodyBytes, c.ClientHeader = floor, upload, "X-Forwarded-For"
	}))
	handlers.SetFreeDisk(s.API, floor+8*2*upload)
	for range 2 {
		s.announce("203.0.113.7", strconv.Itoa(upload/2))
	}
	s.announce("203.0.113.7", "") // which may become as large as any
	for handlers.UploadsUnderWay(s.API) < 3 {
		runtime.Gosched()
	}
	for _, size := range []string{"1", strconv.Itoa(upload), ""} {
		a := s.answerOn(s.announce("203.0.113.7", size)).is(503, "too-many-uploads-from-address")
		require.Equal(t, false, a.get("stored"))
		require.Equal(t, true, a.get("retryable"))
		require.Equal(t, "5", a.Header.Get("Retry-After"))
		require.Contains(t, a.get("detail"), "200 MiB")
	}
	s.put("P1", "i", photo(1), "X-Forwarded-For", "203.0.113.8").is(201)
}

// TestOneUploadOfAnAddress is taken although it is larger than the share.
func TestOneUploadOfAnAddress(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MinFreeDisk, c.ClientHeader = 1<<30, "X-Forwarded-For" }))
	handlers.SetFreeDisk(s.API, 1<<30+100<<20)
	s.announce("203.0.113.7", strconv.Itoa(90<<20))
	for handlers.UploadsUnderWay(s.API) < 1 {
		runtime.Gosched()
	}
	s.put("P1", "i", photo(1), "X-Forwarded-For", "203.0.113.7").is(503, "too-many-uploads-from-address")
	s.put("P1", "i", photo(1), "X-Forwarded-For", "203.0.113.8").is(201)
	s.answerOn(s.announce("203.0.113.8", strconv.Itoa(20<<20))).is(507, "disk-full")
}

// TestDiskBehindAProxy: where addresses have no limit, they have no share either.
func TestDiskBehindAProxy(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MinFreeDisk, c.MaxUploadsPerAddress = 1<<30, -1 }))
	handlers.SetFreeDisk(s.API, 1<<30+100<<20)
	s.announce("", strconv.Itoa(90<<20))
	for handlers.UploadsUnderWay(s.API) < 1 {
		runtime.Gosched()
	}
	s.put("P1", "i", photo(1)).is(201)
}

// TestClientHeaderIsNotBelieved unless the setting says so.
func TestClientHeaderIsNotBelieved(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxUploadsPerAddress = 1 }))
	contentType, body := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	s.begin(s.dial(), contentType, len(body), body[:len(body)-1])
	for handlers.UploadsUnderWay(s.API) < 1 {
		runtime.Gosched()
	}
	s.put("P1", "i", photo(1), "X-Forwarded-For", "203.0.113.8").is(503, "too-many-uploads-from-address")
}

// TestTooSlowAnUpload: a byte now and then holds no place for half an hour.
func TestTooSlowAnUpload(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MinUploadRate, c.UploadRateSpan = 10<<20, 100*time.Millisecond }))
	contentType, body := encode(field("patientId", "P1"), file("a.jpg", append(photo(1), make([]byte, 100_000)...)))
	c := s.dial()
	s.begin(c, contentType, len(body), nil)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, b := range body {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			<-time.After(time.Millisecond)
		}
	}()
	a := s.answerOn(c).is(http.StatusRequestTimeout, "upload-rate-too-low")
	require.Equal(t, false, a.get("stored"))
	require.Equal(t, true, a.get("retryable"))
	require.Contains(t, a.get("detail"), "Less than 10 MiB a second arrived for 100ms")
	require.NoError(t, c.Close())
	<-sent
	require.Empty(t, s.temps())
}

// TestOtherRanges: RFC 9110, section 14.2.
func TestOtherRanges(t *testing.T) {
	s := open(t)
	s.uploadOne("r1")
	s.final("r1")
	const path, content = "/case-reports/r1/report.pdf", "%PDF-1.3 r1"
	for header, want := range map[string]string{
		"foo=1-2": content, "foo=": content, "bytes 0-3": content, "": content, "bytes": content, "bytes=": content,
		"bytes=0-3": "%PDF", "Bytes=0-3": "%PDF", "bytes=-2": "r1", "bytes=9-": "r1", "bytes=9-1000": "r1", "bytes= 0-3": "%PDF", "bytes=0-3,": "%PDF",
	} {
		a := s.get(path, "Range", header)
		require.Equal(t, want, string(a.body), "%q: %d", header, a.StatusCode)
		require.Equal(t, map[bool]int{true: 200, false: 206}[want == content], a.StatusCode, header)
	}
	for _, header := range []string{"bytes=3-1", "bytes=a-b", "bytes=11-", "bytes=--1", "bytes=-0"} {
		a := s.get(path, "Range", header)
		a.is(416, "range-not-satisfiable")
		require.Equal(t, "bytes */11", a.Header.Get("Content-Range"), header)
	}
	r, err := s.client.Do(s.request(http.MethodGet, path, nil, "Range", "bytes=0-1,3-4"))
	require.NoError(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, r.StatusCode)
	require.Contains(t, r.Header.Get("Content-Type"), "multipart/byteranges")
	require.Contains(t, string(body), "Content-Range: bytes 3-4/11\r\n")
}

// TestNumbersHaveOneSpelling: another one would be a second name of the same address.
func TestNumbersHaveOneSpelling(t *testing.T) {
	s := open(t)
	s.uploadOne("r1")
	s.final("r1")
	s.get("/case-reports/r1/images/1").is(200)
	for _, n := range []string{"+1", "01", "%201", "1%20", "1.0", "0x1", "-1", "1e0", "%EF%BC%91", "18446744073709551617"} {
		s.get("/case-reports/r1/images/"+n).is(404, "image-not-found")
	}
	for _, limit := range []string{"%2B5", "05", "5.0", "0", "-1", "1e1", "18446744073709551621"} {
		s.get("/case-reports?limit="+limit).is(400, "invalid-input")
	}
	s.get("/case-reports?limit=5").is(200)
	for _, wait := range []string{"%2B1s", "-1s", "-0s", "%2B1", "01", "1_0"} {
		s.get("/case-reports/r1?wait="+wait).is(400, "invalid-input")
	}
	for _, wait := range []string{"0", "0s", "1s", "1", "1.5s", "100000"} {
		s.get("/case-reports/r1?wait=" + wait).is(200)
	}
	s.uploadOne("r2")
	next := s.get("/case-reports?limit=1").is(200).get("next").(string)
	s.get("/case-reports?cursor=" + next).is(200)
	for _, cursor := range []string{next + "%0A", "%0D%0A" + next, next[:3] + "%0A" + next[3:], next + "=", next[:len(next)-1]} {
		s.get("/case-reports?cursor="+cursor).is(400, "invalid-input")
	}
}

// TestPartHeaderLimit is exact, wherever the part stands and whatever lies in buffers.
func TestPartHeaderLimit(t *testing.T) {
	const limit = 16 << 10
	s := open(t)
	disposition := `Content-Disposition: form-data; name="notes"` + "\r\n"
	for _, before := range []string{
		"", "--x\r\nContent-Disposition: form-data; name=\"patientId\"\r\n\r\nP1\r\n",
		"--x\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a.jpg\"\r\n\r\n" + string(photo(1)) + strings.Repeat("x", 5000) + "\r\n",
	} {
		for size, want := range map[int]string{limit: "invalid-input", limit - 1: "invalid-input", limit + 1: "malformed-form", limit + 512: "malformed-form", limit + 4000: "malformed-form"} {
			padding := "X: " + strings.Repeat("a", size-len(disposition)-len("X: \r\n")) + "\r\n"
			body := before + "--x\r\n" + disposition + padding + "\r\nnotes\r\n--x--\r\n"
			a := s.do(s.request(http.MethodPost, "/upload-case-report", strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=x"))
			a.is(400, want)
			if want == "malformed-form" {
				require.Contains(t, a.get("detail"), "its header is longer than 16 KiB")
			}
		}
	}
}

// TestNoBoundary is said as such, however it is missing.
func TestNoBoundary(t *testing.T) {
	s := open(t)
	_, body := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	for _, contentType := range []string{
		"multipart/form-data", "multipart/form-data;", "multipart/form-data; boundary=", "multipart/form-data; boundary", `multipart/form-data; boundary=""`,
		"multipart/form-data; charset=utf-8; boundary=", "Multipart/Form-Data; Boundary= ",
	} {
		a := s.do(s.request(http.MethodPost, "/upload-case-report", bytes.NewReader(body), "Content-Type", contentType))
		a.is(400, "malformed-form")
		require.Contains(t, a.get("detail"), "no boundary", contentType)
	}
}

// A disk that cannot be measured is one that cannot be written: the client keeps its copy and comes again.
func TestDiskThatCannotBeMeasured(t *testing.T) {
	s := open(t, withStudies(t, s1), with(func(c *handlers.Config) { c.MinFreeDisk, c.MinFreeDiskUrgent = 2, 1 }))
	handlers.FailFreeDisk(s.API, fs.ErrNotExist)
	handlers.Forget(s.API)
	for _, a := range []answer{
		s.put("P1", "i", photo(1)), s.upload(field("patientId", "P1"), file("a.jpg", photo(1))), s.send(http.MethodPost, "/questionnaire-responses", responseQR1()), s.batch(response("B", "")), s.report("AE-1"),
	} {
		a.is(503, "unavailable")
		require.Equal(t, false, a.get("stored"))
		require.Equal(t, true, a.get("retryable"))
	}
}

// Go may have more processors than the machine, and a page needs one of the machine.
func TestPagesAtOnce(t *testing.T) {
	s := open(t, func(s *settings) { s.processors = 3 })
	require.Equal(t, []int{3, 3, 3}, handlers.PagesAtOnce(s.API))
}
