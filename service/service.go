// Package service implements casepress as a whole: it puts the parts together, in one way, for the command line
// and for every test of the whole. It listens on no address: package main does.
//
//	blobs   bytes by digest                      blob/disk
//	broker  the log                              broker
//	rows    what people ask about                store
//	ledger  what is accepted and due             dispatcher/embedded
//	work    workers on lanes                     dispatcher
//	trial   how visits stand                     progress
//	notify  events sent to endpoints, alerts     notify
//	api     what lets work in                    handlers
package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/blob"
	blobdisk "casepress/blob/disk"
	"casepress/broker"
	"casepress/disk"
	"casepress/dispatcher"
	"casepress/dispatcher/embedded"
	"casepress/handlers"
	"casepress/notify"
	"casepress/notify/mail"
	"casepress/progress"
	"casepress/store"
	"casepress/study"
	"casepress/tasks"
	"casepress/tasks/pdf"
	"casepress/tasks/picture"
)

// Config is what the service is made of. The zero value of a field means its default.
type Config struct {
	// DataDir is the folder for everything that must survive. Required.
	DataDir string
	// LogDisk and BlobDisk are the disks of the log and of the blobs; nil is the real one. Rows are always on
	// the real one.
	LogDisk, BlobDisk disk.FS
	// RowsDir is the folder of the database; "" is DataDir.
	RowsDir string
	// SegmentBytes is the size of a full-grown segment of the log: see [broker.Options].
	SegmentBytes int64

	// Broker has the settings of the broker; FS, SegmentBytes, Registerer, MetricTopics, Keep, Essential and Logger are set here.
	Broker broker.Options

	// Lanes are the lanes. Default [Lanes].
	Lanes []dispatcher.Lane
	// TaskTimeout ends work on one picture or one PDF of a case report that takes longer, waiting not counted. Default
	// 2 minutes.
	TaskTimeout time.Duration
	// Retry says when a failed attempt is tried again.
	Retry dispatcher.RetryPolicy
	// ReadTimeout bounds how long a question waits for the rows to show everything accepted. Default 5 seconds.
	ReadTimeout time.Duration
	// MaxPendingBytes: see [embedded.Config].
	MaxPendingBytes int64

	// Originals says what becomes of images as they were handed in, with Keys for blob.Vault.
	Originals blob.Originals
	Keys      *blob.Keys

	// ScrubRate bounds, in bytes a second, the background reading of all blobs, once a day, that finds damaged ones.
	// Default 10 MiB; negative: none.
	ScrubRate int64

	// ImageMemory bounds the memory in bytes for images in work. Default [picture.DefaultBudget].
	ImageMemory int64
	// Processors is how many ordinary pictures are decoded at once, and, as [handlers.Config] says, how many pages are made.
	// Default GOMAXPROCS; fewer leave the rest of it to what must not wait for either.
	Processors int
	// OnImageMemory hears how many bytes of Go's memory are reserved for images, each time that changes: see
	// [picture.Budget.OnChange]. Nil: nobody does.
	OnImageMemory func(reserved int64)
	Pictures      picture.Options
	Layout        pdf.Options
	// NewTask replaces the real work, for tests; nil is [tasks.Processor.Task].
	NewTask func(tasks.Work) (tasks.Task, error)

	// Studies are the studies that have a file; nil: none has.
	Studies *study.Studies

	// HTTP has the limits of the HTTP interface; DataDir, Processors, Registry and Studies are set here.
	HTTP handlers.Config

	// Webhooks says how events are sent to endpoints; Work, Rows, Allow, Metrics and Logger are set here, Allow from HTTP.
	Webhooks notify.Config

	// Mail says which mail server alerts are handed to; nil: none, and a study whose ladder has a mail address is refused. Metrics
	// and Logger are set here.
	Mail *mail.Config

	// Logger hears of failures; nil discards.
	Logger *slog.Logger
}

