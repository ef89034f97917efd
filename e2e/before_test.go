package e2e_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/service"
)

// before is what testdata/before.tar.gz has: data folders of an earlier casepress, and what its clients sent and
// were answered. testdata/makebefore.go made it and says more.
type before struct {
	dir     string
	Folders map[string]*folder
}

type folder struct {
	Args    []string
	Uploads []upload
	Put     map[string]string // image id to file: put ahead for P001, named by no report so far
}

type upload struct {
	Form    url.Values
	Files   []string          // in sent/
	Receipt json.RawMessage   // the answer to the upload
	Status  json.RawMessage   // GET /case-reports/{id} afterwards; null if nobody asked
	Gets    map[string]string // path and SHA-256 of the answer
}

func (u upload) id() string { return u.Form.Get("reportId") }

// status is what the client was told last.
func (u upload) status() (s string) {
	var told struct{ Status string }
	if json.Unmarshal(u.Status, &told) == nil {
		s = told.Status
	}
	return s
}

// unpack writes the files of a .tar.gz below dir.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	require.NoError(t, err)
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	require.NoError(t, err)
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.True(t, filepath.IsLocal(h.Name), h.Name)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		name := filepath.Join(dir, h.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, content, 0o600))
	}
}

func unpackBefore(t *testing.T) (b before) {
	t.Helper()
	b.dir = t.TempDir()
	unpack(t, "testdata/before.tar.gz", b.dir)
	manifest, err := os.ReadFile(filepath.Join(b.dir, "manifest.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(manifest, &b))
	require.Len(t, b.Folders, 3)
	return b
}

func (b before) sent(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(b.dir, "sent", file))
	require.NoError(t, err)
	return content
}

func (b before) config(t *testing.T, name string) service.Config {
	t.Helper()
	c := config(filepath.Join(b.dir, name))
	c.Originals = blob.Originals(name)
	if c.Originals == blob.Vault {
		f, err := os.Open(filepath.Join(b.dir, "vault.key"))
		require.NoError(t, err)
		c.Keys, err = blob.ParseKeys(f)
		require.NoError(t, errors.Join(err, f.Close()))
	}
	return c
}

// TestDataFolderOfBefore opens the data folders of an earlier casepress and wants everything in them served.
func TestDataFolderOfBefore(t *testing.T) {
	t.Parallel()
	b := unpackBefore(t)
	for name, f := range b.Folders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, b.config(t, name))
			b.requireServed(t, s, f)
			b.requireReplayed(t, s, f)
			for _, u := range f.Uploads {
				b.requireFinished(t, s, u)
			}
			b.requireImagesNamed(t, s, f)
			b.requireOriginals(t, s, f)
			require.NoError(t, closeNow(s))

			s = open(t, b.config(t, name))
			b.requireServed(t, s, f)
			b.requireReplayed(t, s, f)
			require.NoError(t, s.Rows.Check(t.Context()))
			require.NoError(t, closeNow(s))
		})
	}
}

// TestLogOfBefore is TestDataFolderOfBefore without the rows: the log alone must do.
func TestLogOfBefore(t *testing.T) {
	t.Parallel()
	b := unpackBefore(t)
	for name, f := range b.Folders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.config(t, name)
			for _, suffix := range []string{"", "-wal", "-shm"} {
				require.NoError(t, os.Remove(filepath.Join(c.DataDir, "casepress.db"+suffix)))
			}
			s := open(t, c)
			for _, u := range f.Uploads {
				b.requireCompleted(t, s, u.id())
			}
			b.requireReplayed(t, s, f)
			b.requireImagesNamed(t, s, f)
			b.requireOriginals(t, s, f)
			require.NoError(t, closeNow(s))
		})
	}
}

// TestEventsOfBefore starts the program on a data folder of an earlier one and reads the events in it.
func TestEventsOfBefore(t *testing.T) {
	t.Parallel()
	b := unpackBefore(t)
	s := start(t, filepath.Join(b.dir, "keep"))
	out, told, err := s.command(t, "", "subscribe", "patient-data-update", "late", "-n", "4")
	require.NoError(t, err, "%s", told)
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		u := b.Folders["keep"].Uploads[i]
		require.Contains(t, line, fmt.Sprintf("%q", u.id()))
		require.Contains(t, line, fmt.Sprintf("%q", u.status()))
	}
	s.stop(t)
}

// requireServed wants completed reports answered as they were, with the same files.
func (b before) requireServed(t *testing.T, s *service.Service, f *folder) {
	t.Helper()
	list := do(s.API, http.MethodGet, "/case-reports", "", nil)
	require.Equal(t, http.StatusOK, list.Code, "%s", list.Body)
	completed := 0
	for _, u := range f.Uploads {
		require.Contains(t, list.Body.String(), `"id":"`+u.id()+`"`)
		if u.status() != "completed" {
			continue
		}
		completed++
		answer := do(s.API, http.MethodGet, "/case-reports/"+u.id(), "", nil)
		require.Equal(t, http.StatusOK, answer.Code, "%s", answer.Body)
		requireHas(t, u.Status, answer.Body.Bytes(), u.id())
		require.GreaterOrEqual(t, len(u.Gets), 3, "a PDF, a picture and a thumbnail")
		for path, sum := range u.Gets {
			answer := do(s.API, http.MethodGet, path, "", nil)
			require.Equal(t, http.StatusOK, answer.Code, "%s: %s", path, answer.Body)
			got := sha256.Sum256(answer.Body.Bytes())
			require.Equal(t, sum, hex.EncodeToString(got[:]), path)
		}
	}
	require.Equal(t, 3, completed)
}

