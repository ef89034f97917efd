package handlers_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	"casepress/tasks"
)

// BenchmarkUpload accepts reports from many clients at once, without sockets: a
// form that names an image, and a form that brings a small one.
func BenchmarkUpload(b *testing.B) {
	multipartType, whole := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	for _, bench := range []struct{ name, contentType, body string }{
		{"named", "application/x-www-form-urlencoded", "patientId=P1&imageId=i"},
		{"brought", multipartType, string(whole)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			g := newGate()
			s := gated(b, g)
			w := httptest.NewRecorder()
			s.API.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodPut, "http://localhost/images/i?patientId=P1", bytes.NewReader(photo(1))))
			require.Equal(b, http.StatusCreated, w.Code)
			b.SetParallelism(128)
			b.ReportAllocs()
			var refused atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "http://localhost/upload-case-report", strings.NewReader(bench.body))
					r.Header.Set("Content-Type", bench.contentType)
					w := httptest.NewRecorder()
					s.API.ServeHTTP(w, r)
					if w.Code != http.StatusAccepted {
						refused.Add(1)
					}
				}
			})
			require.Zero(b, refused.Load())
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}

// BenchmarkResponse accepts questionnaire responses from many clients at once, without sockets; they are made rows and
// scored meanwhile.
func BenchmarkResponse(b *testing.B) {
	s := open(b, with(func(c *handlers.Config) { c.MaxUploadsPerAddress = -1 }), scoring)
	var next, refused atomic.Int64
	b.SetParallelism(128)
	b.ReportAllocs()
	before := processorTime()
	b.RunParallel(func(pb *testing.PB) {
		w := &discardingWriter{}
		for pb.Next() {
			i := next.Add(1)
			body := fmt.Appendf(nil, `{"id":"QR-%d","study":"S1","instrument":"phq-9","version":"1","patientId":"P%d","visitId":"V02","language":"en",`+
				`"authored":"2026-11-26T20:03:11+08:00","answers":{"1":0,"2":1,"3":2,"4":1,"5":2,"6":1,"7":3,"8":2,"9":0},"scores":{"total":12}}`, i, i)
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://localhost/questionnaire-responses", bytes.NewReader(body))
			if err != nil {
				refused.Add(1)
				continue
			}
			r.Header.Set("Content-Type", "application/json")
			r.RemoteAddr = "127.0.0.1:4711"
			w.header, w.status = make(http.Header), 0
			s.API.ServeHTTP(w, r)
			if w.status != http.StatusCreated {
				refused.Add(1)
			}
		}
	})
	require.Zero(b, refused.Load())
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "responses/s")
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// scoring gives responses the task that they have in the service.
func scoring(s *settings) {
	s.newTask = func(w tasks.Work) (tasks.Task, error) {
		return tasks.QuestionnaireTask{Response: w.Content.(tasks.QuestionnaireResponse)}, nil
	}
}

// discardingWriter is an http.ResponseWriter that keeps nothing but the status.
type discardingWriter struct {
	header http.Header
	status int
}

func (w *discardingWriter) Header() http.Header         { return w.header }
func (w *discardingWriter) WriteHeader(status int)      { w.status = status }
func (w *discardingWriter) Write(p []byte) (int, error) { return len(p), nil }

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
