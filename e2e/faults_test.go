package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/commitlog"
	"casepress/disk/disktest"
	"casepress/service"
	"casepress/store/storetest"
	"casepress/tasks"
)

// TestDiskFaults fails the n-th operation of the log's and the blobs' disk for
// every n from the opening to the answers (with -short for some), once or for good, then cuts the power.
// What was answered with 2xx must be there afterwards, and only that counts.
func TestDiskFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []disktest.Fault{
		{Op: disktest.OpWrite, Err: syscall.ENOSPC, Short: true},
		{Op: disktest.OpWrite, Err: syscall.ENOSPC, Sticky: true},
		{Op: disktest.OpSync, Err: syscall.EIO},
		{Op: disktest.OpSync, Err: syscall.EIO, Sticky: true},
		{Op: disktest.OpSyncDir, Err: syscall.EIO},
		{Op: disktest.OpRename, Err: syscall.EIO},
		{Op: disktest.OpOpen, Err: syscall.EIO},
	} {
		t.Run(fmt.Sprintf("%s/%v/sticky=%t", fault.Op, fault.Err, fault.Sticky), func(t *testing.T) {
			t.Parallel()
			for n, points := 1, 0; ; n, points = n+1, points+1 {
				if testing.Short() {
					n += n / 4
				}
				fault.N = n
				if !faultRound(t, fault) {
					require.Positive(t, points, "the fault never struck")
					t.Logf("%d points", points)
					return
				}
			}
		})
	}
}

// faultRound reports whether the fault struck at all.
func faultRound(t *testing.T, fault disktest.Fault) bool {
	crash := disktest.NewCrash(uint64(fault.N))
	fsys := disktest.NewFault(crash)
	fsys.Inject(fault)
	rowsDir := t.TempDir()
	storetest.WriteEmpty(t, rowsDir) // faults do not strike the rows

	var promised []accepted
	s, err := service.Open(t.Context(), configOn(fsys, rowsDir))
	if err == nil {
		promised = handInAll(t, s)
		finishWhatCan(t, s, promised)
		if errors.Is(s.Broker.Err(), commitlog.ErrPoisoned) {
			require.Equal(t, http.StatusServiceUnavailable, do(s.API, http.MethodGet, "/readyz", "", nil).Code)
		}
		_ = closeNow(s) // what is broken may say so
	}
	struck := fsys.Fired() > 0

	s, err = service.Open(t.Context(), configOn(crash.CrashClone(0.5), rowsDir))
	require.NoError(t, err, "n=%d: a restart recovers", fault.N)
	for _, a := range promised {
		requireKept(t, s, a, fault)
	}
	require.NoError(t, closeNow(s))
	return struck
}

// handInAll sends every kind of submission and returns what was accepted.
func handInAll(t *testing.T, s *service.Service) (promised []accepted) {
	photo := newPicture(t)
	put := do(s.API, http.MethodPut, "/images/IMG007?patientId=P001", "image/jpeg", photo)
	requireHonest(t, put)
	forms := []url.Values{{"patientId": {"P001"}, "reportId": {"CR-1"}}, {"patientId": {"P001"}}}
	if put.Code == http.StatusCreated {
		forms = append(forms, url.Values{"patientId": {"P001"}, "imageId": {"IMG007"}})
	}
	for _, form := range forms {
		var photos [][]byte
		if !form.Has("imageId") {
			photos = append(photos, newPicture(t), photo)
		}
		contentType, body := multipartForm(t, form, photos...)
		answer := do(s.API, http.MethodPost, "/upload-case-report", contentType, body)
		requireHonest(t, answer)
		if answer.Code == http.StatusAccepted {
			var a accepted
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &a))
			promised = append(promised, a)
		}
	}
	return promised
}

// requireHonest wants an answer to be a 2xx or a problem that says that nothing
// is stored.
func requireHonest(t *testing.T, answer *httptest.ResponseRecorder) {
	t.Helper()
	if answer.Code/100 == 2 {
		return
	}
	require.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
	var problem struct{ Stored, Retryable bool }
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &problem), "%s", answer.Body)
	require.False(t, problem.Stored, "%s", answer.Body)
	require.True(t, problem.Retryable, "%d %s", answer.Code, answer.Body)
}

// finishWhatCan gives the workers a moment to run into the fault too, a shorter one if the log takes nothing
// more.
func finishWhatCan(t *testing.T, s *service.Service, promised []accepted) {
	moment := 250 * time.Millisecond
	if s.Broker.Err() != nil {
		moment /= 10
	}
	ctx, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	for _, a := range promised {
		if _, err := finalRow(ctx, s, a.ID); err != nil {
			return
		}
	}
}

// requireKept waits until a promised report is finished, runs it again if it ran
// out of attempts on the broken disk, and reads its PDF and every original.
func requireKept(t *testing.T, s *service.Service, a accepted, fault disktest.Fault) {
	t.Helper()
	row, result := completedRow(t, s, a.ID, fmt.Sprintf("%+v", fault))
	require.Empty(t, result.Problems, "%+v", fault)
	keys := []string{result.PDF.SHA256}
	for _, img := range row.Content.(tasks.CaseReport).Images {
		keys = append(keys, img.SHA256)
	}
	for _, key := range keys {
		b, err := s.Blobs.Open(t.Context(), blob.Key(key))
		require.NoError(t, err, "%+v", fault)
		require.NoError(t, b.Close())
	}
}
