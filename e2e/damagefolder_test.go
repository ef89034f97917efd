package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/dispatcher"
	"casepress/handlers"
	"casepress/service"
	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/picture"
)

// history is a service's data folder at several moments of its life, and what its clients knew at each.
type history struct {
	originals blob.Originals
	keys      *blob.Keys
	moments   []moment
}

// moment is a copy of the folder: after a clean stop, or as a death of the process would have left it.
type moment struct {
	name, dir string
	reports   []known
	images    []putAhead
}

// known is a report that was accepted, with all that its client needs to hand it in again, and what was served of it.
type known struct {
	promise
	patient string
	photos  [][]byte
	status  string
	served  map[string]string // path to the bytes, as they must be for ever
	dropped bool              // its originals are deleted once it is completed
}

// putAhead is an image that was put ahead of its report.
type putAhead struct {
	id      string
	photo   []byte
	dropped bool
}

func (h *history) config(dir string, logs slog.Handler) service.Config {
	return service.Config{
		DataDir: dir, Originals: h.originals, Keys: h.keys, SegmentBytes: 8 << 10, TaskTimeout: 20 * time.Second,
		Retry:       dispatcher.RetryPolicy{MaxAttempts: 2, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond},
		ReadTimeout: 5 * time.Second, Logger: slog.New(logs), ImageMemory: picture.DefaultBudget,
		HTTP: handlers.Config{MinFreeDisk: -1},
	}
}

// builder makes a history.
type builder struct {
	*history
	t     *testing.T
	dir   string
	s     *service.Service
	now   moment
	begun chan string
}

// life is a history with everything in it that a folder can have.
func life(t *testing.T, originals blob.Originals) *history {
	t.Helper()
	b := &builder{history: &history{originals: originals}, t: t, dir: filepath.Join(t.TempDir(), "data"), begun: make(chan string, 8)}
	if originals != blob.Keep {
		b.keys = readKeys(t)
	}
	if originals == blob.Drop {
		b.keys = nil
	}
	require.NoError(t, os.Mkdir(b.dir, 0o700))
	b.open()
	b.put("IMG-0")
	b.report(url.Values{"reportId": {"plain"}, "patientId": {"P001"}, "notes": {"fever"}}, newPicture(t))
	b.report(url.Values{"reportId": {"broken"}, "patientId": {"P001"}}, newPicture(t), append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, bytes.Repeat([]byte("no photo"), 50)...))
	b.copy("killed early")
	b.report(url.Values{"patientId": {"P002"}, "imageId": {"IMG-0"}})
	b.report(url.Values{"reportId": {"fails"}, "patientId": {"P003"}}, newPicture(t))
	b.stop()
	b.copy("stopped early")
	b.open()
	b.put("IMG-1")
	for i := range 6 {
		b.report(url.Values{"reportId": {fmt.Sprintf("later-%d", i)}, "patientId": {"P004"}}, newPicture(t))
	}
	b.copy("killed later")
	b.report(url.Values{"reportId": {"waits"}, "patientId": {"P001"}}, newPicture(t))
	b.report(url.Values{"reportId": {"last"}, "patientId": {"P005"}, "imageId": {"IMG-1"}})
	b.put("IMG-2")
	b.copy("killed")
	b.stop()
	b.copy("stopped")
	return b.history
}

func (b *builder) open() {
	c := b.config(b.dir, slog.DiscardHandler)
	c.ReadTimeout = patience // nothing is damaged yet
	processor := sync.OnceValue(func() *tasks.Processor {
		return &tasks.Processor{Blobs: b.s.Blobs, Budget: picture.NewBudget(picture.DefaultBudget)}
	})
	opened := make(chan struct{})
	c.NewTask = func(w tasks.Work) (tasks.Task, error) {
		<-opened
		switch w.Ref().ID {
		case "fails":
			return nil, errors.New("not today")
		case "waits":
			return waiting{b.begun}, nil
		}
		return processor().Task(w)
	}
	b.s = open(b.t, c)
	close(opened)
}

type waiting struct{ begun chan string }

func (w waiting) Execute(ctx context.Context) (tasks.Result, error) {
	w.begun <- "waits"
	<-ctx.Done()
	return nil, ctx.Err()
}

func (b *builder) stop() { require.NoError(b.t, closeNow(b.s)) }

func (b *builder) put(id string) {
	photo := newPicture(b.t)
	answer := do(b.s.API, http.MethodPut, "/images/"+id+"?patientId=P00"+map[string]string{"IMG-0": "2", "IMG-1": "5", "IMG-2": "9"}[id], "image/jpeg", photo)
	require.Equal(b.t, http.StatusCreated, answer.Code, "%s", answer.Body)
	b.now.images = append(b.now.images, putAhead{id: id, photo: photo})
}