// Service is casepress, at work. Use [Open]. Its parts must not be closed but by [Service.Close].
type Service struct {
	Blobs    blob.Store
	Broker   *broker.Broker
	Rows     *store.Store
	Work     *dispatcher.Dispatcher
	API      *handlers.API
	Registry *prometheus.Registry // of all figures

	// Progress are the rows of trial progress.
	Progress *progress.Rows

	ledger   *embedded.Ledger
	trial    *progress.Consumer
	webhooks *notify.Webhooks
	ladders  *notify.Ladders
	missing  *missingBlobs
	freeDisk freeDisk

	stop context.CancelFunc // ends what runs in the background
	wg   sync.WaitGroup
}

// Open opens everything in the data folder, which must be there and locked, and begins to work. [MakePrivate] closes the folder to
// others before. After an error nothing stays open.
func Open(ctx context.Context, c Config) (s *Service, err error) {
	s = &Service{Registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeParts(context.Background()))
			s = nil
		}
	}()
	c = c.withDefaults()
	if err := s.openStorage(ctx, c); err != nil {
		return s, err
	}
	ledger := embedded.Config{
		Broker: s.Broker, Store: s.Rows, MaxPendingBytes: c.MaxPendingBytes, CaughtUpTimeout: c.ReadTimeout,
		Reserved: namesOf(c.Lanes, func(l dispatcher.Lane) bool { return l.Reserved }), Batched: namesOf(c.Lanes, func(l dispatcher.Lane) bool { return l.Batch > 1 }),
		Blobs: s.Blobs, Drop: c.Originals == blob.Drop, Metrics: s.Registry, Logger: c.Logger,
	}
	if s.ledger, err = embedded.Open(ctx, ledger); err != nil {
		return s, fmt.Errorf("open ledger: %w", embedded.ExplainDamage(err))
	}
	s.Work, err = dispatcher.Start(ctx, dispatcher.Config{
		Lanes: c.Lanes, NewTask: s.newTask(c), Retry: c.Retry,
		CaughtUpTimeout: c.ReadTimeout, Metrics: s.Registry, Logger: c.Logger,
	}, s.ledger)
	if err != nil {
		return s, fmt.Errorf("start dispatcher: %w", err)
	}
	if err := s.followTrial(ctx, &c); err != nil {
		return s, err
	}
	c.Webhooks.Work, c.Webhooks.Rows, c.Webhooks.Allow = s.Work, s.Rows, c.HTTP.WebhookAllow
	c.Webhooks.Metrics, c.Webhooks.Logger, c.Webhooks.Record, c.Webhooks.Studies = s.Registry, c.Logger, s.ledger.Record, c.Studies
	s.webhooks = notify.Start(ctx, c.Webhooks)
	mails, err := s.startLadders(ctx, c)
	if err != nil {
		return s, err
	}
	s.freeDisk = freeDisk{dir: c.DataDir, floor: cmp.Or(c.HTTP.MinFreeDisk, handlers.DefaultMinFreeDisk)}
	s.missing = newMissingBlobs(s, c)
	c.HTTP.Processors = c.Processors
	c.HTTP.DataDir, c.HTTP.Registry, c.HTTP.Studies, c.HTTP.MissingBlobs = c.DataDir, s.Registry, c.Studies, s.missing.count
	c.HTTP.Timeline = func(w io.Writer, of tasks.Submission, sequence uint64, entries []tasks.TimelineEntry) error {
		return tasks.RenderTimeline(w, c.Layout, of, sequence, entries)
	}
	s.API = handlers.New(c.HTTP, s.Work, s.Rows, s.Blobs, c.Logger)
	var background context.Context
	background, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.wg.Go(func() { s.checkRows(background, c.Logger) })
	s.wg.Go(func() { s.lookForMissing(background, c.Logger) })
	if c.ScrubRate > 0 {
		s.wg.Go(func() { s.scrub(background, c) })
	}
	if mails != nil {
		s.wg.Go(func() { mails.Watch(background) })
	}
	return s, nil
}

