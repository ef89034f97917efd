package broker

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// TopicInfo describes a topic.
type TopicInfo struct {
	Topic  string
	Start  uint64   // offset of the oldest message that is kept
	End    uint64   // offset of the next message
	Bytes  int64    // of messages on disk
	Groups []string // sorted
}

// Topic describes a topic.
func (b *Broker) Topic(name string) (TopicInfo, error) {
	t, err := b.topic(name)
	if err != nil {
		return TopicInfo{}, err
	}
	info := TopicInfo{Topic: name, Start: t.log.Start(), End: t.log.End()}
	for _, s := range t.log.Segments() {
		info.Bytes += s.Bytes
	}
	info.Groups, err = b.Groups(name)
	return info, err
}

// GroupInfo is where a group stands.
type GroupInfo struct {
	Topic, Group  string
	Start         uint64    // every message below is acknowledged or a dead letter
	Next          uint64    // the first message never delivered
	End           uint64    // of the topic: the offset of its next message
	Lag           int       // messages not acknowledged, delivered ones included
	InFlight      int       // delivered and held
	Delayed       int       // released for later, or published for later, and not due
	Members       int       // subscriptions
	OldestUnacked time.Time // when the oldest of them was published, zero if there is none
	Waiting       int       // messages never delivered
	OldestWaiting time.Time // when the oldest of them was published, zero if there is none

	// Unacked messages are passed and not acknowledged: delivered, delayed, or waiting for another one of their key. Full
	// says that they are Options.MaxUnacked: nothing new is handed out until some are acknowledged or dead letters.
	// Redeliveries go on.
	Unacked int
	Full    bool
}

// Group describes a group. It returns ErrNoGroup when nobody ever subscribed under that name.
func (b *Broker) Group(topic, group string) (GroupInfo, error) {
	t, err := b.topic(topic)
	if err != nil {
		return GroupInfo{}, err
	}
	g := t.group(group)
	if g == nil {
		return GroupInfo{}, fmt.Errorf("%w: %q of topic %s", ErrNoGroup, group, topic)
	}
	info := g.info()
	if info.Start < info.End {
		if info.OldestUnacked, err = g.timeOf(&g.unacked, info.Start); err != nil {
			return info, err
		}
	}
	if info.Next < info.End {
		info.OldestWaiting, err = g.timeOf(&g.waiting, info.Next)
	}
	return info, err
}

// Groups returns the names of a topic's groups, sorted.
func (b *Broker) Groups(topic string) ([]string, error) {
	t, err := b.topic(topic)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.groups)), nil
}

// HasGroup says whether there is a group of that name.
func (b *Broker) HasGroup(topic, group string) bool {
	t := (*b.topics.Load())[topic]
	return t != nil && t.group(group) != nil
}

// GroupCount returns how many groups there are, of all topics.
func (b *Broker) GroupCount() (n int) {
	for _, t := range *b.topics.Load() {
		t.mu.Lock()
		n += len(t.groups)
		t.mu.Unlock()
	}
	return n
}

func (g *group) info() GroupInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state.expire(g.now())
	g.afterChange()
	i := GroupInfo{
		Topic: g.topic.name, Group: g.name, Start: g.state.start, Next: g.state.next, End: g.topic.log.End(),
		Members: len(g.members),
	}
	i.Unacked = g.state.unacked()
	i.Lag = int(i.End-i.Next) + i.Unacked
	for _, n := range g.state.held {
		i.InFlight += n
	}
	i.Delayed = g.state.timed.len() + g.state.dated.len() - i.InFlight
	i.Waiting = int(i.End - i.Next)
	i.Full = g.full()
	return i
}

// figures are what the metrics show of a group.
type figures struct {
	lag, unacked int
	full         bool
}

func (g *group) figures() figures {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.state.unacked()
	return figures{lag: int(g.topic.log.End()-g.state.next) + n, unacked: n, full: g.full()}
}

// A moment is when the message at an offset was published.
type moment struct {
	offset uint64
	time   time.Time // zero: not known
}

// timeOf returns the time of the message at offset, which it reads once for as long as the offset stays.
func (g *group) timeOf(known *moment, offset uint64) (time.Time, error) {
	g.mu.Lock()
	last := *known
	g.mu.Unlock()
	if last.offset == offset && !last.time.IsZero() {
		return last.time, nil
	}
	m, err := g.topic.read(g.topic.broker.ctx, offset)
	if err != nil {
		return time.Time{}, err
	}
	g.mu.Lock()
	*known = moment{offset, m.Time}
	g.mu.Unlock()
	return m.Time, nil
}
