package embedded

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// The topic of the events has no recorder: rows are not made of it. But it may be lost or older as any other, and then
// whoever had not received an event would miss it. So a watermark of it stands in the rows as well:
//
//	next       the end of the topic when the watermark was written
//	check_sum  "open" or "closed", a space, the start of the topic, a space, the check of its last record
//
// It is written when the ledger is opened, as open, and when it is closed. "closed" says that the topic has the event of
// every final submission, except where the delivery of the submission is still to come and will bring it. If
// it says so, and the topic is as it was, nothing needs to be done at the next start. Else, as after a death of the
// process, the topic is read, and the events of final submissions that are not in it are published again. An event has
// an id, by which a consumer drops a repeat.
//
// A row knows only of its last finish. What a submission was before somebody restarted it is not told again.
type eventMark struct {
	closed bool
	start  uint64
	next   uint64
	check  string
}

func (m eventMark) watermark() store.Watermark {
	state := "open"
	if m.closed {
		state = "closed"
	}
	return store.Watermark{Next: m.next, Check: fmt.Sprintf("%s %d %s", state, m.start, m.check)}
}

func eventMarkOf(w store.Watermark) (eventMark, error) {
	m := eventMark{next: w.Next}
	var state string
	n, err := fmt.Sscanf(w.Check, "%s %d %s", &state, &m.start, &m.check)
	if n < 2 || err != nil && m.next > 0 || state != "open" && state != "closed" {
		return m, fmt.Errorf("the watermark of %s is %q, which this program did not write", tasks.TopicUpdates, w.Check)
	}
	m.closed = state == "closed"
	return m, nil
}

const cureOtherEvents = "One of the two is of another data folder: put back the pair that belongs together; or move topics/" + tasks.TopicUpdates +
	" away and start: the events are published again from the rows"

// checkEvents looks whether the topic of the events is the one that the rows know. It changes nothing.
func (l *Ledger) checkEvents(ctx context.Context) error {
	info, err := l.broker.Topic(tasks.TopicUpdates)
	if err != nil {
		return err
	}
	w, known, err := l.store.Watermark(ctx, tasks.TopicUpdates)
	if err != nil {
		return fmt.Errorf("watermark of %s: %w", tasks.TopicUpdates, err)
	}
	if !known { // the rows were lost, or are of a version that kept none
		return nil
	}
	mark, err := eventMarkOf(w)
	if err != nil {
		l.cfg.Logger.Warn("all events are looked for", "err", err)
		return nil
	}
	if mark.next > info.End || mark.start < info.Start {
		l.cfg.Logger.Warn("a topic is gone or older than the rows, or the beginning of it is gone: the events that it has lost are published again. Look at the disk, and at how the folder was restored",
			"folder", "topics/"+tasks.TopicUpdates, "begins", info.Start, "began", mark.start, "ends", info.End, "ended", mark.next)
		return nil
	}
	if mark.next > info.Start {
		last, err := l.broker.Read(tasks.TopicUpdates, mark.next-1)
		if err != nil {
			return fmt.Errorf("read record %d of %s: %w", mark.next-1, tasks.TopicUpdates, err)
		}
		if check(last) != mark.check {
			return &MismatchError{tasks.TopicUpdates, fmt.Sprintf("record %d of the log is not the one that the rows know", mark.next-1), cureOtherEvents}
		}
	}
	if mark.closed && mark.next == info.End {
		l.events.complete.Store(true)
	}
	return nil
}

// openEvents writes that from now on events may be missing.
func (l *Ledger) openEvents(ctx context.Context) error { return l.markEvents(ctx, false) }

// closeEvents writes that none are missing, if that is known.
func (l *Ledger) closeEvents(ctx context.Context) error {
	if !l.events.complete.Load() || l.events.impossible.Load() {
		return nil
	}
	return l.markEvents(ctx, true)
}

func (l *Ledger) markEvents(ctx context.Context, closed bool) error {
	info, err := l.broker.Topic(tasks.TopicUpdates)
	if err != nil {
		return err
	}
	w, err := l.markOfEnd(tasks.TopicUpdates)
	if err != nil {
		return err
	}
	mark := eventMark{closed: closed, start: info.Start, next: w.Next, check: w.Check}
	return l.store.SetWatermark(ctx, tasks.TopicUpdates, mark.watermark())
}

