// Package kafka implements what casepress says to Apache Kafka: [Relay] carries a topic of a casepress to Kafka, and
// [Consumer] makes the rows of trial progress of events in Kafka. It speaks by franz-go, which no other package knows.
//
//	casepress ──gRPC──> Relay ──acks=all, by patient──> Kafka ──> Consumer ──> progress.Rows
//
// Both deliver at least once and keep the order of each key: a message is acknowledged, or its offset committed, after it is
// durable on the other side. While Kafka does not answer they wait, hold no more than a bounded number of messages, and
// say so in the log. Connections are not encrypted and not authenticated.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	pingEach    = 5 * time.Second
	pingTimeout = 3 * time.Second
)

// newClient makes a client that tells nobody about keys and values: franz-go logs names of topics, brokers and groups.
func newClient(brokers []string, log *slog.Logger, o ...kgo.Opt) (*kgo.Client, error) {
	if len(brokers) == 0 {
		return nil, errors.New("kafka: no broker is named")
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.ClientID("casepress"), kgo.WithLogger(logger{log}),
	}, o...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return client, nil
}

// isRefused reports whether Kafka refuses a record for what it is: it would refuse it each time.
func isRefused(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord)
}

// link watches whether Kafka answers.
type link struct {
	client *kgo.Client
	log    *slog.Logger

	mu  sync.Mutex
	err error // why it does not; nil if it does
}

// watch asks until ctx ends, and logs each change.
func (l *link) watch(ctx context.Context) {
	known := false
	for {
		asking, cancel := context.WithTimeout(ctx, pingTimeout)
		err := l.client.Ping(asking)
		cancel()
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		changed := !known || (l.err == nil) != (err == nil)
		l.err, known = err, true
		l.mu.Unlock()
		switch {
		case changed && err != nil:
			l.log.Warn("no answer from Kafka; nothing is lost, and what is to do waits", "err", err)
		case changed:
			l.log.Info("connected to Kafka")
		}
		select {
		case <-time.After(pingEach):
		case <-ctx.Done():
			return
		}
	}
}

// Ready returns why Kafka cannot be used, as it was found within the last seconds.
func (l *link) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return fmt.Errorf("Kafka does not answer: %w", l.err) //nolint:staticcheck // a name
	}
	return nil
}

// logger hands warnings and errors of franz-go on.
type logger struct{ log *slog.Logger }

func (logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l logger) Log(level kgo.LogLevel, message string, values ...any) {
	at := slog.LevelWarn
	if level == kgo.LogLevelError {
		at = slog.LevelError
	}
	l.log.Log(context.Background(), at, "from the client of Kafka", append([]any{"message", message}, values...)...)
}
