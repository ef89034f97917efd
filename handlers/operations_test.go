package handlers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"casepress/disk"
	"casepress/disk/disktest"
	"casepress/handlers"
	"casepress/static"
	"casepress/tasks"
)

func TestHealth(t *testing.T) {
	s := open(t)
	require.Equal(t, "ok", s.get("/healthz").is(200).get("status"))
	require.Equal(t, "ready", s.get("/readyz").is(200).get("status"))
	s.API.Drain()
	require.Contains(t, s.get("/readyz").is(503, "not-ready").get("detail"), "shutting down")
	require.Equal(t, "ok", s.get("/healthz").is(200).get("status"))
}

func TestLowDisk(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MinFreeDisk = math.MaxInt64 / 2 }))
	for _, a := range []answer{
		s.upload(field("patientId", "P1"), file("a.jpg", photo(1))),
		s.put("P1", "i", photo(1)),
	} {
		a.is(http.StatusInsufficientStorage, "disk-full")
		require.Equal(t, "60", a.Header.Get("Retry-After"))
		require.Equal(t, true, a.get("retryable"))
	}
	a := s.get("/readyz").is(503, "not-ready")
	require.Equal(t, "disk", a.get("errors").([]any)[0].(map[string]any)["field"])
	s.get("/case-reports").is(200) // reading still works
}

func TestOldBacklog(t *testing.T) {
	g := newGate()
	s := gated(t, g, func(s *settings) { s.maxBacklogAge = time.Nanosecond })
	s.put("P1", "i", photo(1)).is(201)
	var refused answer
	sent := 0
	for ; ; sent++ { // until the lane in front of the workers is full
		handlers.Forget(s.API)
		refused = s.uploadForm("patientId=P1&imageId=i&reportId=r" + strconv.Itoa(sent))
		if refused.StatusCode != http.StatusAccepted {
			break
		}
		require.Less(t, sent, 1000)
	}
	refused.is(http.StatusServiceUnavailable, "backlog-too-old")
	require.Equal(t, "60", refused.Header.Get("Retry-After"))
	require.Equal(t, false, refused.get("stored"))
	g.open()
	for i := range sent {
		s.final("r" + strconv.Itoa(i))
	}
	handlers.Forget(s.API)
	s.uploadForm("patientId=P1&imageId=i&reportId=last").is(http.StatusAccepted)
	s.final("last")
}

// Whatever fails on the way to the disk, the answer is no 2xx, and sending again
// once the disk works makes the report.
func TestFaultsOfTheDisk(t *testing.T) {
	for _, cause := range []struct {
		name   string
		err    error
		status int
	}{
		{"full", syscall.ENOSPC, 507},
		{"quota", syscall.EDQUOT, 507},
		{"broken", syscall.EIO, 503},
		{"files", syscall.EMFILE, 503},
		{"files of the machine", syscall.ENFILE, 503},
		{"memory", syscall.ENOMEM, 503},
		{"gone", syscall.ENOENT, 503},
	} {
		for _, op := range []disktest.Op{disktest.OpOpen, disktest.OpWrite, disktest.OpSync, disktest.OpRename, disktest.OpSyncDir} {
			t.Run(cause.name+" "+string(op), func(t *testing.T) {
				fs := disktest.NewFault(disk.OS)
				s := open(t, blobsOn(fs))
				send := func() answer {
					return s.upload(field("reportId", "r1"), field("patientId", "P1"), file("a.jpg", photo(1)))
				}
				fs.Inject(disktest.Fault{Op: op, N: 1, Err: cause.err})
				a := send()
				require.Equal(t, 1, fs.Fired())
				if s.Blobs.Err() == nil {
					require.Equal(t, cause.status, a.StatusCode, "%s", a.body)
				} else {
					a.is(503, "unavailable")
				}
				require.Equal(t, false, a.get("stored"))
				require.Equal(t, true, a.get("retryable"))
				s.get("/case-reports/r1").is(404)
				fs.Heal()
				if s.Blobs.Err() == nil {
					send().is(202)
					s.final("r1")
				} else {
					send().is(503, "unavailable")
					s.get("/readyz").is(503, "not-ready")
				}
			})
		}
	}
}

// TestWithoutTheFolderOfBlobs: while it is not there nothing is taken in that needs it, and whoever asks is told so.
func TestWithoutTheFolderOfBlobs(t *testing.T) {
	s := open(t)
	s.get("/readyz").is(200)
	blobs := filepath.Join(s.dir, "blobs")
	require.NoError(t, os.Rename(blobs, blobs+"-away"))
	for _, a := range []answer{
		s.put("P1", "i", photo(1)), s.upload(field("reportId", "r1"), field("patientId", "P1"), file("a.jpg", photo(1))),
	} {
		a.is(503, "unavailable")
		require.Equal(t, false, a.get("stored"))
		require.Equal(t, true, a.get("retryable"))
	}
	a := s.get("/readyz").is(503, "not-ready")
	require.Contains(t, a.get("detail"), filepath.Join("blobs", "tmp"))
	require.NotContains(t, string(a.body), s.dir)
	require.NoError(t, os.Rename(blobs+"-away", blobs))
	s.get("/readyz").is(200)
	s.put("P1", "i", photo(1)).is(201)
	s.uploadOne("r1")
	s.final("r1")
}

