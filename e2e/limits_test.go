package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/service"
	"casepress/tasks"
	"casepress/tasks/picture"
)

// TestHeavyPicturesHoldUpNobody holds the turn that HEIC photos and very large pictures wait for. As many reports as may
// wait for it keep no other report from being completed; and when they get it they are completed at their first attempt.
func TestHeavyPicturesHoldUpNobody(t *testing.T) {
	t.Parallel()
	const room = 16 << 20
	budget := picture.NewBudget(room)
	release, err := budget.Acquire(t.Context(), room+1)
	require.NoError(t, err)
	var processor tasks.Processor
	c := config(t.TempDir())
	c.NewTask = func(w tasks.Work) (tasks.Task, error) { return processor.Task(w) }
	s := open(t, c)
	defer func() { require.NoError(t, closeNow(s)) }()
	processor = tasks.Processor{Blobs: s.Blobs, PictureCache: s.Rows, Budget: budget}

	heic, err := os.ReadFile("../tasks/picture/testdata/quarters.heic")
	require.NoError(t, err)
	large := largePNG(t)
	var heavy []string
	for i := range service.CaseReportWorkers - 1 {
		photos := [][]byte{withFreeBox(heic, i)}
		switch i {
		case 0, 1:
			photos = [][]byte{withFreeBox(heic, i), newPicture(t), withFreeBox(heic, -i-1), withFreeBox(heic, -i-3)}
		case 2, 3:
			photos = [][]byte{withFreeBox(large, i)}
		}
		heavy = append(heavy, sendReport(t, s, photos...))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 3 {
		id := sendReport(t, s, newPicture(t), newPicture(t))
		row, err := finalRow(ctx, s, id)
		require.NoError(t, err, "a report of JPEGs waits for the heavy ones")
		require.Equal(t, tasks.Completed, row.Status)
	}
	for _, id := range heavy {
		row, err := s.Rows.Get(t.Context(), caseReport(id))
		require.NoError(t, err)
		require.False(t, row.Status.Final(), "%s did not wait", id)
	}

	release()
	for _, id := range heavy {
		row, err := finalRow(t.Context(), s, id)
		require.NoError(t, err)
		require.Equal(t, tasks.Completed, row.Status, "%s: %s", id, row.Error)
		require.Equal(t, 1, row.Attempts, id)
		require.Empty(t, row.Result.(tasks.CaseReportResult).Problems, id)
	}
}

// sendReport hands a report in and returns its id.
func sendReport(t *testing.T, s *service.Service, photos ...[]byte) string {
	t.Helper()
	contentType, body := multipartForm(t, url.Values{"patientId": {"P001"}}, photos...)
	answer := do(s.API, http.MethodPost, "/upload-case-report", contentType, body)
	require.Equal(t, http.StatusAccepted, answer.Code, "%s", answer.Body)
	var a accepted
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &a))
	return a.ID
}

// withFreeBox is the same picture with other bytes behind it, and so with another digest: a box of ISO 14496-12 to skip.
func withFreeBox(p []byte, n int) []byte {
	return append(bytes.Clone(p), fmt.Appendf(nil, "\x00\x00\x00\x10free%08x", uint32(n))...)
}

// largePNG takes more than 16 MiB to decode and little time.
func largePNG(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, image.NewNRGBA(image.Rect(0, 0, 2600, 2000))))
	return b.Bytes()
}
