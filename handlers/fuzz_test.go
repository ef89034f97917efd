package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
	"casepress/tasks"
)

// Whatever is sent as a form, the answer is a 202 or a problem, and nothing stays
// half received.
func FuzzUpload(f *testing.F) {
	for _, parts := range [][]part{
		{field("patientId", "P1"), file("a.jpg", photo(1))},
		{field("patientId", "P1"), field("reportId", "r1"), field("notes", "a\r\nb"), field("imageId", "IMG007")},
		{field("visitId", "V"), field("capturedAt", "2026-11-21T20:00:00+08:00"), file("b.png", pngHeader(9, 9)), file("", nil)},
		{{name: "notes", value: "=E7=9A=AE", header: map[string]string{"Content-Transfer-Encoding": "quoted-printable"}}},
	} {
		contentType, body := encode(parts...)
		f.Add(contentType, body)
	}
	f.Add("application/x-www-form-urlencoded", []byte("patientId=P001&imageId=IMG007"))
	f.Add("application/x-www-form-urlencoded", []byte("patientId=%E7&notes=%00;=&"))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\n\r\n\r\n--x--"))
	s := open(f, with(func(c *handlers.Config) { c.MaxBodyBytes = 1 << 16; c.MaxImages = 3 }),
		processing(func(_ context.Context, _ tasks.Work, report tasks.CaseReport) (tasks.CaseReportResult, error) {
			return tasks.CaseReportResult{Images: make([]tasks.ImageResult, len(report.Images))}, nil // no files of its own
		}))
	tmp := filepath.Join(s.dir, "blobs", "tmp")
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/upload-case-report", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.API.ServeHTTP(w, r)
		var answer map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		switch w.Code {
		case http.StatusAccepted:
			require.NotEmpty(t, answer["receipt"])
		case 400, 409, 413, 415:
			require.Equal(t, false, answer["stored"])
			require.NotEqual(t, "internal", answer["code"])
		default:
			require.Fail(t, "unexpected status", "%d %s", w.Code, w.Body)
		}
		left, err := os.ReadDir(tmp)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}
