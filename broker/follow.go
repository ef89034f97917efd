package broker

import (
	"context"
	"errors"
	"fmt"

	"casepress/commitlog"
)

// A Follower reads a topic in the order of the log, without a group: whoever reads keeps the position.
// It is not for use by several goroutines at once. Close it before the broker.
type Follower struct {
	topic  *topic
	reader *commitlog.Reader
}

// Follow returns a follower whose first message is the one at offset from.
func (b *Broker) Follow(topic string, from uint64) (*Follower, error) {
	t, err := b.topic(topic)
	if err != nil {
		return nil, err
	}
	return &Follower{topic: t, reader: t.log.NewReader(from)}, nil
}

// Next returns the next messages, at least one, and waits while there is none. It returns no more payload
// than maxBytes unless the first alone is larger. The error is ctx's, *commitlog.OutOfRangeError if retention
// has dropped the offset, *commitlog.CorruptionError or *DamageError if the bytes are not what was written, or
// why the log gives no more; the position stays as it was.
func (f *Follower) Next(ctx context.Context, maxBytes int) ([]Message, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		from := f.reader.Offset()
		records, err := f.reader.Next(maxBytes)
		if err != nil {
			return nil, fmt.Errorf("follow topic %s: %w", f.topic.name, err)
		}
		if len(records) == 0 {
			if err := f.topic.log.Wait(ctx, from); err != nil {
				return nil, fmt.Errorf("follow topic %s: %w", f.topic.name, err)
			}
			continue
		}
		messages := make([]Message, len(records))
		for i, r := range records {
			if messages[i], err = f.topic.decode(r); err != nil {
				f.reader.Seek(from)
				return nil, err
			}
		}
		return messages, nil
	}
}

// Close lets go of the file.
func (f *Follower) Close() error { return f.reader.Close() }

// Read returns the message at an offset. The error Is ErrNoMessage if there is none there.
func (b *Broker) Read(topic string, offset uint64) (Message, error) {
	t, err := b.topic(topic)
	if err != nil {
		return Message{}, err
	}
	if offset >= t.log.End() || offset < t.log.Start() {
		return Message{}, fmt.Errorf("%w: offset %d of topic %s, which has %d to %d", ErrNoMessage, offset, topic, t.log.Start(), t.log.End())
	}
	return t.read(b.ctx, offset)
}

// ErrNoMessage says that a topic has no message at an offset: not yet, or not any more.
var ErrNoMessage = errors.New("no message at this offset")

// Acknowledged reports whether the group is done with the message at offset: it was acknowledged, or it went
// to the dead letters.
func (b *Broker) Acknowledged(topic, group string, offset uint64) (bool, error) {
	t, err := b.topic(topic)
	if err != nil {
		return false, err
	}
	g := t.group(group)
	if g == nil {
		return false, fmt.Errorf("%w: %q of topic %s", ErrNoGroup, group, topic)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.isDone(offset), nil
}
