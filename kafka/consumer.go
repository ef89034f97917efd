package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"casepress/progress"
)

// ConsumerOptions are the settings of a [Consumer].
type ConsumerOptions struct {
	// Topic is the topic of the events.
	Topic string
	// Group is the consumer group. Its members share the partitions.
	Group string
	// Brokers are addresses of Kafka.
	Brokers []string
	Logger  *slog.Logger
}

const (
	recordsTogether = 500 // of all partitions, in one poll
	partitionsAtOne = 4   // whose events are applied side by side
	applyTimeout    = 30 * time.Second
	firstRetry      = time.Second
	lastRetry       = 30 * time.Second
	longestPause    = 5 * time.Second  // after a poll that brought nothing but errors
	leaveTimeout    = 10 * time.Second // to finish a round and leave the group
)

var (
	errNotLookedAt  = errors.New("the topic has not been looked at yet")
	errAnotherTopic = errors.New("the topic was deleted and made again")
)

// Headers of a record in the dead-letter topic, {topic}.dead.
const (
	DeadTopic     = "dead-topic"
	DeadPartition = "dead-partition"
	DeadOffset    = "dead-offset"
	DeadGroup     = "dead-group"
	DeadReason    = "dead-reason"
	// DeadWithout says why the letter is without the key, value and headers of the record: Kafka does not take them. The record
	// is where [DeadTopic], [DeadPartition] and [DeadOffset] say.
	DeadWithout = "dead-without"
)

// Consumer makes the rows of trial progress of events in Kafka. The events of a partition are applied in their order,
// those of up to four partitions side by side, at most 500 at once. Offsets are committed after the rows, and a
// partition is given up only between two rounds, so that no event is in work in two processes.
//
// A topic that is deleted and made again while it is followed is another one, as its id tells: within seconds the rows are
// made again from its beginning.
//
// The rows decide where a partition goes on, and the committed offsets only tell Kafka's tools: a process whose rows
// were lost, and one that gets a partition for the first time, reads it from its beginning. So the rows of a process have
// all events of the partitions that it holds. One process alone in its group holds all.
//
// An event that can never be applied is written to the topic {topic}.dead, which is made if it is not there, before the
// offset is committed. If Kafka does not take it there, as one that is too large with the reason, the letter says where it is
// and has nothing of it.
type Consumer struct {
	o           ConsumerOptions
	rows        *progress.Rows
	client      *kgo.Client // asks about topics, and writes dead letters
	group       *kgo.Client // consumes, from Run on
	link        link
	incarnation string // the topic's id: a topic that is made again has another

	mu    sync.Mutex
	held  map[int32]span
	topic error     // why the topic cannot be followed, as it was last looked at; nil if it can
	read  error     // why it could not be read
	until time.Time // how long that counts: a partition that can be read again, and has nothing new, does not say so
}

// span is what is known of a partition: the next offset to apply, and that of the next record to come.
type span struct{ next, end int64 }

// NewConsumer makes a consumer. [Consumer.Run] does the work; rows must stay open until it has returned.
func NewConsumer(rows *progress.Rows, o ConsumerOptions) (*Consumer, error) {
	c := &Consumer{o: o, rows: rows, held: map[int32]span{}, topic: errNotLookedAt}
	var err error
	if c.client, err = newClient(o.Brokers, o.Logger, kgo.RequiredAcks(kgo.AllISRAcks())); err != nil {
		return nil, err
	}
	c.link = link{client: c.client, log: o.Logger}
	return c, nil
}

// Behind is how many events are known, in the partitions that this process holds, that are not in the rows yet.
func (c *Consumer) Behind() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n uint64
	for _, p := range c.held {
		n += uint64(max(p.end-p.next, 0))
	}
	return n, nil
}

// Held returns how many partitions this process holds.
func (c *Consumer) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}

// Ready returns what is in the way of following the events: Kafka does not answer, the topic is not there or was made again, or
// it could not be read in the last seconds.
func (c *Consumer) Ready() error {
	if err := c.link.Ready(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topic != nil {
		return fmt.Errorf("topic %s cannot be followed: %w", c.o.Topic, c.topic)
	}
	if time.Now().Before(c.until) {
		return fmt.Errorf("topic %s cannot be read: %w", c.o.Topic, c.read)
	}
	return nil
}

func (c *Consumer) sawTopic(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topic = err
}

// sawRead notes how a poll went. An error holds for a while, whatever the next poll brings: that may be of another partition.
func (c *Consumer) sawRead(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.read, c.until = err, time.Now().Add(2*longestPause)
	}
}

