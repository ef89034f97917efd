package handlers_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/disk"
	"casepress/dispatcher"
	"casepress/handlers"
	whole "casepress/service"
	"casepress/store/storetest"
	"casepress/study"
	"casepress/tasks"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// service is the whole of casepress behind a real socket, except for the work on
// a report, which tests choose.
type service struct {
	testing.TB
	*whole.Service
	dir    string
	url    string
	pipes  *pipes // instead of the network; nil: none
	addr   string
	log    *logBuffer
	client *http.Client
}

// settings are what a test changes before the service opens.
type settings struct {
	config  handlers.Config
	process func(*service) process
	blobFS  disk.FS
	logFS   disk.FS
	alone   bool
	pipes   *pipes

	maxBacklogAge time.Duration
	readTimeout   time.Duration
	originals     blob.Originals
	keys          *blob.Keys
	studies       *study.Studies
	newTask       func(tasks.Work) (tasks.Task, error) // instead of process
	realWork      bool                                 // instead of both
	processors    int

	attempts int
	pause    time.Duration
}

type option func(*settings)

func with(change func(*handlers.Config)) option { return func(s *settings) { change(&s.config) } }

// process is the work on a case report, which tests choose.
type process func(ctx context.Context, w tasks.Work, report tasks.CaseReport) (tasks.CaseReportResult, error)

// task is a process as a task.
type task struct {
	process process
	work    tasks.Work
}

func (t task) Execute(ctx context.Context) (tasks.Result, error) {
	result, err := t.process(ctx, t.work, t.work.Content.(tasks.CaseReport))
	if err != nil {
		return nil, err
	}
	return result, nil
}

func processing(p process) option {
	return func(s *settings) { s.process = func(*service) process { return p } }
}

// twice lets an attempt fail and another follow after the pause.
func twice(pause time.Duration) option {
	return func(s *settings) { s.attempts, s.pause = 2, pause }
}

// alone keeps other tests from running meanwhile.
func alone(s *settings) { s.alone = true }

// inVirtualTime makes a service whose clients reach it over pipes in memory, so that a test in a bubble can let time pass.
func inVirtualTime(s *settings) { s.alone, s.pipes = true, newPipes() }

func blobsOn(fs disk.FS) option { return func(s *settings) { s.blobFS = fs } }

func logOn(fs disk.FS) option { return func(s *settings) { s.logFS = fs } }

func open(t testing.TB, options ...option) *service {
	t.Helper()
	set := settings{process: func(s *service) process { return s.complete }, attempts: 1, blobFS: disk.OS, logFS: disk.OS}
	set.config.MinFreeDisk = -1 // the machine's disk is not the subject
	for _, o := range options {
		o(&set)
	}
	if t, ok := t.(*testing.T); ok && !set.alone {
		t.Parallel()
	}
	s := &service{TB: t, dir: t.TempDir(), log: &logBuffer{written: make(chan struct{})}, pipes: set.pipes}
	ctx := context.Background()
	storetest.WriteEmpty(t, s.dir)
	if set.newTask == nil && !set.realWork {
		set.newTask = func(w tasks.Work) (tasks.Task, error) { return task{set.process(s), w}, nil }
	}
	lanes, err := whole.SetWorkers(whole.Lanes(), map[string]int{"case-reports": 2})
	require.NoError(t, err)
	for i := range lanes {
		if set.maxBacklogAge != 0 {
			lanes[i].MaxBacklogAge = set.maxBacklogAge
		}
	}
	s.Service, err = whole.Open(ctx, whole.Config{
		DataDir: s.dir, BlobDisk: set.blobFS, LogDisk: set.logFS, Lanes: lanes, HTTP: set.config, Originals: set.originals, Keys: set.keys, Studies: set.studies, ReadTimeout: set.readTimeout, Processors: set.processors,
		Retry:   dispatcher.RetryPolicy{MaxAttempts: set.attempts, Backoff: set.pause, MaxBackoff: set.pause},
		NewTask: set.newTask,
		Logger:  slog.New(slog.NewJSONHandler(s.log, nil)),
	})
	require.NoError(t, err)
	s.serve(s.API.Server())
	t.Cleanup(func() {
		drain, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		poisoned := s.Broker.Err()
		if err := s.Close(drain); poisoned == nil {
			require.NoError(t, err)
		} else {
			require.Error(t, err)
		}
		// A server that is closed does not wait for the handlers of connections that it has cut.
		require.Eventually(t, func() bool { return len(s.temps()) == 0 }, patience, time.Millisecond, "files left half received")
	})
	return s
}

