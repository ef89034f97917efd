package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const deadSuffix = ".dead"

// Headers of a dead letter: where it came from and why. Its ID is made of topic, offset, group and incarnation, so that a
// crash between publishing and acknowledging does not publish it twice within the deduplication window.
const (
	DeadTopic  = "dead-topic"
	DeadOffset = "dead-offset"
	DeadGroup  = "dead-group"
	DeadReason = "dead-reason" // at most 1,000 bytes of it
	DeadCount  = "dead-count"  // deliveries
	DeadID     = "dead-id"     // the message's own ID, if it had one
)

const (
	maxReason       = 1000
	reasonExhausted = "delivered too often without an acknowledgement"
)

// DeadLetterTopic returns the name of a topic's dead-letter topic.
func DeadLetterTopic(topic string) string { return topic + deadSuffix }

// SourceTopic returns the topic whose dead letters a topic keeps, if it is a dead-letter topic.
func SourceTopic(topic string) (source string, isDeadLetter bool) {
	source, isDeadLetter = strings.CutSuffix(topic, deadSuffix)
	return source, isDeadLetter && source != ""
}

// A letter is a dead letter on its way to stable storage.
type letter struct {
	topic   string // that the message came from
	pending Pending
}

// wait returns when the letter is on stable storage.
func (l *letter) wait(ctx context.Context) error {
	if err := l.pending.Wait(ctx); err != nil {
		return fmt.Errorf("dead letter to %s: %w", DeadLetterTopic(l.topic), err)
	}
	m := l.pending.topic.broker.metrics
	m.deadLetters.WithLabelValues(m.topicLabel(l.topic)).Inc()
	return nil
}

// deadLetter hands m to its dead-letter topic, creating that on demand. It waits for the disk only to create it, and while a
// full batch waits for the disk: so many letters become durable together.
func (b *Broker) deadLetter(ctx context.Context, m Message, group string, incarnation uint64, reason string, count int) (letter, error) {
	name := DeadLetterTopic(m.Topic)
	if err := checkName(name, maxTopicFolder); err != nil {
		return letter{}, fmt.Errorf("dead letter: %w", err)
	}
	t, err := b.ensureTopic(ctx, name, nil)
	if err != nil {
		return letter{}, fmt.Errorf("dead letter: %w", err)
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	offset := strconv.FormatUint(m.Offset, 10)
	dead := Message{ID: deadLetterID(m.Topic, offset, group, incarnation), Key: m.Key, Payload: m.Payload}
	dead.Headers = append(slices.DeleteFunc(slices.Clone(m.Headers), isDeadHeader),
		Header{DeadTopic, m.Topic}, Header{DeadOffset, offset}, Header{DeadGroup, group},
		Header{DeadReason, strings.ToValidUTF8(reason, "")}, Header{DeadCount, strconv.Itoa(count)})
	if m.ID != "" {
		dead.Headers = append(dead.Headers, Header{DeadID, m.ID})
	}
	pending, err := t.enqueue(ctx, []Message{dead}, nil)
	if err != nil {
		return letter{}, fmt.Errorf("dead letter to %s: %w", name, t.closedError(err))
	}
	return letter{m.Topic, pending}, nil
}

// deadLetterID names what became of a message in one life of a group. A topic or group that was deleted and made again,
// and a group that was moved, has another incarnation, so its dead letters are no repeats of those before.
func deadLetterID(topic, offset, group string, incarnation uint64) string {
	id := topic + "/" + offset + "/" + group
	if incarnation == 0 {
		return id
	}
	return id + "/" + strconv.FormatUint(incarnation, 36)
}

// isDeadHeader keeps the headers of a dead letter that died again from piling up.
func isDeadHeader(h Header) bool {
	switch h.Name {
	case DeadTopic, DeadOffset, DeadGroup, DeadReason, DeadCount, DeadID:
		return true
	}
	return false
}

// lettersTogether bounds how many dead letters become durable together.
const lettersTogether = 64

// publishDeadLetters publishes the messages whose deliveries are used up. What cannot be published is tried again later.
func (g *group) publishDeadLetters(ctx context.Context) {
	type sent struct {
		offset uint64
		letter letter
		err    error
	}
	for ctx.Err() == nil {
		var letters []sent
		for len(letters) < lettersTogether {
			g.mu.Lock()
			offset, count, ok := g.state.nextDeadLetter()
			incarnation := g.state.incarnation
			g.mu.Unlock()
			if !ok {
				break
			}
			l, err := g.sendDeadLetter(ctx, offset, incarnation, int(count))
			letters = append(letters, sent{offset, l, err})
		}
		if len(letters) == 0 {
			return
		}
		for _, l := range letters {
			if l.err == nil {
				l.err = l.letter.wait(ctx)
			}
			g.endDeadLetter(ctx, l.offset, l.err)
		}
	}
}

func (g *group) sendDeadLetter(ctx context.Context, offset, incarnation uint64, count int) (letter, error) {
	m, err := g.topic.read(ctx, offset)
	if err != nil {
		return letter{}, err
	}
	return g.topic.broker.deadLetter(ctx, m, g.name, incarnation, reasonExhausted, count)
}

// endDeadLetter acknowledges a message that is a dead letter, or after an error puts it off.
func (g *group) endDeadLetter(ctx context.Context, offset uint64, err error) {
	g.mu.Lock()
	if err != nil {
		g.state.delayDeadLetter(offset, g.now().steady+deadLetterDelay.Microseconds())
	} else {
		g.state.deadLettered(offset)
	}
	g.afterChange()
	g.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		g.topic.broker.opts.Logger.Warn("dead letter is tried again", "topic", g.topic.name, "group", g.name,
			"offset", offset, "after", time.Duration(deadLetterDelay), "error", err)
	}
}
