package handlers_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	"casepress/tasks"
)

// gate is a process that runs only as far as it is let.
type gate struct {
	begun chan string   // gets the id of each attempt
	pass  chan struct{} // one attempt goes on for each value
	open  func()        // lets all pass from now on
	err   atomic.Pointer[error]
}

func newGate() *gate {
	g := &gate{begun: make(chan string, 2000), pass: make(chan struct{}, 100)}
	g.open = sync.OnceFunc(func() { close(g.pass) })
	return g
}

func (g *gate) fail(err error) { g.err.Store(&err) }

// gated opens the service with work that waits at the gate.
func gated(t testing.TB, g *gate, options ...option) *service {
	s := open(t, append(options, func(set *settings) {
		set.process = func(s *service) process {
			return func(ctx context.Context, w tasks.Work, report tasks.CaseReport) (tasks.CaseReportResult, error) {
				g.begun <- report.ID
				select {
				case <-g.pass:
				case <-ctx.Done():
					return tasks.CaseReportResult{}, ctx.Err()
				}
				if err := g.err.Load(); err != nil && *err != nil {
					return tasks.CaseReportResult{}, *err
				}
				return s.complete(ctx, w, report)
			}
		}
	})...)
	t.Cleanup(g.open)
	return s
}

func (s *service) uploadOne(id string) answer {
	s.Helper()
	return s.upload(field("reportId", id), field("patientId", "P1"), file("a.jpg", photo(1))).is(http.StatusAccepted)
}

func TestCaseReportFromAcceptedToCompleted(t *testing.T) {
	g := newGate()
	s := gated(t, g)
	s.uploadOne("r1")
	require.Equal(t, "r1", <-g.begun)
	a := s.get("/case-reports/r1").is(200)
	require.Equal(t, "processing", a.get("status"))
	require.Equal(t, "1", a.Header.Get("Retry-After"))
	require.Equal(t, float64(1), a.get("attempts"))
	for _, name := range []string{"visitId", "capturedAt", "report", "finishedAt", "nextAttemptAt", "error"} {
		require.Contains(t, a.json(), name)
		require.Nil(t, a.get(name), name)
	}
	require.NotNil(t, a.get("startedAt"))
	image := a.get("images").([]any)[0].(map[string]any)
	require.Nil(t, image["url"])
	require.Nil(t, image["outputType"])
	require.Equal(t, []any{}, image["removed"])

	s.get("/case-reports/r1", "If-None-Match", a.Header.Get("Etag")).is(304)
	s.get("/case-reports/r1", "If-None-Match", `"x", W/`+a.Header.Get("Etag")).is(304)
	s.get("/case-reports/r1", "If-None-Match", `"x"`).is(200)

	notReady := s.get("/case-reports/r1/report.pdf").is(409, "report-not-ready")
	require.Equal(t, "processing", notReady.get("reportStatus"))
	require.Equal(t, "1", notReady.Header.Get("Retry-After"))
	require.Contains(t, notReady.get("detail"), "processing")
	notReady = s.get("/case-reports/r1/images/1", "Accept-Language", "zh-CN").is(409, "report-not-ready")
	require.Contains(t, notReady.get("detail"), "处理中")
	s.do(s.request(http.MethodPost, "/case-reports/r1/retry", nil)).is(409, "report-not-failed")

	g.pass <- struct{}{}
	done := s.final("r1")
	require.NotEqual(t, a.Header.Get("Etag"), done.Header.Get("Etag"))
	require.Equal(t, "/case-reports/r1/report.pdf", done.get("report.url"))
	require.NotNil(t, done.get("finishedAt"))
	image = done.get("images").([]any)[0].(map[string]any)
	require.Equal(t, "/case-reports/r1/images/1", image["url"])
	require.Equal(t, float64(8), image["width"])
	require.Equal(t, "image/jpeg", image["outputType"])
	require.Equal(t, []any{float64(16), float64(12)}, []any{image["sourceWidth"], image["sourceHeight"]})
	require.Equal(t, "2026-11-21T19:57:31+08:00", image["capturedAt"])
	require.Equal(t, []any{"GPSLatitude", "Model"}, image["removed"])
	require.Equal(t, false, image["damaged"])
	s.get("/case-reports/r1", "If-None-Match", a.Header.Get("Etag")).is(200)
}

