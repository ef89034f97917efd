package handlers_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
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