// on is the service for a sub-test.
func (s *service) on(t testing.TB) *service {
	sub := *s
	sub.TB = t
	return &sub
}

// server is what is served, of the public address or the private one.
type server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
}

func (s *service) serve(server server) {
	s.Helper()
	transport := &http.Transport{DisableCompression: true}
	var l net.Listener = s.pipes
	if s.pipes == nil {
		var err error
		l, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(s, err)
		s.addr = l.Addr().String()
		s.url = "http://" + s.addr
	} else {
		s.url, transport.DialContext = "http://localhost", s.pipes.dial
	}
	s.client = &http.Client{Transport: transport}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	s.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(s, server.Shutdown(ctx), "requests still under way")
		wg.Wait()
	})
}

// temps are the files in the blob store that are being received.
func (s *service) temps() []string {
	entries, err := os.ReadDir(filepath.Join(s.dir, "blobs", "tmp"))
	require.NoError(s, err)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// complete is a process that makes a PDF of a line, a picture of each image that is a
// JPEG and a PNG of each GIF.
func (s *service) complete(ctx context.Context, w tasks.Work, report tasks.CaseReport) (tasks.CaseReportResult, error) {
	result := tasks.CaseReportResult{Problems: []tasks.Problem{}}
	for i, img := range report.Images {
		made := tasks.ImageResult{}
		if img.MediaType == "image/jpeg" {
			made = tasks.ImageResult{
				Full: s.keep(ctx, fmt.Sprintf("full %s %d", report.ID, i)), Thumb: s.keep(ctx, fmt.Sprintf("thumb %s %d", report.ID, i)),
				Width: 8, Height: 6, SourceWidth: 16, SourceHeight: 12, CapturedAt: "2026-11-21T19:57:31+08:00", Removed: []string{"GPSLatitude", "Model"},
			}
		} else if img.MediaType == "image/gif" { // shown as a drawing, and only in part
			made = tasks.ImageResult{
				Full: s.keep(ctx, fmt.Sprintf("full %s %d", report.ID, i)), Thumb: s.keep(ctx, fmt.Sprintf("thumb %s %d", report.ID, i)),
				Width: 8, Height: 6, MediaType: "image/png", Damaged: true,
			}
			result.Problems = append(result.Problems, tasks.Problem{Image: i + 1, Code: "image-damaged", Detail: "half of it"})
		} else {
			result.Problems = append(result.Problems, tasks.Problem{Image: i + 1, Code: "image-undecodable", Detail: "not a JPEG"})
		}
		result.Images = append(result.Images, made)
		w.Progress(i+1, len(report.Images))
	}
	result.PDF = tasks.PDF{Output: s.keep(ctx, "%PDF-1.3 "+report.ID), Pages: 1}
	return result, nil
}

func (s *service) keep(ctx context.Context, content string) tasks.Output {
	key, size, err := s.Blobs.Put(ctx, bytes.NewReader([]byte(content)))
	if err != nil {
		panic(err)
	}
	return tasks.Output{SHA256: string(key), Bytes: size}
}

// photo is a small JPEG; other shades are other bytes.
func photo(shade uint8) []byte {
	img := image.NewGray(image.Rect(0, 0, 8, 6))
	for i := range img.Pix {
		img.Pix[i] = shade
	}
	img.SetGray(1, 1, color.Gray{Y: 255 - shade})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{} // closed and replaced by each write
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	s, _ := l.read()
	return s
}

func (l *logBuffer) read() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String(), l.written
}

// wait returns once the log has the words.
func (l *logBuffer) wait(t testing.TB, words string) {
	t.Helper()
	late := time.After(patience)
	for {
		text, written := l.read()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-written:
		case <-late:
			require.Fail(t, "never logged", "%s in %s", words, text)
		}
	}
}
