package e2e_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/disk"
	"casepress/dispatcher"
	"casepress/handlers"
	"casepress/service"
	"casepress/store"
	"casepress/tasks"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// config is a service in dir on the real disk, whose failed attempts come again at once.
func config(dir string) service.Config {
	return service.Config{
		DataDir: dir, TaskTimeout: time.Hour,
		Retry: dispatcher.RetryPolicy{Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond},
		HTTP:  handlers.Config{MinFreeDisk: -1, MaxUploadsPerAddress: -1}, // neither the disk of the machine nor its one address is the subject
	}
}

// configOn is a service with log and blobs on fsys, and rows in rowsDir on the real disk.
func configOn(fsys disk.FS, rowsDir string) service.Config {
	c := config("/data")
	c.LogDisk, c.BlobDisk, c.RowsDir = fsys, fsys, rowsDir
	return c
}

func open(t testing.TB, c service.Config) *service.Service {
	t.Helper()
	s, err := service.Open(t.Context(), c)
	require.NoError(t, err)
	return s
}

// closeNow ends everything at once, whatever state it is in.
func closeNow(s *service.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Close(ctx)
}

// do does one request without a network.
func do(h http.Handler, method, target, contentType string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, bytes.NewReader(body))
	request.Host = "localhost"
	request.Header.Set("Content-Type", contentType)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer
}

func caseReport(id string) tasks.Ref { return tasks.Ref{Kind: tasks.KindCaseReport().Name, ID: id} }

// finalRow waits until the report is completed or failed.
func finalRow(ctx context.Context, s *service.Service, id string) (store.Row, error) {
	if err := s.Work.CaughtUp(ctx); err != nil {
		return store.Row{}, err
	}
	changed, stop := s.Rows.Watch(caseReport(id))
	defer stop()
	for {
		row, err := s.Rows.Get(ctx, caseReport(id))
		if err != nil || row.Status.Final() {
			return row, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return row, ctx.Err()
		}
	}
}

// completedRow waits until the report is completed, if need be by a retry.
func completedRow(t testing.TB, s *service.Service, id, when string) (store.Row, tasks.CaseReportResult) {
	t.Helper()
	row, err := finalRow(t.Context(), s, id)
	require.NoError(t, err, "%s: %s was accepted", when, id)
	if row.Status == tasks.Failed {
		_, err = s.Work.Restart(t.Context(), caseReport(id))
		require.NoError(t, err, when)
		row, err = finalRow(t.Context(), s, id)
		require.NoError(t, err, when)
	}
	require.Equal(t, tasks.Completed, row.Status, "%s: %s", when, row.Error)
	require.IsType(t, tasks.CaseReportResult{}, row.Result, when)
	return row, row.Result.(tasks.CaseReportResult)
}