// A log that cannot be written takes nothing more until a restart, and says so.
func TestFaultsOfTheLog(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EIO} {
		t.Run(err.Error(), func(t *testing.T) {
			fs := disktest.NewFault(disk.OS)
			s := open(t, logOn(fs))
			s.uploadOne("r1")
			s.final("r1")
			fs.Inject(disktest.Fault{N: 1, Err: err, Sticky: true, Match: func(name string) bool { return strings.Contains(name, tasks.TopicCaseReports) }})
			send := func(id string) answer {
				a := s.upload(field("reportId", id), field("patientId", "P1"), file("a.jpg", photo(2)))
				require.Equal(t, id, a.get("reportId"))
				return a
			}
			for range 2 {
				require.Nil(t, send("r2").is(503, "outcome-unknown").get("stored"))
				fs.Heal() // too late: what lies on the disk is unknown
			}
			require.Equal(t, false, send("r3").is(503, "unavailable").get("stored"), "its write never began")
			require.Contains(t, s.get("/readyz").is(503, "not-ready").get("detail"), "dispatcher")
			s.get("/case-reports/r1/report.pdf").is(200)
		})
	}
}

// Whatever was handed in when a sync failed, no answer says that it is not stored: it may be there after a restart.
func TestOutcomeOfAFailedSync(t *testing.T) {
	const endpoint = `{"url":"http://127.0.0.1:9/","types":["adverse-event"]}`
	for name, test := range map[string]struct {
		topic  string
		send   func(s *service) answer
		stored func(a answer) any
	}{
		"image":    {topic: tasks.TopicImages, send: func(s *service) answer { return s.put("P1", "i", photo(1)) }},
		"response": {topic: tasks.TopicQuestionnaireResponses, send: func(s *service) answer { return s.send(http.MethodPost, "/questionnaire-responses", response("A", "")) }},
		"batch": {
			topic: tasks.TopicQuestionnaireResponses, send: func(s *service) answer { return s.batch(response("B", ""), response("C", "")) },
			stored: func(a answer) any {
				for _, one := range a.is(207).get("items").([]any) {
					problem := one.(map[string]any)["problem"].(map[string]any)
					require.Equal(t, "outcome-unknown", problem["code"])
					if problem["stored"] != nil {
						return problem["stored"]
					}
				}
				return nil
			},
		},
		"adverse event": {topic: tasks.TopicAdverseEvents, send: func(s *service) answer { return s.report("AE-1") }},
		"step": {topic: tasks.TopicAdverseEvents, send: func(s *service) answer {
			return s.send(http.MethodPost, "/adverse-events/AE-0/acknowledge", `{"name":"Ann","decision":"sae"}`)
		}},
		"webhook endpoint": {topic: tasks.TopicWebhookEndpoints, send: func(s *service) answer { return s.postJSON("/webhook-endpoints", endpoint) }},
	} {
		t.Run(name, func(t *testing.T) {
			fs := disktest.NewFault(disk.OS)
			s := open(t, withCases(t, s1), logOn(fs), with(toLoopback))
			s.report("AE-0").is(201)
			s.handedOver("AE-0")
			fs.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO, Sticky: true, Match: func(name string) bool {
				return strings.Contains(name, test.topic+"/log/")
			}})
			a := test.send(s)
			if test.stored != nil {
				require.Nil(t, test.stored(a))
				return
			}
			a.is(503, "outcome-unknown")
			require.Contains(t, a.json(), "stored")
			require.Nil(t, a.get("stored"))
			require.NotContains(t, a.get("detail"), "%!")
		})
	}
}

func TestPanics(t *testing.T) {
	s := open(t)
	handlers.Handle(s.API, "/panic", func(*gin.Context) { panic("boom") })
	handlers.Handle(s.API, "/panic/late", func(c *gin.Context) {
		c.String(200, "half an answer")
		c.Writer.Flush()
		panic(errors.New("boom"))
	})
	a := s.get("/panic", "X-Request-Id", "req-7").is(500, "internal")
	require.Equal(t, "urn:casepress:request:req-7", a.get("instance"))
	require.NotContains(t, string(a.body), "boom")
	require.NotContains(t, s.log.String(), "boom", "it may be of a patient")
	require.Contains(t, s.log.String(), "a value of type string")
	require.Contains(t, s.log.String(), "operations_test.go", "the log has the stack")

	response, err := s.client.Do(s.request(http.MethodGet, "/panic/late", nil))
	require.NoError(t, err)
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "an answer that broke off looks whole")
	require.NoError(t, response.Body.Close())
	s.get("/healthz").is(200)
}

