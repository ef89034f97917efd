package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/disk"
	"casepress/service"
	"casepress/study"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// serveContender is the contender of the name until ctx ends: with the runtime's settings that casepress gives itself
// (tune and limitMemory in package main), and the same log line for each request.
func serveContender(ctx context.Context, name, addresses, dir string) error {
	public, admin, _ := strings.Cut(addresses, ",")
	debug.SetGCPercent(200)
	debug.SetMemoryLimit(200 << 20)
	runtime.GOMAXPROCS(2*runtime.GOMAXPROCS(0) + 2)
	studies, err := study.Load(filepath.Join(dir, "studies"))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch name {
	case "forgetful":
		return serveForgetful(ctx, public, admin, dir, studies, log)
	case "memory":
		m := newMemory(ctx, studies)
		return serveAll(ctx, map[string]http.Handler{public: m.routes(log)})
	case "postgres":
		p, err := openPostgres(ctx, dir, studies)
		if err != nil {
			return err
		}
		defer p.pool.Close()
		return serveAll(ctx, map[string]http.Handler{public: p.routes(log)})
	}
	return fmt.Errorf("there is no contender %q", name)
}

func serveAll(ctx context.Context, handlers map[string]http.Handler) error {
	var servers []*http.Server
	for address, h := range handlers {
		s, isServer := h.(serverHandler)
		if !isServer {
			s = serverHandler{&http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}}
		}
		s.Addr = address
		servers = append(servers, s.Server)
	}
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.ListenAndServe() }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for _, s := range servers {
		err = errors.Join(err, s.Close())
	}
	return err
}

// serverHandler is a handler with a server of its own.
type serverHandler struct{ *http.Server }

func (s serverHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Handler.ServeHTTP(w, r) }

// serveForgetful is casepress with its defaults on a log that never waits for the disk: what durability costs is the
// difference.
func serveForgetful(ctx context.Context, public, admin, dir string, studies *study.Studies, log *slog.Logger) (err error) {
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	s, err := service.Open(ctx, service.Config{DataDir: data, LogDisk: forgetfulFS{disk.OS}, Studies: studies, Logger: log})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, s.Close(closing))
	}()
	return serveAll(ctx, map[string]http.Handler{public: serverHandler{s.API.Server().Server}, admin: serverHandler{s.API.AdminServer()}})
}

// forgetfulFS is a disk on which nothing is ever waited for.
type forgetfulFS struct{ disk.FS }

func (f forgetfulFS) SyncDir(string) error { return nil }

func (f forgetfulFS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	file, err := f.FS.OpenFile(name, flag&^(disk.Durable|disk.Direct), perm)
	if err != nil {
		return nil, err
	}
	return forgetfulFile{file}, nil
}

type forgetfulFile struct{ disk.File }

func (forgetfulFile) Sync() error { return nil }

// newGin is an engine as the peers have it: a line in the log for each request, as casepress writes one.
func newGin(log *slog.Logger) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(gin.Recovery(), func(c *gin.Context) {
		begun := time.Now()
		c.Next()
		log.LogAttrs(c.Request.Context(), slog.LevelInfo, "request", slog.String("method", c.Request.Method), slog.String("route", c.FullPath()),
			slog.Int("status", c.Writer.Status()), slog.Int("bytes", c.Writer.Size()), slog.Duration("duration", time.Since(begun)))
	})
	e.GET("/readyz", func(c *gin.Context) { c.Status(http.StatusOK) })
	return e
}

// accepted is what the peers answer: all that casepress does, but for the place in a log that they do not have.
type accepted struct {
	ID             string                  `json:"id"`
	Revision       int                     `json:"revision"`
	Status         tasks.Status            `json:"status"`
	Message        string                  `json:"message"`
	StatusURL      string                  `json:"statusUrl"`
	Receipt        peerReceipt             `json:"receipt"`
	Flags          []instrument.FlagResult `json:"flags"`
	Warnings       []tasks.Warning         `json:"warnings"`
	AdverseEvents  []string                `json:"adverseEvents"`
	CrisisText     string                  `json:"crisisText,omitempty"`
	CrisisLanguage string                  `json:"crisisTextLanguage,omitempty"`
}

