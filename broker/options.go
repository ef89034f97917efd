package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/disk"
)

// Options are the settings of a broker. The zero value is good; it keeps messages for ever.
type Options struct {
	FS     disk.FS      // default disk.OS
	Logger *slog.Logger // default: discards. Names topics and groups, never keys, headers or payloads

	// Registerer gets the broker's metrics, casepress_broker_…, until Close. Nil: they are not kept. A figure by topic
	// or group has a series for each of MetricTopics and one for all others together.
	Registerer   prometheus.Registerer
	MetricTopics []string

	SegmentBytes int64 // size of a full-grown segment of a topic, default 64 MiB; what retention removes at a time
	// Essential are the topics without which the program cannot do its work; with each go its dead letters. Where it is set, damage
	// in another topic does not keep Open from opening the rest: every use of that topic returns the damage until it is deleted, or
	// mended and opened again. And Err tells of these topics only. Nil: all are essential.
	Essential []string

	MaxMessageBytes int // largest payload, default 1 MiB. If it is lowered, larger messages that are already stored cannot become dead letters

	// MaxOpenFiles is how many files the logs of all topics hold open together, default 512; a few dozens more are open for
	// moments. A topic needs two to be written to and each group one to read what is not in memory; beyond the limit those are
	// closed that were not used for the longest time, and opened again when they are needed.
	MaxOpenFiles int

	LockTimeout time.Duration // of subscriptions that do not say, default 30 s
	AckDelay    time.Duration // an Ack, Release or delivery count is durable this long after, plus one sync; default 10 ms
	MaxUnacked  int           // messages of a group that are passed (delivered, delayed or waiting for their key) and not acknowledged, at most 2,097,152; default 131,072 (up to 12 MiB a group)
	ReadAhead   int           // bytes of messages that a group with members reads ahead, default 256 KiB

	// MaxReadAhead bounds the bytes that all groups read ahead together, their buffers included, default 32 MiB. Beyond it a
	// group reads one message at a time, and its payload again when it is handed out; so all go on, more slowly.
	MaxReadAhead int64

	// MaxDelay is how far ahead a message may be due, by its DeliverAt or by a Release, default 365 days. Until then it is
	// one of the MaxUnacked messages of each group, and retention keeps it and all after it.
	MaxDelay time.Duration

	// Now is the machine's clock, default time.Now: messages get their time from it and are due by it.
	Now func() time.Time

	DedupWindow   time.Duration // a message ID is remembered this long, default 10 minutes; negative: not at all
	DedupMessages int           // and no more IDs a topic than this, default 65,536

	// What retention may remove is what every group of a topic has passed, in whole segments; see Keep.
	RetainAge     time.Duration // messages older than this may be removed; 0: no limit
	RetainBytes   int64         // the oldest messages of a topic larger than this may be removed; 0: no limit
	RetentionEach time.Duration // how often retention looks, default 1 minute
	Keep          []string      // topics whose messages, and whose dead letters, retention never removes
}

// Defaults and limits of Options.
const (
	DefaultMaxOpenFiles = 512
	MinOpenFiles        = 8
	DefaultMaxUnacked   = 1 << 17
	MostUnacked         = maxUnacked
	DefaultMaxReadAhead = 32 << 20
)

const (
	maxName         = 128                         // letters of a topic's or group's name
	maxTopicFolder  = maxName + 8*len(deadSuffix) // a dead-letter topic of dead-letter topics
	groupsSegment   = 4 << 20                     // bytes of a segment of a groups log
	groupsRecord    = 64 << 20                    // largest record of a groups log: a group at its largest
	eventsTogether  = 1 << 20                     // bytes of group events that go to the disk in one batch, about
	compactGrowth   = 1 << 20                     // a groups log is compacted when it grew by this and fourfold
	defaultWindow   = 64                          // deliveries in flight of a subscription
	defaultLock     = 30 * time.Second            //
	groupsRetry     = time.Second                 // until a group event for which the disk had no room is tried again
	deadLetterDelay = time.Second                 // until a dead letter that could not be published is tried again
	openTogether    = 16                          // topics that are opened or made at once; each has up to two files beside MaxOpenFiles
)

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = disk.OS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	def(&o.SegmentBytes, 64<<20)
	def(&o.MaxMessageBytes, 1<<20)
	def(&o.MaxOpenFiles, DefaultMaxOpenFiles)
	def(&o.LockTimeout, defaultLock)
	def(&o.AckDelay, 10*time.Millisecond)
	def(&o.MaxUnacked, DefaultMaxUnacked)
	def(&o.MaxDelay, 365*24*time.Hour)
	def(&o.ReadAhead, 256<<10)
	def(&o.MaxReadAhead, DefaultMaxReadAhead)
	def(&o.DedupWindow, 10*time.Minute)
	def(&o.DedupMessages, 1<<16)
	def(&o.RetentionEach, time.Minute)
	switch {
	case o.MaxUnacked < 1 || o.MaxUnacked > maxUnacked:
		return o, fmt.Errorf("%w: MaxUnacked %d is not within 1 and %d", ErrInvalid, o.MaxUnacked, maxUnacked)
	case o.MaxOpenFiles < MinOpenFiles:
		return o, fmt.Errorf("%w: MaxOpenFiles is %d, it must be at least %d", ErrInvalid, o.MaxOpenFiles, MinOpenFiles)
	case o.SegmentBytes < 0 || o.MaxMessageBytes < 0 || o.LockTimeout < 0 || o.AckDelay < 0 || o.MaxDelay < 0 || o.ReadAhead < 0 || o.MaxReadAhead < 0 ||
		o.DedupMessages < 0 || o.RetainAge < 0 || o.RetainBytes < 0 || o.RetentionEach < 0:
		return o, fmt.Errorf("%w: a setting is negative", ErrInvalid)
	}
	return o, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// CheckName returns ErrInvalid for what is no name of a group or of a topic that clients may create: names are 1-128 of
// A-Z a-z 0-9 . _ - and not only dots.
func CheckName(name string) error { return checkName(name, maxName) }

// CheckTopicName is CheckName, and lets longer names of dead-letter topics pass.
func CheckTopicName(name string) error { return checkName(name, maxTopicFolder) }

// checkName keeps names to what is safe as a folder name and easy to type.
func checkName(name string, limit int) error {
	ok := len(name) >= 1 && len(name) <= limit && strings.Trim(name, ".") != ""
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%w: name %.150q is not 1-%d of A-Z a-z 0-9 . _ -", ErrInvalid, name, limit)
	}
	return nil
}