func TestRequestIDs(t *testing.T) {
	s := open(t)
	require.Equal(t, "a-b_c.d:e", s.get("/healthz", "X-Request-Id", "a-b_c.d:e").Header.Get("X-Request-Id"))
	for _, bad := range []string{"", "a b", "a\"b", strings.Repeat("x", 129), "ü"} {
		made := s.get("/healthz", "X-Request-Id", bad).Header.Get("X-Request-Id")
		require.NotEqual(t, bad, made)
	}
}

// The log has one line for each request, and nothing that tells a patient.
func TestLogNamesNoPatient(t *testing.T) {
	s := open(t)
	s.upload(field("patientId", "SECRET1"), field("visitId", "SECRET2"), field("notes", "SECRET3"), field("reportId", "SECRET4"), file("SECRET5.jpg", photo(1))).is(202)
	s.put("SECRET1", "SECRET6", photo(2), "X-Request-Id", "put-1").is(201)
	s.put("SECRET1", "SECRET6", photo(3)).is(409)
	s.uploadForm("patientId=SECRET7&imageId=SECRET8").is(400)
	s.uploadForm("SECRET9=1").is(400)
	s.get("/case-reports?patientId=SECRET1").is(200)
	s.get("/case-reports/SECRET4").is(200)
	s.get("/SECRET10").is(404)
	s.client.CloseIdleConnections()
	log := s.log.String()
	require.NotContains(t, log, "SECRET")
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(log), "\n"), func(line string) bool {
		return !strings.Contains(line, `"msg":"request"`)
	})
	require.Len(t, lines, 8)
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &line))
	require.Equal(t, "PUT", line["method"])
	require.Equal(t, "/images/:imageId", line["route"])
	require.Equal(t, float64(201), line["status"])
	require.Equal(t, "put-1", line["requestId"])
	require.Positive(t, line["bytes"])
	require.Positive(t, line["duration"])
}

func TestAdmin(t *testing.T) {
	s := open(t)
	s.uploadOne("r1")
	s.uploadOne("r1")
	s.final("r1")
	s.uploadForm("").is(400)
	s.get("/SECRET").is(404)
	s.do(s.request("BREW", "/", nil)).is(405)
	admin := s.API.Admin()
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil))
		return w.Code, w.Body.String()
	}
	code, figures := ask("/metrics")
	require.Equal(t, 200, code)
	for _, line := range []string{
		`casepress_http_requests_total{method="POST",route="/upload-case-report",status="202"} 2`,
		`casepress_http_requests_total{method="GET",route="none",status="404"} 1`,
		`casepress_http_requests_total{method="other",route="none",status="405"} 1`,
		`casepress_uploads_total{result="accepted"} 1`,
		`casepress_uploads_total{result="replayed"} 1`,
		`casepress_uploads_total{result="invalid-input"} 1`,
		`casepress_submissions{kind="case-report",status="completed"} 1`,
		`casepress_submissions{kind="case-report",status="failed"} 0`,
		`casepress_lane_waiting{lane="case-reports"} 0`,
		`casepress_ready 1`,
		`casepress_disk_free_bytes`,
		`go_build_info`, `process_open_fds`,
	} {
		require.Contains(t, figures, line)
	}
	require.NotContains(t, figures, "SECRET")
	for _, path := range []string{"/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		code, _ := ask(path)
		require.Equal(t, 200, code, path)
	}
	code, _ = ask("/case-reports")
	require.Equal(t, 404, code)
}

func TestPage(t *testing.T) {
	s := open(t)
	index, err := static.Files.ReadFile("index.html")
	require.NoError(t, err)
	a := s.get("/").is(200)
	require.True(t, bytes.Equal(index, a.body))
	require.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
	require.Contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'self'")
	require.Equal(t, "no-referrer", a.Header.Get("Referrer-Policy"))
	require.Equal(t, "no-cache", a.Header.Get("Cache-Control"))
	s.get("/", "If-None-Match", a.Header.Get("Etag")).is(304)
	for _, path := range handlers.PagePaths() {
		require.NotEqual(t, "application/octet-stream", s.get(path).is(200).Header.Get("Content-Type"), path)
	}
	s.get("/static.go").is(404, "no-such-address")
	a = s.get("/openapi.yaml").is(200)
	require.Contains(t, string(a.body), "openapi: 3.1.0")
	s.get("/openapi.yaml", "Range", "bytes=99999999-").is(416, "range-not-satisfiable")
}