type peerReceipt struct {
	SHA256     string    `json:"sha256"`
	ReceivedAt time.Time `json:"receivedAt"`
}

// read does the checks that casepress does before it answers, or answers 400.
func read(c *gin.Context, studies *study.Studies) (r tasks.QuestionnaireResponse, sha256 string, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, tasks.MaxResponseBytes))
	if err != nil {
		c.String(http.StatusBadRequest, "%v", err)
		return r, "", false
	}
	r, problems := tasks.ReadQuestionnaireResponse(body, "", studies, tasks.Arrival{At: time.Now()})
	if len(problems) > 0 {
		c.String(http.StatusBadRequest, "%v", problems)
		return r, "", false
	}
	return r, r.Digest(), true
}

func (a accepted) write(c *gin.Context) { c.JSON(http.StatusCreated, a) }

func answerTo(r tasks.QuestionnaireResponse, sha256 string) accepted {
	return accepted{
		ID: r.ID, Revision: r.Revision, Status: tasks.Accepted, Message: "The answers are stored and will be scored. Ask statusUrl how it goes.",
		StatusURL: path + "/" + r.ID, Receipt: peerReceipt{sha256, time.Now().UTC()}, Flags: r.Flags, Warnings: r.Warnings,
		AdverseEvents: r.AdverseEventIDs(), CrisisText: r.CrisisText, CrisisLanguage: r.CrisisLanguage,
	}
}

// memory is the design of many a first article about Go in the back end: the handler checks and puts the work into a
// channel, a pool of workers takes it out, and everything is in memory. Nothing of it survives the process. Unlike there
// the channel takes the whole burst, so that it never refuses.
type memory struct {
	studies *study.Studies
	queue   chan work

	mu     sync.Mutex // guards the rest
	done   map[string]tasks.QuestionnaireResult
	scored scoredPeer
}

type work struct {
	response tasks.QuestionnaireResponse
	sha256   string
}

func newMemory(ctx context.Context, studies *study.Studies) *memory {
	m := &memory{studies: studies, queue: make(chan work, 1<<17), done: map[string]tasks.QuestionnaireResult{}}
	for range runtime.NumCPU() {
		go m.score(ctx)
	}
	return m
}

func (m *memory) score(ctx context.Context) {
	for {
		var w work
		select {
		case w = <-m.queue:
		case <-ctx.Done():
			return
		}
		result, err := tasks.QuestionnaireTask{Studies: m.studies, Response: w.response}.Execute(ctx)
		if err != nil {
			slog.Error("score", "err", err)
			continue
		}
		scores := result.(tasks.QuestionnaireResult)
		m.mu.Lock()
		m.done[w.response.ID] = scores
		m.scored.Responses = append(m.scored.Responses, storedResponse{w.response.ID, w.sha256, totalOf(scores)})
		m.scored.LastScore = time.Now()
		m.mu.Unlock()
	}
}

func totalOf(result tasks.QuestionnaireResult) *int64 {
	for _, score := range result.Scores {
		if score.ID == "total" {
			if n, err := strconv.ParseInt(string(score.Value), 10, 64); err == nil { // "" where there is none
				return &n
			}
		}
	}
	return nil
}

func (m *memory) routes(log *slog.Logger) http.Handler {
	e := newGin(log)
	e.POST(path, func(c *gin.Context) {
		r, sha256, ok := read(c, m.studies)
		if !ok {
			return
		}
		select {
		case m.queue <- work{r, sha256}:
		default:
			c.Header("Retry-After", "1")
			c.String(http.StatusServiceUnavailable, "too much to do")
			return
		}
		if len(r.AdverseEventIDs()) > 0 {
			m.mu.Lock()
			m.scored.AdverseEvents = append(m.scored.AdverseEvents, r.ID)
			m.mu.Unlock()
		}
		answerTo(r, sha256).write(c)
	})
	e.GET("/stored", func(c *gin.Context) {
		m.mu.Lock()
		defer m.mu.Unlock()
		c.JSON(http.StatusOK, m.scored)
	})
	return e
}
