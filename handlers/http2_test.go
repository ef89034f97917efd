package handlers_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	"casepress/tasks"
)

// overHTTP2 lets the client speak HTTP/2 without TLS from the first byte.
func (s *service) overHTTP2() *service {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	s.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
	return s
}

func TestHTTP2WithoutTLS(t *testing.T) {
	s := open(t).overHTTP2()
	a := s.uploadOne("r1")
	require.Equal(t, 2, a.ProtoMajor)
	s.final("r1")
	s.get("/case-reports/r1/report.pdf").is(200)
	s.uploadForm("unknown=1").is(400, "invalid-input")
	s.put("P1", "i", photo(1)).is(201)
}

// Every answer that is made as a whole tells its length: a short one, a long one, one to HEAD and a problem.
func TestLengthsOverHTTP2(t *testing.T) {
	s := open(t).overHTTP2()
	for path, status := range map[string]int{"/limits": 200, "/instruments": 200, "/case-reports/r1": 404} {
		a := s.get(path).is(status)
		require.Equal(t, 2, a.ProtoMajor)
		require.EqualValues(t, len(a.body), a.ContentLength, path)
		require.EqualValues(t, len(a.body), s.send(http.MethodHead, path, "").is(status).ContentLength, path)
	}
}

// A client that stalls is cut off, with the reason.
func TestStalledUploadOverHTTP2(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = stall })).overHTTP2()
	body, never := io.Pipe()
	defer never.Close()
	a := s.do(s.request(http.MethodPost, "/upload-case-report", body, "Content-Type", "multipart/form-data; boundary=x")).is(408, "upload-stalled")
	require.Equal(t, 2, a.ProtoMajor)
	require.Empty(t, s.temps())
}

// A long poll and a slow upload outlive the stall time.
func TestSlowRequestsOverHTTP2(t *testing.T) {
	g := newGate()
	s := gated(t, g, with(func(c *handlers.Config) { c.StallTimeout = 2 * time.Second })).overHTTP2()
	contentType, form := encode(field("patientId", "P1"), field("reportId", "r1"), file("a.jpg", photo(1)))
	body, feed := io.Pipe()
	go func() {
		s.trickle(feed, form, 8, 400*time.Millisecond) // 3.2 s in all
		_ = feed.Close()
	}()
	s.do(s.request(http.MethodPost, "/upload-case-report", body, "Content-Type", contentType)).is(202)
	<-g.begun
	a := s.get("/case-reports/r1?wait=3s").is(200)
	require.Equal(t, "processing", a.get("status"))
	require.Equal(t, 2, a.ProtoMajor)
}

// A client that stops taking its download is dropped.
func TestStalledDownloadOverHTTP2(t *testing.T) {
	large := bytes.Repeat([]byte("%PDF-1.3"), 2<<20) // more than the stream's window
	var keep func(context.Context, string) tasks.Output
	s := open(t, with(func(c *handlers.Config) { c.StallTimeout = stall }),
		processing(func(ctx context.Context, _ tasks.Work, _ tasks.CaseReport) (tasks.CaseReportResult, error) {
			return tasks.CaseReportResult{Images: make([]tasks.ImageResult, 1), PDF: tasks.PDF{Output: keep(ctx, string(large)), Pages: 1}}, nil
		})).overHTTP2()
	keep = s.keep
	s.uploadOne("r1")
	s.final("r1")
	response, err := s.client.Do(s.request(http.MethodGet, "/case-reports/r1/report.pdf", nil))
	require.NoError(t, err)
	s.log.wait(t, "report.pdf") // the request has ended although nothing was taken
	require.NoError(t, response.Body.Close())
}