func TestCaseReportNotFound(t *testing.T) {
	s := open(t)
	for _, path := range []string{"/case-reports/none", "/case-reports/a%20b", "/case-reports/none/report.pdf", "/case-reports/none/images/1", "/case-reports/%2e%2e"} {
		a := s.get(path).is(404, "report-not-found")
		require.NotContains(t, a.json(), "stored")
	}
	s.get("/case-reports/none?wait=20s").is(404, "report-not-found") // at once
	s.do(s.request(http.MethodPost, "/case-reports/none/retry", nil)).is(404, "report-not-found")
	s.do(s.request(http.MethodPost, "/case-reports/a%20b/retry", nil)).is(404, "report-not-found")
}

func TestLongPoll(t *testing.T) {
	t.Run("wakes when final", func(t *testing.T) {
		g := newGate()
		s := gated(t, g)
		s.uploadOne("r1")
		<-g.begun
		answered := s.later("/case-reports/r1?wait=30s")
		g.pass <- struct{}{}
		require.Equal(t, "completed", (<-answered).is(200).get("status"))
	})
	t.Run("wakes when changed", func(t *testing.T) {
		g := newGate()
		s := gated(t, g)
		s.uploadOne("r1")
		<-g.begun
		tag := s.get("/case-reports/r1").Header.Get("Etag")
		answered := s.later("/case-reports/r1?wait=30s", "If-None-Match", tag)
		g.pass <- struct{}{}
		require.NotEqual(t, tag, (<-answered).is(200).Header.Get("Etag"))
	})
	t.Run("ends with the wait", func(t *testing.T) {
		g := newGate()
		s := gated(t, g)
		s.uploadOne("r1")
		<-g.begun
		a := s.get("/case-reports/r1?wait=10ms").is(200)
		require.Equal(t, "processing", a.get("status"))
		s.get("/case-reports/r1?wait=10ms", "If-None-Match", a.Header.Get("Etag")).is(304)
	})
	t.Run("ends with the longest wait", func(t *testing.T) {
		g := newGate()
		s := gated(t, g, with(func(c *handlers.Config) { c.MaxWait = 10 * time.Millisecond }))
		s.uploadOne("r1")
		<-g.begun
		s.get("/case-reports/r1?wait=1h").is(200)
		s.get("/case-reports/r1?wait=3600").is(200)
	})
	t.Run("ends with the server", func(t *testing.T) {
		g := newGate()
		s := gated(t, g)
		s.uploadOne("r1")
		<-g.begun
		answered := s.later("/case-reports/r1?wait=60s")
		s.API.Drain()
		s.API.Drain()
		require.Equal(t, "processing", (<-answered).is(200).get("status"))
	})
	t.Run("ends with the client", func(t *testing.T) {
		g := newGate()
		s := gated(t, g)
		s.uploadOne("r1")
		<-g.begun
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			response, err := s.client.Do(s.request(http.MethodGet, "/case-reports/r1?wait=60s", nil).WithContext(ctx))
			if err == nil {
				err = response.Body.Close()
			}
			left <- err
		}()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		// The service closes within its time only if the poll has ended.
	})
	t.Run("refuses nonsense", func(t *testing.T) {
		s := open(t)
		for _, query := range []string{"wait=soon", "wait=-1s", "wait=-5", "wait=1s&wait=2s", "weit=1s", "wait=99999999999"} {
			s.get("/case-reports/r1?"+query).is(400, "invalid-input")
		}
	})
}

// later asks in the background.
func (s *service) later(path string, header ...string) <-chan answer {
	answers := make(chan answer, 1)
	r := s.request(http.MethodGet, path, nil, header...)
	go func() { answers <- s.do(r) }()
	return answers
}