// publishMissing publishes the events again that final submissions should have and that are not in the topic.
func (l *Ledger) publishMissing(ctx context.Context) {
	if l.events.complete.Load() || l.caughtUpToStart(ctx, tasks.Topics()...) != nil {
		return
	}
	for ctx.Err() == nil {
		n, err := l.publishMissingOnce(ctx, eventsAtOnce)
		if n > 0 {
			l.metrics.restored.WithLabelValues(tasks.TopicUpdates).Add(float64(n))
			l.cfg.Logger.Warn("events of finished submissions were not in their topic and were published again", "folder", "topics/"+tasks.TopicUpdates, "events", n)
		}
		switch {
		case err == nil:
			l.events.complete.Store(true)
			return
		case ctx.Err() != nil:
			return
		}
		l.cfg.Logger.Error("missing events could not be looked for", "err", err)
		if errors.Is(err, store.ErrDamaged) {
			return // until rows are made again
		}
		sleep(ctx, maxFailureDelay)
	}
}

// eventsAtOnce bounds the memory for the ids of events that are in the topic: 8 MiB. Where there are more events, topic
// and rows are read several times.
const eventsAtOnce = 1 << 20

func (l *Ledger) publishMissingOnce(ctx context.Context, atOnce uint64) (published int, err error) {
	info, err := l.broker.Topic(tasks.TopicUpdates)
	if err != nil {
		return 0, err
	}
	parts := (info.End-info.Start)/atOnce + 1
	seed := maphash.MakeSeed() // one for all parts: it says which id belongs to which
	for part := range parts {
		known := eventIDs{l: l, seed: seed, part: part, parts: parts, next: info.Start}
		if err := known.readOn(ctx); err != nil {
			return published, err
		}
		for _, k := range tasks.Kinds() {
			var n int
			var err error
			if k.IsSubmission() {
				n, err = l.publishMissingOf(ctx, k, &known)
			}
			published += n
			if err == nil && k.Rows.Events != nil {
				n, err = l.publishMissingTold(ctx, k, &known)
				published += n
			}
			if err != nil {
				return published, err
			}
		}
	}
	return published, nil
}

func (l *Ledger) publishMissingOf(ctx context.Context, k *tasks.Kind, known *eventIDs) (published int, err error) {
	for after := store.FromStart; ; {
		rows, err := l.store.Finished(ctx, k, after, rowsAtOnce)
		if err != nil {
			return published, err
		}
		missing, err := l.missingOf(ctx, k, rows, known)
		if err != nil {
			return published, err
		}
		n, err := l.publishAll(ctx, missing)
		published += n
		if err != nil || len(rows) < rowsAtOnce {
			return published, err
		}
		after = rows[len(rows)-1].Sequence
	}
}

// missingOf returns the events of those of the final rows that are not in the topic and that no delivery will bring.
func (l *Ledger) missingOf(ctx context.Context, k *tasks.Kind, rows []store.Row, known *eventIDs) ([]broker.Message, error) {
	var missing []missingEvent
	var ids []string // of the submissions of missing
	for _, row := range rows {
		event, err := l.eventOf(row)
		if err != nil {
			l.events.impossible.Store(true)
			l.cfg.Logger.Error("a finished submission could not be announced", "kind", k.Name, "id", row.ID, "err", err)
			continue
		}
		if known.lacks(event.ID) {
			missing, ids = append(missing, missingEvent{event: event}), append(ids, row.ID)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	offsets, err := l.store.Offsets(ctx, k, ids)
	if err != nil {
		return nil, err
	}
	for i := range missing {
		missing[i].due = offsets[ids[i]].Due
	}
	return l.endedOf(ctx, k.Topic, groupWorkers, missing, known)
}

// eventIDs are the ids of one part of the events that are in the topic, as hashes: of two ids with one hash an event could
// be taken for there, which among a million events happens once in some ten million starts.
type eventIDs struct {
	l           *Ledger
	seed        maphash.Seed
	part, parts uint64
	next        uint64 // offset of the first event that was not read
	hashes      []uint64
}

// readOn reads what is in the topic up to now.
func (e *eventIDs) readOn(ctx context.Context) error {
	end, err := e.l.broker.End(tasks.TopicUpdates)
	if err != nil || end <= e.next {
		return err
	}
	err = e.l.eachRecord(ctx, tasks.TopicUpdates, e.next, end, func(batch []broker.Message) error {
		for _, m := range batch {
			if h := maphash.String(e.seed, m.ID); h%e.parts == e.part {
				e.hashes = append(e.hashes, h)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.next = end
	slices.Sort(e.hashes)
	return nil
}

// lacks reports whether the id belongs to this part and is not in the topic.
func (e *eventIDs) lacks(id string) bool {
	h := maphash.String(e.seed, id)
	if h%e.parts != e.part {
		return false
	}
	_, found := slices.BinarySearch(e.hashes, h)
	return !found
}
