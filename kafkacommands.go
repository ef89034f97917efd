package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"

	"casepress/client"
	"casepress/disk"
	"casepress/handlers"
	"casepress/kafka"
	"casepress/progress"
	"casepress/service"
	"casepress/study"
)

// LogOptions say what is logged.
type LogOptions struct {
	LogLevel  Level  `default:"info" help:"Lowest level that is logged: debug, info, warn, error."`
	LogFormat string `default:"text" enum:"text,json" help:"Format of the log on standard error: text or json."`

	unread []string `kong:"-"` // variables of the environment that look like settings
}

func (o *LogOptions) setUnread(names []string) { o.unread = names }

// logger makes the log of a command that goes on until it is stopped. Its first lines name the variables that look like settings and are none:
// what was meant by them does not hold, and nothing else would say so.
func (o *LogOptions) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(o.LogLevel)}
	log := slog.New(slog.NewTextHandler(w, options))
	if o.LogFormat == "json" {
		log = slog.New(slog.NewJSONHandler(w, options))
	}
	for _, name := range o.unread {
		log.Warn("a variable of the environment has the name of a setting, but no setting has that name; casepress --help shows them all", "variable", name)
	}
	return log
}

var errNoKafka = errors.New("name Kafka's brokers: --kafka HOST:PORT,…")

// Relay carries a topic of a running casepress to Kafka.
type Relay struct {
	Kafka []string `placeholder:"HOST:PORT,…" help:"Brokers of Kafka."`
	Topic string   `default:"${topic_updates}" env:"-" help:"Topic here and in Kafka, where it should be there already."`
	Group string   `default:"kafka-relay" env:"-" help:"Consumer group by which casepress knows how far the relay has come."`
	Addr  string   `default:"127.0.0.1:9090" env:"CASEPRESS_ADDR,CASEPRESS_GRPC_ADDR" help:"Address of the broker of casepress."`

	LogOptions `embed:""`
}

// Run relays until ctx ends.
func (r *Relay) Run(ctx context.Context, _, stderr io.Writer) (err error) {
	if len(r.Kafka) == 0 {
		return errNoKafka
	}
	conn, err := client.Dial(r.Addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	log := r.logger(stderr)
	log.Info("relaying", "topic", r.Topic, "from", r.Addr, "to", strings.Join(r.Kafka, ","))
	return kafka.NewRelay(conn, kafka.RelayOptions{Topic: r.Topic, Group: r.Group, Brokers: r.Kafka, Logger: log}).Run(ctx)
}

// Progress serves trial progress from events in Kafka, without a casepress.
type Progress struct {
	Kafka   []string `placeholder:"HOST:PORT,…" help:"Brokers of Kafka."`
	Topic   string   `default:"${topic_updates}" env:"-" help:"Topic of the events."`
	Group   string   `default:"trial-progress" env:"-" help:"Consumer group. Processes of one group share the partitions, and each shows the patients of its own: give each that is to show all a group of its own."`
	Studies string   `placeholder:"DIR" help:"Folder of study files, {id}.json, whose visits are looked at. See docs/study.md."`
	DataDir string   `default:"./progress-data" help:"Folder for progress.db, which can be made again from the topic."`
	Addr    string   `default:"127.0.0.1:8082" env:"-" help:"Address of /trial-progress, /healthz and /readyz."`
	Hosts   []Host   `placeholder:"NAME,…" help:"Names that the service is reached by beside its addresses and localhost; requests for any other are refused (421)."`

	LogOptions `embed:""`
}

// Run serves until ctx ends.
func (p *Progress) Run(ctx context.Context, _, stderr io.Writer) (err error) {
	if len(p.Kafka) == 0 {
		return errNoKafka
	}
	log := p.logger(stderr)
	studies, err := study.Load(p.Studies)
	if err != nil {
		return fmt.Errorf("--studies: %w", err)
	}
	if err := disk.OS.MkdirAll(p.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	unlock, err := disk.Lock(p.DataDir)
	if errors.Is(err, disk.ErrLocked) {
		err = fmt.Errorf("%w: stop that one or give this one its own --data-dir", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := service.MakePrivate(p.DataDir, log); err != nil {
		return err
	}
	rows, err := progress.Open(ctx, filepath.Join(p.DataDir, "progress.db"), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	consumer, err := kafka.NewConsumer(rows, kafka.ConsumerOptions{Topic: p.Topic, Group: p.Group, Brokers: p.Kafka, Logger: log})
	if err != nil {
		return err
	}
	api := handlers.NewTrialProgress(handlers.Config{
		Hosts: hostsOf(p.Addr, p.Hosts), Studies: studies, Progress: handlers.TrialProgress{Rows: rows, Behind: consumer.Behind},
	}, consumer.Ready, log)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	hurry, release := secondSignal()
	defer release()
	var following sync.WaitGroup
	following.Go(func() {
		if e := consumer.Run(ctx); e != nil {
			err = e
			stop()
		}
	})
	served := serveAll(ctx, hurry, log, listener{"http", "--addr", p.Addr, api.Server(), "/progress.html"})
	stop()
	following.Wait()
	return errors.Join(err, served)
}