func TestRetry(t *testing.T) {
	g := newGate()
	g.fail(errors.New("the printer is on fire"))
	s := gated(t, g)
	s.uploadOne("r1")
	g.pass <- struct{}{}
	failed := s.final("r1")
	require.Equal(t, "failed", failed.get("status"))
	require.Contains(t, failed.get("error"), "on fire")
	a := s.get("/case-reports/r1/report.pdf").is(409, "report-not-ready")
	require.Equal(t, "failed", a.get("reportStatus"))
	require.Empty(t, a.Header.Get("Retry-After"))

	g.fail(nil)
	a = s.do(s.request(http.MethodPost, "/case-reports/r1/retry", nil, "Accept-Language", "zh")).is(202)
	require.Equal(t, "/case-reports/r1", a.Header.Get("Location"))
	require.Equal(t, "病例报告将重新处理。", a.get("message"))
	a = s.get("/case-reports/r1").is(200)
	require.NotEqual(t, "failed", a.get("status"))
	a = s.do(s.request(http.MethodPost, "/case-reports/r1/retry", nil)).is(409, "report-not-failed")
	require.NotContains(t, a.json(), "stored", "a refused retry must not look like a lost report")
	g.pass <- struct{}{}
	require.Equal(t, "completed", s.final("r1").get("status"))
}

func TestCaseReportBetweenAttempts(t *testing.T) {
	g := newGate()
	g.fail(errors.New("no paper"))
	s := gated(t, g, twice(10*time.Hour))
	s.uploadOne("r1")
	<-g.begun
	tag := s.get("/case-reports/r1").Header.Get("Etag")
	answered := s.later("/case-reports/r1?wait=30s", "If-None-Match", tag)
	g.pass <- struct{}{}
	a := (<-answered).is(200)
	require.Equal(t, "retrying", a.get("status"))
	require.Equal(t, "no paper", a.get("error"))
	require.NotNil(t, a.get("nextAttemptAt"))
	require.Equal(t, "60", a.Header.Get("Retry-After"), "hours, but a retry may be asked for")
	s.get("/case-reports/r1/report.pdf", "Accept-Language", "zh").is(409, "report-not-ready")
}