// startLadders begins to tell people of cases. It returns what hands mails over; nil without a mail server.
func (s *Service) startLadders(ctx context.Context, c Config) (mails *mail.Sender, err error) {
	ladders := notify.LadderConfig{
		Work: s.Work, Rows: s.Rows, Studies: c.Studies, Record: s.ledger.Record, Webhook: s.webhooks.Alert,
		Timeout: cmp.Or(c.Webhooks.Timeout, notify.DefaultTimeout), Metrics: s.Registry, Logger: c.Logger,
	}
	if c.Mail != nil {
		config := *c.Mail
		config.Metrics, config.Logger = s.Registry, c.Logger
		if mails, err = mail.New(config); err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		ladders.Mail, ladders.MailUnready = mails.Send, mails.Unready
		ladders.Timeout = laddersTimeout(ladders.Timeout, cmp.Or(c.Mail.Timeout, mail.DefaultTimeout))
	}
	s.ladders, err = notify.StartLadders(ctx, ladders)
	return mails, err
}

// laddersTimeout bounds an alert by any channel, of which each has its own timeout below it. That of mail counts from when the mail has
// a connection: waiting for one, behind mails that take all of their time, must not fail it.
func laddersTimeout(webhooks, mails time.Duration) time.Duration { return max(webhooks, 2*mails) }

// followTrial begins to follow the events of finished submissions for trial progress.
func (s *Service) followTrial(ctx context.Context, c *Config) (err error) {
	if s.Progress, err = progress.Open(ctx, filepath.Join(c.RowsDir, progressFile), c.Logger); err != nil {
		return err
	}
	if s.trial, err = progress.Start(ctx, s.Progress, s.Broker, c.Logger); err != nil {
		return err
	}
	c.HTTP.Progress = handlers.TrialProgress{Rows: s.Progress, Behind: s.trial.Behind}
	return nil
}

// CheckFreeDisk returns an error unless there is more free disk space than HTTP.MinFreeDisk: clients of the broker must
// leave as much free as uploads do.
func (s *Service) CheckFreeDisk() error { return s.freeDisk.check() }

// checkRows looks once through the whole database. What is damaged is told by [store.Store.Ping], and so by
// /readyz, from then on.
func (s *Service) checkRows(ctx context.Context, log *slog.Logger) {
	if err := s.Rows.Check(ctx); err != nil && ctx.Err() == nil {
		log.Error("the rows are damaged", "err", err)
	}
}

// scrubEach is how often all blobs are read.
const scrubEach = 24 * time.Hour

// scrub reads all blobs once a day, until ctx ends. The store logs and counts those that are damaged.
func (s *Service) scrub(ctx context.Context, c Config) {
	for {
		found, err := s.Blobs.Scrub(ctx, c.ScrubRate)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.Logger.Error("blobs could not all be checked", "blobs", found.Blobs, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scrubEach):
		}
	}
}