// Run consumes until ctx ends; then it finishes the round that it is in, commits and leaves the group, for up to 10 seconds: what is
// not done by then comes again. Run it once.
func (c *Consumer) Run(ctx context.Context) (err error) {
	defer c.client.Close()
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	defer func() { stop(); watcher.Wait() }()
	watcher.Go(func() { c.link.watch(watching) })
	for {
		if err := c.begin(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := c.follow(ctx); !errors.Is(err, errAnotherTopic) {
			return err
		}
		c.o.Logger.Warn("the topic was deleted and made again: it is read from its beginning", "topic", c.o.Topic)
	}
}

// follow consumes until ctx ends, or the topic is another one.
func (c *Consumer) follow(ctx context.Context) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	defer func() { stop(nil); watcher.Wait() }()
	// What is in work may be finished, but not wait for a Kafka that is away.
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leaveTimeout, end) })()
	// Not before begin, for it begins to join the group at once.
	if c.group, err = newClient(c.o.Brokers, c.o.Logger, kgo.WithContext(lasting),
		kgo.ConsumerGroup(c.o.Group), kgo.ConsumeTopics(c.o.Topic), kgo.DisableAutoCommit(), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsRevoked(c.lost), kgo.OnPartitionsLost(c.lost), kgo.AdjustFetchOffsetsFn(c.goOn),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(8<<20)); err != nil {
		return err
	}
	defer c.group.CloseAllowingRebalance()
	watcher.Go(func() { c.watchTopic(ctx, stop) })
	pause := firstRetry
	for ctx.Err() == nil {
		fetches := c.group.PollRecords(ctx, recordsTogether)
		if fetches.IsClientClosed() {
			return errors.New("kafka: the client was closed")
		}
		var failed error
		fetches.EachError(func(_ string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) {
				failed = fmt.Errorf("partition %d: %w", partition, err)
			}
		})
		c.round(ctx, lasting, fetches)
		c.group.AllowRebalance()
		c.sawRead(failed)
		switch {
		case failed == nil:
			pause = firstRetry
			continue
		case fetches.NumRecords() > 0: // the others are not held up
			pause = firstRetry
		}
		c.o.Logger.Warn("a partition could not be read and will be tried again", "topic", c.o.Topic, "in", pause, "err", failed)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
	if err := context.Cause(ctx); errors.Is(err, errAnotherTopic) {
		return err
	}
	return nil
}

// watchTopic looks at the topic's id until ctx ends or it is another.
func (c *Consumer) watchTopic(ctx context.Context, stop context.CancelCauseFunc) {
	for {
		select {
		case <-time.After(pingEach):
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, pingTimeout)
		id, err := c.topicID(asking, false)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil && id != c.incarnation {
			err = errAnotherTopic
		}
		c.sawTopic(err)
		if errors.Is(err, errAnotherTopic) {
			stop(err)
			return
		}
	}
}

// begin waits until the topic is there, and forgets rows that are of another one.
func (c *Consumer) begin(ctx context.Context) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := c.prepare(ctx)
		if err == nil {
			break
		}
		c.sawTopic(err)
		c.o.Logger.Warn("the topic cannot be looked at and will be tried again", "topic", c.o.Topic, "in", wait, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	positions, err := c.rows.Positions(ctx, c.source())
	if err != nil {
		return err
	}
	for _, p := range positions {
		if p.Incarnation != c.incarnation {
			c.o.Logger.Warn("the rows of trial progress are of another topic of this name: they are made again from its events", "topic", c.o.Topic)
			if err := c.rows.Reset(ctx); err != nil {
				return err
			}
			break
		}
	}
	c.sawTopic(nil)
	return nil
}

func (c *Consumer) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	id, err := c.topicID(ctx, c.incarnation == "") // one that was deleted is for people to make again
	if err != nil {
		return err
	}
	c.incarnation = id
	return c.makeDeadTopic(ctx)
}

// source is the name of the topic in the rows, another than that of a casepress' own topic.
func (c *Consumer) source() string { return "kafka/" + c.o.Topic }

// topicID asks for the topic, which may be made if the brokers do that by themselves, and returns its id.
func (c *Consumer) topicID(ctx context.Context, mayMake bool) (string, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = mayMake
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(c.o.Topic)
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return "", err
	}
	if len(answer.Topics) != 1 {
		return "", fmt.Errorf("%d topics were told of, not 1", len(answer.Topics))
	}
	if err := kerr.ErrorForCode(answer.Topics[0].ErrorCode); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", answer.Topics[0].TopicID), nil
}

// makeDeadTopic makes the dead-letter topic, with one partition and as many replicas as the brokers give by themselves.
func (c *Consumer) makeDeadTopic(ctx context.Context) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = c.deadTopic(), 1, -1
	request.Topics = append(request.Topics, topic)
	request.TimeoutMillis = int32(applyTimeout.Milliseconds())
	answer, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return err
	}
	for _, t := range answer.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("make topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

func (c *Consumer) deadTopic() string { return c.o.Topic + ".dead" }

// goOn sets where each partition that this process gets goes on: where its rows are.
func (c *Consumer) goOn(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	positions, err := c.rows.Positions(ctx, c.source())
	if err != nil {
		return nil, err
	}
	for partition := range offsets[c.o.Topic] {
		at := kgo.NewOffset().AtStart()
		if p, known := positions[partition]; known {
			at = kgo.NewOffset().At(int64(p.Next))
		}
		offsets[c.o.Topic][partition] = at
	}
	return offsets, nil
}

func (c *Consumer) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, partition := range partitions[c.o.Topic] {
		delete(c.held, partition)
	}
}