func TestList(t *testing.T) {
	s := open(t)
	for _, id := range []string{"r1", "r2", "r3"} {
		s.uploadOne(id)
	}
	s.upload(field("patientId", "P2"), field("reportId", "r4"), field("notes", "x"), file("a.jpg", photo(1))).is(202)
	ids := func(a answer) (ids []string) {
		for _, item := range a.is(200).get("items").([]any) {
			require.NotContains(t, item, "notes")
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		return ids
	}
	require.Equal(t, []string{"r4", "r3", "r2", "r1"}, ids(s.get("/case-reports")))
	require.Equal(t, []string{"r4"}, ids(s.get("/case-reports?patientId=P2")))
	require.Empty(t, ids(s.get("/case-reports?patientId=P9")))
	require.Empty(t, ids(s.get("/case-reports?status=failed")))
	s.upload(field("patientId", "P2"), field("visitId", "V2"), field("reportId", "r5"), file("a.jpg", photo(1))).is(202)
	require.Equal(t, []string{"r5"}, ids(s.get("/case-reports?visitId=V2")))
	require.Equal(t, []string{"r5"}, ids(s.get("/case-reports?visitId=V2&patientId=P2")))
	require.Empty(t, ids(s.get("/case-reports?visitId=V2&patientId=P1")))
	require.Equal(t, true, s.get("/case-reports").get("upToDate"))
	with := s.get("/case-reports?include=notes&limit=2").is(200).get("items").([]any)[1].(map[string]any)
	require.Equal(t, "x", with["notes"])
	s.get("/case-reports?include=images").is(400, "invalid-input")

	a := s.get("/case-reports?patientId=P1&limit=2")
	require.Equal(t, []string{"r3", "r2"}, ids(a))
	link := a.Header.Get("Link")
	require.Contains(t, link, `>; rel="next"`)
	next, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	require.Contains(t, next, "cursor="+a.get("next").(string))
	a = s.get(next)
	require.Equal(t, []string{"r1"}, ids(a))
	require.Nil(t, a.get("next"))
	require.Empty(t, a.Header.Get("Link"))

	for _, query := range []string{
		"patientId=", "status=", "visitId=", "cursor=", "limit=", "patientId=P1;status=failed", "patientId=P1%", "%", "patientId=P1&;",
		"limit=0", "limit=201", "limit=x", "limit=-1", "status=done", "cursor=x", "patientID=P1", "patientId=a%2Fb", "limit=1&limit=2",
	} {
		s.get("/case-reports?"+query).is(400, "invalid-input")
	}
}

// What lies on the disk is not what was stored: it is not sent as if it were.
func TestDamagedDownloads(t *testing.T) {
	s := open(t)
	s.uploadOne("r1")
	s.final("r1")
	for path, content := range map[string]string{
		"/case-reports/r1/report.pdf": "%PDF-1.3 r1", "/case-reports/r1/images/1": "full r1 0", "/case-reports/r1/images/1?size=thumb": "thumb r1 0",
	} {
		s.get(path).is(200)
		s.damage([]byte(content))
		a := s.get(path).is(500, "stored-bytes-damaged")
		require.Empty(t, a.Header.Get("Etag"))
		s.get(path, "Range", "bytes=0-1").is(500, "stored-bytes-damaged")
	}
	require.Contains(t, s.log.String(), hexSum([]byte("%PDF-1.3 r1")), "the log names the file")
}

// damage flips a bit of a blob on the disk.
func (s *service) damage(content []byte) {
	s.Helper()
	name := hexSum(content)
	err := filepath.WalkDir(filepath.Join(s.dir, "blobs"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(entry.Name(), name) {
			return err
		}
		content, err := os.ReadFile(path)
		require.NoError(s, err)
		content[0] ^= 1
		require.NoError(s, os.Chmod(path, 0o600))
		name = "" // found
		require.NoError(s, os.WriteFile(path, content, 0o600))
		return fs.SkipAll
	})
	require.NoError(s, err)
	require.Empty(s, name, "no such blob")
}

func TestDownloads(t *testing.T) {
	s := open(t)
	s.upload(field("reportId", "r1"), field("patientId", "P1"), file("a.jpg", photo(1)), file("b.png", pngHeader(8, 8)), file("c.gif", []byte("GIF89a\x08\x00\x06\x00"))).is(202)
	require.Equal(t, "completed", s.final("r1").get("status"))
	for _, test := range []struct{ path, mediaType, name, content string }{
		{"/case-reports/r1/report.pdf", "application/pdf", "r1.pdf", "%PDF-1.3 r1"},
		{"/case-reports/r1/images/1", "image/jpeg", "r1-1.jpg", "full r1 0"},
		{"/case-reports/r1/images/1?size=full", "image/jpeg", "r1-1.jpg", "full r1 0"},
		{"/case-reports/r1/images/1?size=thumb", "image/jpeg", "r1-1-thumb.jpg", "thumb r1 0"},
		{"/case-reports/r1/images/3", "image/png", "r1-3.png", "full r1 2"},
		{"/case-reports/r1/images/3?size=thumb", "image/jpeg", "r1-3-thumb.jpg", "thumb r1 2"},
	} {
		t.Run(test.path, func(t *testing.T) {
			s := s.on(t)
			a := s.get(test.path).is(200)
			require.Equal(t, test.content, string(a.body))
			require.Equal(t, test.mediaType, a.Header.Get("Content-Type"))
			require.Equal(t, `inline; filename="`+test.name+`"`, a.Header.Get("Content-Disposition"))
			require.Equal(t, `"`+hexSum(a.body)+`"`, a.Header.Get("Etag"))
			require.Equal(t, "private, no-cache", a.Header.Get("Cache-Control"))

			head := s.do(s.request(http.MethodHead, test.path, nil)).is(200)
			require.Equal(t, int64(len(test.content)), head.ContentLength)
			require.Equal(t, a.Header.Get("Etag"), head.Header.Get("Etag"))

			part := s.get(test.path, "Range", "bytes=2-4").is(206)
			require.Equal(t, test.content[2:5], string(part.body))
			s.get(test.path, "Range", "bytes=2-4", "If-Range", `"other"`).is(200)
			past := s.get(test.path, "Range", "bytes=1000-").is(416, "range-not-satisfiable")
			require.Equal(t, "bytes */"+strconv.Itoa(len(test.content)), past.Header.Get("Content-Range"))

			s.get(test.path, "If-None-Match", a.Header.Get("Etag")).is(304)
			s.get(test.path, "If-None-Match", `"other"`).is(200)
			s.get(test.path, "If-Match", `"other"`).is(412, "precondition-failed")
		})
	}
	for _, test := range []struct {
		path   string
		status int
		code   string
	}{
		{"/case-reports/r1/images/2", 404, "image-not-decodable"},
		{"/case-reports/r1/images/2?size=thumb", 404, "image-not-decodable"},
		{"/case-reports/r1/images/0", 404, "image-not-found"},
		{"/case-reports/r1/images/4", 404, "image-not-found"},
		{"/case-reports/r1/images/one", 404, "image-not-found"},
		{"/case-reports/r1/images/1?size=huge", 400, "invalid-input"},
	} {
		t.Run(test.path, func(t *testing.T) {
			a := s.on(t).get(test.path).is(test.status, test.code)
			require.Empty(t, a.Header.Get("Etag"))
		})
	}
}

// HEAD answers as GET does, without the body.
func TestHead(t *testing.T) {
	s := open(t)
	s.uploadOne("r1")
	s.final("r1")
	for _, path := range []string{
		"/", "/app.js", "/healthz", "/readyz", "/openapi.yaml", "/openapi.json", "/limits", "/case-reports", "/case-reports/r1", "/case-reports/none", "/nothing",
		"/case-reports/r1/report.pdf", "/case-reports/r1/images/1",
	} {
		t.Run(path, func(t *testing.T) {
			s := s.on(t)
			get, head := s.get(path), s.do(s.request(http.MethodHead, path, nil))
			require.Equal(t, get.StatusCode, head.StatusCode)
			for _, name := range []string{"Content-Type", "Etag", "Content-Language", "Cache-Control"} {
				require.Equal(t, get.Header.Values(name), head.Header.Values(name), name)
			}
		})
	}
}

// As many may wait for a submission as for events, in all and from one address; one more is answered at once, with when to ask again.
func TestWaitsAreBounded(t *testing.T) {
	g := newGate()
	s := gated(t, g, with(func(c *handlers.Config) {
		c.MaxStreams, c.MaxStreamsPerAddress, c.ClientHeader, c.MaxWait = 3, 2, "X-Client", time.Hour
	}))
	s.uploadOne("r1")
	<-g.begun
	const path = "/case-reports/r1?wait=1h"
	var waiting []<-chan answer
	wait := func(client string) {
		waiting = append(waiting, s.later(path, "X-Client", client))
		require.Eventually(t, func() bool { return handlers.WaitingForStatus(s.API) == len(waiting) }, patience, time.Millisecond)
	}
	wait("192.0.2.1")
	wait("192.0.2.1")
	// A wait would not end: these come back while the report is held up.
	require.NotEmpty(t, s.get(path, "X-Client", "192.0.2.1").is(200).Header.Get("Retry-After"))
	wait("192.0.2.2")
	require.Equal(t, "processing", s.get(path, "X-Client", "192.0.2.3").is(200).get("status"))
	g.pass <- struct{}{}
	for _, answered := range waiting {
		require.Equal(t, "completed", (<-answered).is(200).get("status"))
	}
	require.Eventually(t, func() bool { return handlers.WaitingForStatus(s.API) == 0 }, patience, time.Millisecond)
}
