package embedded

import (
	"context"
	"slices"
	"time"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// teller publishes the events of records of a topic, such as of steps that were taken with an adverse event. What came of a step
// only its rows say, so it waits for these; and how far it has come the broker keeps, as for any group: a record is acknowledged
// when its event is on stable storage, and comes again if the process dies before. So no event is missing, and one that comes
// twice has one id. Events are published in the order of the topic, but for the first of each submission, which may come before.
type teller struct {
	l    *Ledger
	kind *tasks.Kind
	sub  *broker.Subscription
}

// tellBatch is how many records become events in one write at most.
const tellBatch = 64

func (t *teller) run(ctx context.Context) {
	for {
		batch, err := t.l.receive(ctx, t.kind.Topic, t.sub, tellBatch)
		if err != nil {
			return // shutting down
		}
		for {
			err := t.tell(ctx, batch)
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				t.l.cfg.Logger.Error("events could not be published and will be tried again", "topic", t.kind.Topic, "err", err)
				t.l.logPanic(err)
			}
			if !sleep(ctx, failureDelay) {
				return
			}
			for _, d := range batch {
				t.l.logEnd(d, "renew", d.Renew())
			}
		}
		for _, d := range batch {
			t.l.logEnd(d, "ack", d.Ack())
		}
	}
}

// tell publishes the events of the batch. It may be repeated.
func (t *teller) tell(ctx context.Context, batch []broker.Delivery) error {
	offsets := make(map[uint64]bool, len(batch))
	first, last := batch[0].Offset, batch[0].Offset
	for _, d := range batch {
		offsets[d.Offset] = true
		first, last = min(first, d.Offset), max(last, d.Offset)
	}
	if err := t.l.recorders[t.kind.Topic].recorded.wait(ctx, last+1); err != nil {
		return err
	}
	var messages []broker.Message
	for after := first - 1; after+1 <= last; { // of the first record it is [store.FromStart]
		events, err := t.l.store.Events(ctx, t.kind, after, tellBatch)
		if err != nil {
			return err
		}
		for _, e := range events {
			if offsets[e.Offset] {
				messages = append(messages, messageOf(e.Event))
			}
		}
		if len(events) < tellBatch {
			break
		}
		after = events[len(events)-1].Offset
	}
	_, err := t.l.publishAll(ctx, messages)
	return err
}

// receivedWithin is how long telling at once may hold up the answer to a submission.
const receivedWithin = 100 * time.Millisecond

// tellReceived publishes the event that a submission was received, so that whoever is to be told waits for no rows. It does not
// wait for the disk, and need not succeed: the teller publishes the event again, and the topic keeps one of the two.
func (l *Ledger) tellReceived(ctx context.Context, s tasks.Submission, receipt dispatcher.Receipt) {
	if s.Kind.Rows.Received == nil {
		return
	}
	s.ReceivedAt = receipt.ReceivedAt
	ctx, cancel := context.WithTimeout(ctx, receivedWithin)
	defer cancel()
	err := tasks.Guard(func() error {
		event, err := s.Kind.Rows.Received(tasks.Recorded{Offset: receipt.Sequence, Submission: s})
		if err != nil {
			return err
		}
		_, err = l.broker.Enqueue(ctx, tasks.TopicUpdates, []broker.Message{messageOf(event)}, nil)
		return err
	})
	if err != nil {
		l.cfg.Logger.Warn("that a submission was received is told when its row is made", "kind", s.Kind.Name, "id", receipt.ID, "err", err)
		l.logPanic(err)
	}
}

func messageOf(e tasks.Event) broker.Message {
	return broker.Message{ID: e.ID, Key: e.Key, Payload: e.Payload}
}

// publishMissingTold publishes the events of records again that are not in the topic of events and that no delivery will bring.
func (l *Ledger) publishMissingTold(ctx context.Context, k *tasks.Kind, known *eventIDs) (published int, err error) {
	for after := store.FromStart; ; {
		events, err := l.store.Events(ctx, k, after, rowsAtOnce)
		if err != nil {
			return published, err
		}
		var missing []missingEvent
		for _, e := range events {
			if known.lacks(e.Event.ID) {
				missing = append(missing, missingEvent{messageOf(e.Event), e.Offset})
			}
		}
		ended, err := l.endedOf(ctx, k.Topic, groupEvents, missing, known)
		if err != nil {
			return published, err
		}
		n, err := l.publishAll(ctx, ended)
		published += n
		if err != nil || len(events) < rowsAtOnce {
			return published, err
		}
		after = events[len(events)-1].Offset
	}
}

// missingEvent is an event that is not in the topic, and the record whose delivery would bring it.
type missingEvent struct {
	event broker.Message
	due   uint64
}

// endedOf returns those of the missing events whose delivery to the group has ended, and that are still missing then.
func (l *Ledger) endedOf(ctx context.Context, topic, group string, missing []missingEvent, known *eventIDs) ([]broker.Message, error) {
	// First whether the delivery has ended, then what is in the topic: an event is there before its delivery ends.
	var ended []broker.Message
	for _, m := range missing {
		done, err := l.broker.Acknowledged(topic, group, m.due)
		if err != nil {
			return nil, err
		}
		if done {
			ended = append(ended, m.event)
		}
	}
	if len(ended) == 0 {
		return nil, nil
	}
	if err := known.readOn(ctx); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ended, func(event broker.Message) bool { return !known.lacks(event.ID) }), nil
}

// publishAll publishes events and returns how many it has.
func (l *Ledger) publishAll(ctx context.Context, events []broker.Message) (published int, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	for _, err := range l.publishEvents(ctx, events) {
		if err != nil {
			return published, err
		}
		published++
	}
	return published, nil
}