// requireReplayed hands everything in again and wants the receipts of then.
func (b before) requireReplayed(t *testing.T, s *service.Service, f *folder) {
	t.Helper()
	for _, u := range f.Uploads {
		var photos [][]byte
		for _, file := range u.Files {
			photos = append(photos, b.sent(t, file))
		}
		contentType, body := multipartForm(t, u.Form, photos...)
		answer := do(s.API, http.MethodPost, "/upload-case-report", contentType, body)
		require.Equal(t, http.StatusAccepted, answer.Code, "%s: %s", u.id(), answer.Body)
		require.Equal(t, "true", answer.Header().Get("Idempotency-Replayed"), u.id())
		var was, is accepted
		require.NoError(t, json.Unmarshal(u.Receipt, &was))
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &is))
		require.Equal(t, was, is, "%s: the receipt has changed", u.id())

		contentType, body = multipartForm(t, u.Form, newPicture(t))
		answer = do(s.API, http.MethodPost, "/upload-case-report", contentType, body)
		require.Equal(t, http.StatusConflict, answer.Code, "%s: %s", u.id(), answer.Body)
	}
}

// requireFinished wants a report that was failed to be so still, until it is told to run again, and all others
// completed.
func (b before) requireFinished(t *testing.T, s *service.Service, u upload) {
	t.Helper()
	if u.status() == "failed" {
		answer := do(s.API, http.MethodGet, "/case-reports/"+u.id(), "", nil)
		require.Equal(t, http.StatusOK, answer.Code, "%s", answer.Body)
		requireHas(t, u.Status, answer.Body.Bytes(), u.id())
		answer = do(s.API, http.MethodPost, "/case-reports/"+u.id()+"/retry", "", nil)
		require.Equal(t, http.StatusAccepted, answer.Code, "%s", answer.Body)
	}
	b.requireCompleted(t, s, u.id())
}

func (before) requireCompleted(t *testing.T, s *service.Service, id string) {
	t.Helper()
	row, err := finalRow(t.Context(), s, id)
	require.NoError(t, err, id)
	require.EqualValues(t, "completed", row.Status, "%s: %s", id, row.Error)
	answer := do(s.API, http.MethodGet, "/case-reports/"+id+"/report.pdf", "", nil)
	require.Equal(t, http.StatusOK, answer.Code, "%s", answer.Body)
	require.Equal(t, "%PDF-", answer.Body.String()[:5])
}

// requireImagesNamed names the images that were put ahead.
func (b before) requireImagesNamed(t *testing.T, s *service.Service, f *folder) {
	t.Helper()
	require.NotEmpty(t, f.Put)
	for imageID, file := range f.Put {
		form := url.Values{"patientId": {"P001"}, "reportId": {"names-" + imageID}, "imageId": {imageID}}
		answer := do(s.API, http.MethodPost, "/upload-case-report", "application/x-www-form-urlencoded", []byte(form.Encode()))
		require.Equal(t, http.StatusAccepted, answer.Code, "%s", answer.Body)
		var a accepted
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &a))
		sum := sha256.Sum256(b.sent(t, file))
		require.Len(t, a.Images, 1)
		require.Equal(t, hex.EncodeToString(sum[:]), a.Images[0].SHA256)
		b.requireCompleted(t, s, a.ID)
	}
}

// requireOriginals wants every original as it was sent, or dropped once all its reports are completed and it can be
// shown.
func (b before) requireOriginals(t *testing.T, s *service.Service, f *folder) {
	t.Helper()
	dropped := len(f.Args) > 0 && f.Args[0] == "--originals=drop"
	for _, file := range []string{"a.jpg", "b.jpg", "c.jpg", "d.jpg", "broken.jpg"} {
		sent := b.sent(t, file)
		digest := fmt.Sprintf("%x", sha256.Sum256(sent))
		if dropped && file != "broken.jpg" {
			requireGone(t, s, digest)
			continue
		}
		answer := do(s.API.Admin(), http.MethodGet, "/originals/"+digest, "", nil)
		require.Equal(t, http.StatusOK, answer.Code, "%s: %s", file, answer.Body)
		require.Equal(t, sent, answer.Body.Bytes(), file)
	}
}

// requireHas wants every member of was in is, with the same value; is may have more.
func requireHas(t *testing.T, was, is []byte, where string) {
	t.Helper()
	var a, b any
	require.NoError(t, json.Unmarshal(was, &a))
	require.NoError(t, json.Unmarshal(is, &b))
	requireHasValue(t, a, b, where)
}

func requireHasValue(t *testing.T, was, is any, where string) {
	t.Helper()
	switch was := was.(type) {
	case map[string]any:
		require.IsType(t, was, is, where)
		for name, v := range was {
			require.Contains(t, is, name, where)
			requireHasValue(t, v, is.(map[string]any)[name], where+"."+name)
		}
	case []any:
		require.IsType(t, was, is, where)
		require.Len(t, is, len(was), where)
		for i, v := range was {
			requireHasValue(t, v, is.([]any)[i], fmt.Sprintf("%s[%d]", where, i))
		}
	default:
		require.Equal(t, was, is, where)
	}
}