// report hands a report in and waits until it is as it is to be.
func (b *builder) report(form url.Values, photos ...[]byte) {
	t := b.t
	k := known{patient: form.Get("patientId"), photos: photos, served: map[string]string{}}
	k.contentType, k.body = multipartForm(t, form, photos...)
	if len(photos) == 0 {
		k.contentType, k.body = "application/x-www-form-urlencoded", []byte(form.Encode())
	}
	answer := do(b.s.API, http.MethodPost, "/upload-case-report", k.contentType, k.body)
	require.Equal(t, http.StatusAccepted, answer.Code, "%s", answer.Body)
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &k.accepted))
	if k.ID == "waits" {
		<-b.begun
		k.status = "processing"
	} else {
		row, err := finalRow(t.Context(), b.s, k.ID)
		require.NoError(t, err)
		k.status = string(row.Status)
	}
	if k.status == "completed" {
		k.dropped = b.originals == blob.Drop && k.ID != "broken"
		for _, path := range []string{"/report.pdf", "/images/1", "/images/1?size=thumb"} {
			answer := do(b.s.API, http.MethodGet, "/case-reports/"+k.ID+path, "", nil)
			require.Equal(t, http.StatusOK, answer.Code, "%s", answer.Body)
			k.served[path] = answer.Body.String()
		}
	}
	if id := form.Get("imageId"); id != "" {
		for i := range b.now.images {
			if b.now.images[i].id == id {
				b.now.images[i].dropped = k.dropped
			}
		}
	}
	b.now.reports = append(b.now.reports, k)
}

// copy keeps the folder as it is. What the groups did is durable by then, and dropped originals are gone.
func (b *builder) copy(name string) {
	t := b.t
	if b.s != nil && b.s.Broker.Err() == nil {
		_ = b.s.Broker.Flush(t.Context()) // a stopped one has done so
	}
	if b.originals == blob.Drop && strings.HasPrefix(name, "killed") {
		for _, r := range b.now.reports {
			for _, img := range r.Images {
				if r.dropped {
					require.Eventually(t, func() bool {
						_, err := os.Stat(filepath.Join(b.dir, "blobs", img.SHA256[:2], img.SHA256+".original"))
						return errors.Is(err, fs.ErrNotExist)
					}, patience, time.Millisecond)
				}
			}
		}
	}
	m := b.now
	m.name, m.dir = name, filepath.Join(t.TempDir(), "copy")
	m.reports, m.images = append([]known(nil), m.reports...), append([]putAhead(nil), m.images...)
	copyFolder(t, b.dir, m.dir)
	b.moments = append(b.moments, m)
}

// copyFolder copies a folder; zeros at the end of a file become a hole, since the log makes its files long. While a service
// works in it files come and go: such a copy is of no moment, and is made again.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	var err error
	for range 100 {
		before, _ := namesIn(from) // an error is one of the copy's, too
		if err = copyAll(from, to); err == nil {
			var after []string
			if after, err = namesIn(from); err == nil && slices.Equal(before, after) {
				return
			}
		}
		require.NoError(t, os.RemoveAll(to))
	}
	t.Fatalf("the files of %s come and go: %v", from, err)
}

// namesIn are the files and folders below a folder.
func namesIn(folder string) (names []string, err error) {
	err = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	return names, err
}

func copyAll(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(to, bytes.TrimRight(content, "\x00"), 0o600); err != nil {
		return err
	}
	return os.Truncate(to, int64(len(content)))
}

// logged keeps warnings and errors as text.
type logged struct {
	slog.Handler
	*lockedBuffer
}

func newLogged() logged {
	b := &lockedBuffer{}
	return logged{slog.NewTextHandler(writer{b}, &slog.HandlerOptions{Level: slog.LevelWarn}), b}
}

type writer struct{ b *lockedBuffer }

func (w writer) Write(p []byte) (int, error) {
	w.b.writeLine(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// problemOf is the body of an answer that refuses.
func problemOf(answer *httptest.ResponseRecorder) (p struct {
	Code, Detail string
	Stored       *bool
	Errors       []struct{ Field, Detail string }
}) {
	_ = json.Unmarshal(answer.Body.Bytes(), &p) // else it has no code
	return p
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

func logger(l logged) *slog.Logger { return slog.New(l) }

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 1)) }

func content(row store.Row) tasks.CaseReport { return row.Content.(tasks.CaseReport) }
