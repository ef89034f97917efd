package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/disk/disktest"
	"casepress/service"
)

// readiness is the body of /readyz.
type readiness struct {
	Status                     string
	DamagedBlobs, MissingBlobs int
}

func readyz(t *testing.T, s *service.Service) (r readiness) {
	t.Helper()
	answer := do(s.API, http.MethodGet, "/readyz", "", nil)
	require.Equal(t, http.StatusOK, answer.Code, "%s", answer.Body)
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &r))
	return r
}

func metric(t *testing.T, s *service.Service, name string) float64 {
	t.Helper()
	families, err := s.Registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// Files of blobs that are gone are told by /readyz, a metric, the log and whoever asks for them; a missing original is
// not said to be deleted. Put back, all is well at once.
func TestMissingBlobs(t *testing.T) {
	t.Parallel()
	dir, aside := t.TempDir(), t.TempDir()
	c := config(dir)
	s := open(t, c)
	contentType, body := multipartForm(t, url.Values{"reportId": {"CR-1"}, "patientId": {"P001"}}, newPicture(t))
	require.Equal(t, http.StatusAccepted, do(s.API, http.MethodPost, "/upload-case-report", contentType, body).Code)
	row, result := completedRow(t, s, "CR-1", "at first")
	require.Equal(t, readiness{Status: "ready"}, readyz(t, s))
	require.NoError(t, closeNow(s))

	original := content(row).Images[0].SHA256
	file := func(sha256 string) string { return filepath.Join(dir, "blobs", sha256[:2], sha256) }
	for _, sha256 := range []string{original, result.PDF.SHA256} {
		require.NoError(t, os.Rename(file(sha256), filepath.Join(aside, sha256)))
	}
	logs := newLogged()
	c.Logger = logger(logs)
	s = open(t, c)
	require.Eventually(t, func() bool { return readyz(t, s).MissingBlobs == 2 }, patience, time.Millisecond)
	require.EqualValues(t, 2, metric(t, s, "casepress_blob_missing"))
	for _, sha256 := range []string{original, result.PDF.SHA256} {
		require.Contains(t, logs.String(), "file="+file(sha256))
	}
	require.Contains(t, logs.String(), "restore its file from a backup")
	answer := do(s.API, http.MethodGet, "/case-reports/CR-1/report.pdf", "", nil)
	require.Equal(t, http.StatusInternalServerError, answer.Code)
	require.Equal(t, "stored-bytes-missing", problemOf(answer).Code)
	answer = do(s.API.Admin(), http.MethodGet, "/originals/"+original, "", nil)
	require.Equal(t, http.StatusInternalServerError, answer.Code, "it is not deleted on purpose")
	require.Equal(t, "stored-bytes-missing", problemOf(answer).Code)

	require.NoError(t, os.Rename(filepath.Join(aside, result.PDF.SHA256), file(result.PDF.SHA256)))
	require.Eventually(t, func() bool { return readyz(t, s).MissingBlobs == 1 }, patience, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, do(s.API, http.MethodGet, "/case-reports/CR-1/report.pdf", "", nil).Code)
	replay := do(s.API, http.MethodPost, "/upload-case-report", contentType, body) // brings the photo again
	require.Equal(t, http.StatusAccepted, replay.Code)
	require.Eventually(t, func() bool { return readyz(t, s).MissingBlobs == 0 }, patience, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, do(s.API.Admin(), http.MethodGet, "/originals/"+original, "", nil).Code)
	require.NoError(t, closeNow(s))
}

// An original that was dropped is not missing, whether the rows are as they were or made again.
func TestDroppedIsNotMissing(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	c.Originals = blob.Drop
	logs := newLogged()
	c.Logger = logger(logs)
	s := open(t, c)
	contentType, body := multipartForm(t, url.Values{"reportId": {"CR-1"}, "patientId": {"P001"}}, newPicture(t))
	require.Equal(t, http.StatusAccepted, do(s.API, http.MethodPost, "/upload-case-report", contentType, body).Code)
	row, _ := completedRow(t, s, "CR-1", "at first")
	original := content(row).Images[0].SHA256
	requireGone(t, s, original)
	require.NoError(t, closeNow(s))
	for _, rows := range []string{"as they were", "made again"} {
		if rows == "made again" {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				require.NoError(t, os.RemoveAll(filepath.Join(c.DataDir, "casepress.db"+suffix)))
			}
		}
		s = open(t, c)
		requireGone(t, s, original)
		require.NoError(t, s.LookForMissing(t.Context()))
		require.Zero(t, readyz(t, s).MissingBlobs, rows)
		require.NoError(t, closeNow(s))
	}
	require.NotContains(t, logs.String(), "missing")
}

// The start names the damaged file, or the service says at /readyz what to do, and what it says helps.
func TestDamagedRowsAreToldAndMadeAgain(t *testing.T) {
	t.Parallel()
	h := life(t, blob.Keep)
	stopped := h.moments[len(h.moments)-1]
	for name, at := range map[string]int64{"header": 3, "page": 3 * 4096} {
		dir := filepath.Join(t.TempDir(), "data")
		copyFolder(t, stopped.dir, dir)
		f, err := os.OpenFile(filepath.Join(dir, "casepress.db"), os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte(strings.Repeat("\xa5", 4096)), at)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		d := &damage{history: h, moment: stopped, dir: dir, touched: []string{"casepress.db"}, random: seeded(1)}
		require.Contains(t, []string{"refused", "named"}, d.start(t, false), name)
		require.True(t, d.curable, name)
		d.cure(t)
		require.Equal(t, "served", d.start(t, true), name)
	}
}

// Groups whose journal is older, or gone, take finished work up again and do none of it twice.
func TestGroupsThatWentBack(t *testing.T) {
	t.Parallel()
	h := life(t, blob.Keep)
	n := len(h.moments)
	for _, from := range []string{"", h.moments[0].dir} {
		dir := filepath.Join(t.TempDir(), "data")
		copyFolder(t, h.moments[n-1].dir, dir)
		for _, topic := range []string{"case-reports", "patient-data-update"} {
			groups := filepath.Join("topics", topic, "groups")
			require.NoError(t, os.RemoveAll(filepath.Join(dir, groups)))
			if from != "" {
				copyFolder(t, filepath.Join(from, groups), filepath.Join(dir, groups))
			}
		}
		d := &damage{history: h, moment: h.moments[n-1], dir: dir, random: seeded(1)}
		require.Equal(t, "served", d.start(t, true))
	}
}

// A disk that has become read-only is no bug of ours and no loss: 503, try again.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	for _, op := range []disktest.Op{disktest.OpOpen, disktest.OpWrite, disktest.OpSync, disktest.OpRename} {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		s := open(t, configOn(fsys, t.TempDir()))
		fsys.Inject(disktest.Fault{Op: op, N: 1, Err: syscall.EROFS, Sticky: true})
		contentType, body := multipartForm(t, url.Values{"reportId": {"CR-1"}, "patientId": {"P001"}}, newPicture(t))
		answer := do(s.API, http.MethodPost, "/upload-case-report", contentType, body)
		require.Equal(t, http.StatusServiceUnavailable, answer.Code, "%s: %s", op, answer.Body)
		require.Equal(t, "unavailable", problemOf(answer).Code, op)
		require.False(t, *problemOf(answer).Stored, op)
		_ = closeNow(s) // what is broken may say so
	}
}