// round applies what was fetched and commits it. What fails is tried until it works or ctx ends: then it comes again. What is in
// work then goes on until lasting ends.
func (c *Consumer) round(ctx, lasting context.Context, fetches kgo.Fetches) {
	slots := make(chan struct{}, partitionsAtOne)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var done []*kgo.Record
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		c.note(p.Partition, p.Records[0].Offset, p.HighWatermark)
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if c.partition(ctx, lasting, p.Records) {
				last := p.Records[len(p.Records)-1]
				c.note(p.Partition, last.Offset+1, p.HighWatermark)
				mu.Lock()
				done = append(done, last)
				mu.Unlock()
			}
		})
	})
	wg.Wait()
	if len(done) == 0 {
		return
	}
	committing, cancel := context.WithTimeout(lasting, applyTimeout)
	defer cancel()
	if err := c.group.CommitRecords(committing, done...); err != nil { // the rows decide where to go on
		c.o.Logger.Warn("offsets could not be committed; the rows have the events", "err", err)
	}
}

func (c *Consumer) note(partition int32, next, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[partition] = span{next, max(end, next)}
}

// partition applies records of one partition, and tries until it works. It reports false if ctx ended before.
func (c *Consumer) partition(ctx, lasting context.Context, records []*kgo.Record) bool {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := c.apply(lasting, records)
		if err == nil {
			return true
		}
		c.o.Logger.Error("trial progress stands still and will be tried again", "partition", records[0].Partition, "offset", records[0].Offset, "in", wait, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
	}
}

func (c *Consumer) apply(ctx context.Context, records []*kgo.Record) (err error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic of type %T", p) // its text may be made of an event
			c.o.Logger.Error("applying events panicked", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
	}()
	reasons := make([]error, len(records))
	var events []progress.Event
	var of []int // the places of events in records
	for i, r := range records {
		e, counts, err := progress.Decode(r.Value)
		switch {
		case err != nil:
			reasons[i] = err
		case counts:
			events, of = append(events, e), append(of, i)
		}
	}
	last := records[len(records)-1]
	_, err = c.rows.Apply(ctx, events, func(errs []error) (progress.Position, func()) {
		for j, err := range errs {
			reasons[of[j]] = err
		}
		to := progress.Position{Topic: c.source(), Partition: last.Partition, Next: uint64(last.Offset + 1), Incarnation: c.incarnation}
		for i, reason := range reasons {
			if reason != nil { // all after the first dead letter is read again if that cannot be written
				to.Next = uint64(records[i].Offset)
				break
			}
		}
		return to, func() {}
	})
	if err != nil {
		return err
	}
	var dead []*kgo.Record
	for i, reason := range reasons {
		if reason != nil {
			dead = append(dead, c.deadLetter(records[i], reason))
		}
	}
	if len(dead) == 0 {
		return nil
	}
	if err := c.writeDeadLetters(ctx, dead); err != nil {
		return fmt.Errorf("write %d dead letters to %s: %w", len(dead), c.deadTopic(), err)
	}
	c.o.Logger.Warn("events cannot be applied and are dead letters", "topic", c.deadTopic(), "partition", last.Partition, "events", len(dead))
	_, err = c.rows.Apply(ctx, nil, func([]error) (progress.Position, func()) {
		return progress.Position{Topic: c.source(), Partition: last.Partition, Next: uint64(last.Offset + 1), Incarnation: c.incarnation}, func() {}
	})
	return err
}

// deadHeaders is how many headers a dead letter has before those of the record.
const deadHeaders = 5

func (c *Consumer) deadLetter(r *kgo.Record, reason error) *kgo.Record {
	return &kgo.Record{
		Topic: c.deadTopic(), Key: r.Key, Value: r.Value,
		Headers: append([]kgo.RecordHeader{
			{Key: DeadTopic, Value: []byte(r.Topic)}, {Key: DeadPartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
			{Key: DeadOffset, Value: strconv.AppendInt(nil, r.Offset, 10)}, {Key: DeadGroup, Value: []byte(c.o.Group)},
			{Key: DeadReason, Value: []byte(reason.Error())},
		}, r.Headers...),
	}
}

// writeDeadLetters writes all together, and those that are refused once more alone, for it may be that they are too large only
// together, and then without what the record has.
func (c *Consumer) writeDeadLetters(ctx context.Context, letters []*kgo.Record) error {
	for _, result := range c.client.ProduceSync(ctx, letters...) {
		err, l := result.Err, result.Record
		if isRefused(err) {
			err = c.client.ProduceSync(ctx, &kgo.Record{Topic: l.Topic, Key: l.Key, Value: l.Value, Headers: l.Headers}).FirstErr()
		}
		if isRefused(err) {
			err = c.client.ProduceSync(ctx, &kgo.Record{
				Topic: l.Topic, Headers: append(l.Headers[:deadHeaders:deadHeaders], kgo.RecordHeader{Key: DeadWithout, Value: []byte(err.Error())}),
			}).FirstErr()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
