// Command casepress takes case reports with images over HTTP, answers as soon as
// they are on stable storage, and renders each one to a PDF afterwards. One
// process, one data folder, no other service. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"casepress/disk"
	"casepress/service"
	"casepress/study"
)

func main() {
	tune()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "casepress:", err)
		os.Exit(1)
	}
}

// run is main without the process: it returns when the command has ended, for
// serve after ctx has ended and everything in work is finished or given back.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cmd, err := parse(args, stdout, stderr)
	if err != nil || cmd == nil {
		return err
	}
	return cmd.Run(ctx, stdout, stderr)
}

// Run serves until ctx ends, then drains.
func (c *Serve) Run(ctx context.Context, _, stderr io.Writer) (err error) {
	if err := c.validate(); err != nil {
		return err
	}
	log := c.logger(stderr)
	memory := c.limitMemory()
	hurry, release := secondSignal()
	defer release()

	// The data folder belongs to one process at a time.
	if err := disk.OS.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	unlock, err := disk.Lock(c.DataDir)
	if errors.Is(err, disk.ErrLocked) {
		err = fmt.Errorf("%w: stop that one or give this one its own --data-dir", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := service.MakePrivate(c.DataDir, log); err != nil {
		return err
	}

	config, err := c.serviceConfig(log)
	if err != nil {
		return err
	}
	config.OnImageMemory = memory
	all, err := service.Open(ctx, config)
	if err != nil {
		return c.explainKeys(err)
	}
	defer func() { err = errors.Join(err, c.drain(hurry, all, log)) }()
	c.logStart(log, len(config.Studies.All()))
	logMissingWording(log, config.Studies)
	return serveAll(ctx, hurry, log,
		listener{"http", "--http-addr", c.HTTPAddr, all.API.Server(), "/"},
		listener{"grpc", "--grpc-addr", c.GRPCAddr, brokerServer(all, c.BrokerLimits, log), ""},
		listener{"admin", "--admin-addr", c.AdminAddr, all.API.AdminServer(), ""},
	)
}

// logStart says what whoever starts casepress for the first time looks for, and what they must know. Paths are absolute, as far as the
// system tells.
func (c *Serve) logStart(log *slog.Logger, studies int) {
	log.Info("everything that must survive is in the data folder", "folder", absolute(c.DataDir))
	switch {
	case c.Studies == "":
		log.Info("no study has a file: --studies names their folder")
	case studies == 0:
		log.Warn("the folder of --studies has no study file, {id}.json: no study has a schedule, a crisis text or a ladder", "folder", absolute(c.Studies))
	default:
		log.Info("studies were read", "count", studies, "folder", absolute(c.Studies))
	}
	log.Warn("there is no authentication: whoever reaches a port may use it; keep them private, or behind a proxy that authenticates")
}

// logMissingWording says which instruments patients are to answer and cannot read in their language.
func logMissingWording(log *slog.Logger, studies *study.Studies) {
	for _, s := range studies.All() {
		for _, m := range s.MissingWording() {
			log.Warn("an instrument is due and has no wording in a language of the study: see docs/instruments.md", "study", s.ID,
				"instrument", m.Instrument, "languages", strings.Join(m.Languages, ","))
		}
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// listener is one address to serve.
type listener struct {
	name   string
	flag   string // the setting that names the address
	addr   string
	server interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
		Close() error
	}
	page string // the path of a page for people; "" if there is none
}

// opened describes a listener that is bound to an address, for the log.
func (l listener) opened(addr net.Addr) []any {
	about := []any{"for", l.name, "addr", addr.String()}
	if l.page == "" {
		return about
	}
	return append(about, "page", "http://"+reachedBy(addr.String())+l.page)
}

// reachedBy is the address by which this machine reaches one that is listened on, which may be that of all its networks.
func reachedBy(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// serveAll binds every address before it serves any, serves until ctx ends or a
// server fails, then shuts down: requests in flight may finish unless hurry ends.
func serveAll(ctx, hurry context.Context, log *slog.Logger, listeners ...listener) error {
	bound := make([]net.Listener, len(listeners))
	for i, l := range listeners {
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			for _, b := range bound[:i] {
				err = errors.Join(err, b.Close())
			}
			return fmt.Errorf("%s: %w", l.flag, err)
		}
		bound[i] = ln
	}
	failed := make(chan error, len(listeners))
	for i, l := range listeners {
		log.Info("listening", l.opened(bound[i].Addr())...)
		go func() { failed <- l.server.Serve(bound[i]) }()
	}
	var err error
	running := len(listeners)
	select {
	case <-ctx.Done():
		log.Info("shutting down: a second signal ends at once")
	case err = <-failed:
		running--
	}
	err = errors.Join(err, shutDownAll(hurry, log, listeners))
	for range running {
		if e := <-failed; e != nil && !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// shutDownAll ends the servers side by side. Requests that are still in flight after shutdownTimeout are cut off,
// which is no error: whoever sent one has no answer, and sends it again.
func shutDownAll(hurry context.Context, log *slog.Logger, listeners []listener) error {
	ctx, cancel := context.WithTimeout(hurry, shutdownTimeout)
	defer cancel()
	errs := make([]error, len(listeners))
	var ending sync.WaitGroup
	for i, l := range listeners {
		ending.Go(func() {
			err := l.server.Shutdown(ctx)
			if err != nil && ctx.Err() != nil {
				log.Warn("requests were cut off", "for", l.name)
				err = l.server.Close()
			}
			if err != nil && !errors.Is(err, net.ErrClosed) {
				errs[i] = fmt.Errorf("shut down %s: %w", l.name, err)
			}
		})
	}
	ending.Wait()
	return errors.Join(errs...)
}

// shutdownTimeout is how long requests in flight may take to finish.
const shutdownTimeout = 10 * time.Second

// drain lets running tasks finish within the drain timeout, or until hurry ends.
// What is interrupted runs again at the next start.
func (c *Serve) drain(hurry context.Context, all *service.Service, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(hurry, c.DrainTimeout)
	defer cancel()
	start := time.Now()
	err := all.Close(ctx)
	log.Info("drained", "took", time.Since(start).Round(time.Millisecond).String())
	return err
}

// secondSignal returns a context that ends with the second signal to stop.
func secondSignal() (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var watch sync.WaitGroup
	watch.Go(func() {
		for range 2 {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	})
	return ctx, func() {
		signal.Stop(signals)
		cancel()
		watch.Wait()
	}
}

// limitMemory keeps the garbage collector ahead of images unless the operator has set GOMEMLIMIT. The limit is what
// may be in use at once: --image-memory and what everything else needs. The one image that takes its turn beside
// --image-memory, with up to 320 MiB of its own, is in Go's memory too (HEIC, whose decoder's memory is not, aside). With
// a limit below what is in use the collector would run all the time, and with one that always has room for such an image
// the process would always grow that far, since garbage is collected only near the limit. So the limit follows
// what is reserved: adjust is to be called whenever that changes.
func (c *Serve) limitMemory() (adjust func(reserved int64)) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit := func(reserved int64) int64 { return max(int64(c.ImageMemory), reserved) + baseMemory }
	now := limit(0)
	debug.SetMemoryLimit(now)
	return func(reserved int64) { // by one caller at a time
		if next := limit(reserved); next != now { // SetMemoryLimit stops everything for a moment
			now = next
			debug.SetMemoryLimit(now)
		}
	}
}

// processors is how many the machine has for this process, as far as tune has not added some.
var processors = runtime.GOMAXPROCS(0)

// tune sets the Go runtime up for a service that waits for its disk, as far as the
// operator has not. The garbage collector comes half as often, as far as
// limitMemory lets it. And there are more processors than the machine has, since one may be
// occupied by somebody who does not run: a commit to the log that waits for the disk, and
// each picture in work, whose thread has a low priority (see package picture). With as
// many again for pictures and two more, whatever has a moment's work to do, such as telling
// of an adverse event, finds one that is free; the system then chooses among the threads.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2*processors + 2)
	}
}

// baseMemory is what the service needs beside images in work.
const baseMemory = 72 << 20
