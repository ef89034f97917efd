package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	blobdisk "casepress/blob/disk"
	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
	"casepress/dispatcher"
	"casepress/handlers"
	"casepress/store"
	"casepress/tasks"
)

// parts are the parts of the service as main puts them together, on any disk.
type parts struct {
	blobs blob.Store
	brk   *broker.Broker
	rows  *store.Store
	work  *dispatcher.Dispatcher
	api   *handlers.API
}

// assemble opens everything: rows under rowsDir on the real disk, log and blobs
// in root on fsys. A nil process is the real one.
func assemble(ctx context.Context, rowsDir string, fsys disk.FS, root string, process dispatcher.Process) (p parts, err error) {
	return assembleWith(ctx, rowsDir, fsys, root, blobdisk.Options{}, process)
}

// assembleWith is assemble for a way to keep originals.
func assembleWith(ctx context.Context, rowsDir string, fsys disk.FS, root string, originals blobdisk.Options, process dispatcher.Process) (p parts, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.blobs, err = blobdisk.Open(filepath.Join(root, "blobs"), fsys, originals); err != nil {
		return p, err
	}
	if p.brk, err = broker.Open(filepath.Join(root, "topics"), broker.Options{FS: fsys}); err != nil {
		return p, err
	}
	if p.rows, err = store.Open(ctx, filepath.Join(rowsDir, "casepress.db")); err != nil {
		return p, err
	}
	if process == nil {
		process = func(ctx context.Context, row store.Row, progress func(done, total int)) (tasks.Result, error) {
			return tasks.ImageProcessingTask{
				Report: row.CaseReport, SHA256: row.SHA256, Sequence: row.Sequence, ReceivedAt: row.ReceivedAt, Blobs: p.blobs,
			}.Run(ctx, progress)
		}
	}
	config := dispatcher.Config{MaxUnrecorded: 1 << 30, TaskTimeout: time.Hour, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}
	if originals.Originals == blob.Drop {
		config.Drop = p.blobs
	}
	if p.work, err = dispatcher.Start(ctx, config, p.brk, p.rows, process); err != nil {
		return p, err
	}
	p.api = handlers.New(handlers.Config{DataDir: rowsDir, MinFreeDisk: -1, MaxBacklogAge: -1}, p.work, p.rows, p.blobs, nil)
	return p, nil
}

// close ends everything at once, whatever state it is in.
func (p parts) close() error {
	var errs []error
	if p.work != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		errs = append(errs, p.work.Close(ctx))
	}
	if p.rows != nil {
		errs = append(errs, p.rows.Close())
	}
	if p.brk != nil {
		errs = append(errs, p.brk.Close())
	}
	if p.blobs != nil {
		errs = append(errs, p.blobs.Close())
	}
	return errors.Join(errs...)
}

// TestDiskFaults fails the n-th operation of the log's and the blobs' disk for
// every n from the opening to the answers, once or for good, then cuts the power.
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
			for n := 1; ; n++ {
				fault.N = n
				if !faultRound(t, fault) {
					require.Greater(t, n, 1, "the fault never struck")
					t.Logf("%d points", n-1)
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

	var promised []accepted
	p, err := assemble(t.Context(), rowsDir, fsys, "/data", nil)
	if err == nil {
		promised = handInAll(t, p)
		finishWhatCan(t, p, promised)
		if errors.Is(p.brk.Err(), commitlog.ErrPoisoned) {
			require.Equal(t, http.StatusServiceUnavailable, serve(p.api, http.MethodGet, "/readyz", "", nil).Code)
		}
		_ = p.close() // what is broken may say so
	}
	struck := fsys.Fired() > 0

	p, err = assemble(t.Context(), rowsDir, crash.CrashClone(0.5), "/data", nil)
	require.NoError(t, err, "n=%d: a restart recovers", fault.N)
	for _, a := range promised {
		requireKept(t, p, a, fault)
	}
	require.NoError(t, p.close())
	return struck
}

// handInAll sends every kind of submission and returns what was accepted.
func handInAll(t *testing.T, p parts) (promised []accepted) {
	photo := newPicture(t)
	put := serve(p.api, http.MethodPut, "/images/IMG007?patientId=P001", "image/jpeg", photo)
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
		answer := serve(p.api, http.MethodPost, "/upload-case-report", contentType, body)
		requireHonest(t, answer)
		if answer.Code == http.StatusAccepted {
			var a accepted
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &a))
			promised = append(promised, a)
		}
	}
	return promised
}

func serve(h http.Handler, method, target, contentType string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, "http://localhost"+target, bytes.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer
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

// finishWhatCan gives the workers a moment to run into the fault too.
func finishWhatCan(t *testing.T, p parts, promised []accepted) {
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	for _, a := range promised {
		if _, err := p.final(ctx, a.ID); err != nil {
			return
		}
	}
}

// final waits until the report is completed or failed.
func (p parts) final(ctx context.Context, id string) (store.Row, error) {
	if err := p.work.CaughtUp(ctx); err != nil {
		return store.Row{}, err
	}
	changed, stop := p.rows.Watch(id)
	defer stop()
	for {
		row, err := p.rows.CaseReport(ctx, id)
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

// requireKept waits until a promised report is finished, runs it again if it ran
// out of attempts on the broken disk, and reads its PDF and every original.
func requireKept(t *testing.T, p parts, a accepted, fault disktest.Fault) {
	t.Helper()
	row, err := p.final(t.Context(), a.ID)
	require.NoError(t, err, "%+v: %s was accepted", fault, a.ID)
	if row.Status == tasks.Failed {
		_, err = p.work.Retry(t.Context(), a.ID)
		require.NoError(t, err)
		row, err = p.final(t.Context(), a.ID)
		require.NoError(t, err)
	}
	require.Equal(t, tasks.Completed, row.Status, "%+v: %s", fault, row.Error)
	require.Empty(t, row.Result.Problems, "%+v", fault)
	for _, key := range append([]string{row.Result.Report.SHA256}, originals(row)...) {
		b, err := p.blobs.Open(t.Context(), blob.Key(key))
		require.NoError(t, err, "%+v", fault)
		require.NoError(t, b.Close())
	}
}

func originals(row store.Row) (keys []string) {
	for _, img := range row.Images {
		keys = append(keys, img.SHA256)
	}
	return keys
}