func (c Config) withDefaults() Config {
	if c.LogDisk == nil {
		c.LogDisk = disk.OS
	}
	if c.BlobDisk == nil {
		c.BlobDisk = disk.OS
	}
	if c.RowsDir == "" {
		c.RowsDir = c.DataDir
	}
	if c.TaskTimeout == 0 {
		c.TaskTimeout = 2 * time.Minute
	}
	if c.Lanes == nil {
		c.Lanes = Lanes()
	}
	if c.ScrubRate == 0 {
		c.ScrubRate = 10 << 20
	}
	if c.ImageMemory <= 0 {
		c.ImageMemory = picture.DefaultBudget
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// openStorage opens what stays: bytes, log, rows.
func (s *Service) openStorage(ctx context.Context, c Config) (err error) {
	s.Blobs, err = blobdisk.Open(filepath.Join(c.DataDir, blobsFolder), c.BlobDisk, blobdisk.Options{
		Originals: c.Originals, Keys: c.Keys, Registerer: s.Registry, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	o := c.Broker
	o.FS, o.SegmentBytes, o.Registerer, o.Logger = c.LogDisk, c.SegmentBytes, s.Registry, c.Logger
	o.MetricTopics = append(tasks.Topics(), tasks.TopicUpdates)
	o.Keep, o.Essential = o.MetricTopics, o.MetricTopics // rows are made again from them
	if s.Broker, err = broker.Open(filepath.Join(c.DataDir, topicsFolder), o); err != nil {
		return fmt.Errorf("open log: %w", embedded.ExplainDamage(err))
	}
	if s.Rows, err = store.Open(ctx, filepath.Join(c.RowsDir, rowsFile)); err != nil {
		return fmt.Errorf("open rows: %w", err)
	}
	return nil
}

// LookForMissing looks at once for blobs that rows name and that are gone. It happens by itself at the start and once a
// day.
func (s *Service) LookForMissing(ctx context.Context) error {
	if err := s.Work.CaughtUp(ctx); err != nil {
		return fmt.Errorf("look for missing blobs: %w", err)
	}
	if err := s.missing.look(ctx); err != nil {
		return fmt.Errorf("look for missing blobs: %w", err)
	}
	return nil
}

func (s *Service) newTask(c Config) func(tasks.Work) (tasks.Task, error) {
	if c.NewTask != nil {
		return c.NewTask
	}
	if c.Pictures.TimeLimit == 0 {
		c.Pictures.TimeLimit = c.TaskTimeout
	}
	budget := picture.NewBudget(c.ImageMemory)
	budget.OnChange(c.OnImageMemory)
	budget.LimitProcessors(cmp.Or(c.Processors, runtime.GOMAXPROCS(0)))
	processor := &tasks.Processor{
		Blobs: s.Blobs, PictureCache: s.Rows, Budget: budget, Pictures: c.Pictures, Layout: c.Layout, Studies: c.Studies,
		Parallel: runtime.NumCPU(), Logger: c.Logger,
		Record: s.ledger.Record,
	}
	return processor.Task
}

// Close drains: running tasks may finish until ctx ends, then they are interrupted and their attempts given
// back. Then it closes everything. A disk that hangs holds it up for no longer than a minute beyond ctx; the error says then
// what could not be closed, and the process should end.
func (s *Service) Close(ctx context.Context) error { return s.closeParts(ctx) }

// closeTimeout bounds how long a hung disk can hold up the end of all that is closed after the ledger.
const closeTimeout = 10 * time.Second

func (s *Service) closeParts(ctx context.Context) error {
	var errs []error
	if s.stop != nil {
		s.stop()
	}
	if s.ladders != nil {
		errs = append(errs, s.ladders.Close(ctx))
	}
	if s.webhooks != nil {
		errs = append(errs, s.webhooks.Close(ctx))
	}
	if s.Work != nil {
		errs = append(errs, s.Work.Close(ctx))
	} else if s.ledger != nil {
		errs = append(errs, s.ledger.Close(ctx))
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if s.trial != nil {
		errs = append(errs, s.trial.Close(closing))
	}
	if s.Progress != nil {
		errs = append(errs, within(closing, "rows of trial progress", "what they lack is made up from the events at the next start", s.Progress.Close))
	}
	errs = append(errs, within(closing, "what runs in the background", "", func() error { s.wg.Wait(); return nil }))
	if s.Rows != nil {
		errs = append(errs, within(closing, "rows", "what they lack is made up from the log at the next start", s.Rows.Close))
	}
	if s.Broker != nil {
		errs = append(errs, within(closing, "log", "what groups have acknowledged in the last moment may come again", s.Broker.Close))
	}
	if s.Blobs != nil {
		errs = append(errs, within(closing, "blobs", "", s.Blobs.Close))
	}
	return errors.Join(errs...)
}

// within calls end and returns its error, or an error that says what was not closed when ctx ends first: end then goes
// on, for the process has nothing more to do than to end.
func within(ctx context.Context, what, loses string, end func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended: // after all
		return err
	default:
	}
	if loses != "" {
		loses = "; nothing that was answered is lost, and " + loses
	}
	return fmt.Errorf("%s could not be closed, for the disk does not answer%s", what, loses)
}
