package embedded

import (
	"context"
	"fmt"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// restoring is the check in the watermark of the completions while these are being written again: a death of the process
// in between leaves it behind, and the next start begins once more.
const restoring = "restoring"

// rowsAtOnce is how many rows are read in one query where all are looked at.
const rowsAtOnce = 256

// completionsLost reports whether the rows have completions that their topic has lost.
func completionsLost(info broker.TopicInfo, mark store.Watermark) bool {
	return info.Topic == tasks.TopicCompletions && (mark.Next > info.End || mark.Check == restoring)
}

// restoreCompletions writes again the completions that their topic has lost: each was in the rows, which have come
// further than the topic, and a row has all that its completion has. It needs a bit of memory for each case report.
func (l *Ledger) restoreCompletions(ctx context.Context, info broker.TopicInfo) error {
	there, err := l.completionsThere(ctx, info)
	if err != nil {
		return err
	}
	if err := l.store.SetWatermark(ctx, info.Topic, store.Watermark{Next: info.End, Check: restoring}); err != nil {
		return err
	}
	restored := 0
	for after := store.FromStart; ; {
		rows, err := l.store.Finished(ctx, tasks.KindCaseReport(), after, rowsAtOnce)
		if err != nil {
			return err
		}
		n, err := l.restoreCompletionsOf(ctx, rows, there)
		if err != nil {
			return err
		}
		restored += n
		if len(rows) < rowsAtOnce {
			break
		}
		after = rows[len(rows)-1].Sequence
	}
	mark, err := l.markOfEnd(info.Topic)
	if err != nil {
		return err
	}
	l.metrics.restored.WithLabelValues(info.Topic).Add(float64(restored))
	l.cfg.Logger.Warn("a topic was gone or older than the rows, and what it has lost was written again from these: look at the disk, and at how the folder was restored",
		"folder", "topics/"+info.Topic, "ended", info.End, "records", restored)
	return l.store.SetWatermark(ctx, info.Topic, mark)
}

// restoreCompletionsOf writes the completions of those of the rows that have one and are not there.
func (l *Ledger) restoreCompletionsOf(ctx context.Context, rows []store.Row, there sequences) (restored int, err error) {
	var lost []store.Row
	var ids []string
	for _, row := range rows {
		if row.Status == tasks.Completed && !there.has(row.Sequence) {
			lost, ids = append(lost, row), append(ids, row.ID)
		}
	}
	if len(lost) == 0 {
		return 0, nil
	}
	released, err := l.store.Released(ctx, ids)
	if err != nil {
		return 0, err
	}
	var again []broker.Message
	size := 0
	for _, row := range lost {
		if len(released[row.ID]) == 0 {
			continue // nothing of it was dropped: it never had a completion
		}
		m, err := completionOf(row, row.Result.(tasks.CaseReportResult), released[row.ID])
		if err != nil {
			return restored, err
		}
		if size += m.Size(); size > publishBytes && len(again) > 0 {
			if _, err := l.broker.Publish(ctx, tasks.TopicCompletions, again...); err != nil {
				return restored, fmt.Errorf("write completions again: %w", err)
			}
			again, size = again[:0], m.Size()
		}
		again = append(again, m)
		restored++
	}
	if len(again) == 0 {
		return 0, nil
	}
	if _, err := l.broker.Publish(ctx, tasks.TopicCompletions, again...); err != nil {
		return restored, fmt.Errorf("write completions again: %w", err)
	}
	return restored, nil
}

// publishBytes bounds what is published at once, below the 4 MiB that the broker takes.
const publishBytes = 2 << 20

// completionsThere reads what is left of the completions. One of a report that the rows do not know is of another data
// folder.
func (l *Ledger) completionsThere(ctx context.Context, info broker.TopicInfo) (there sequences, err error) {
	err = l.eachRecord(ctx, info.Topic, info.Start, info.End, func(batch []broker.Message) error {
		var ids []string
		var left []tasks.Completion
		var offsets []uint64
		for _, m := range batch {
			s, err := decodeRecord(m)
			c, ok := s.Content.(tasks.Completion)
			if err != nil || !ok {
				continue // the recorder has told of it
			}
			ids, left, offsets = append(ids, c.ID), append(left, c), append(offsets, m.Offset)
		}
		if len(ids) == 0 {
			return nil
		}
		known, err := l.store.Offsets(ctx, tasks.KindCaseReport(), ids)
		if err != nil {
			return err
		}
		for i, c := range left {
			if row, ok := known[c.ID]; !ok || row.Sequence != c.Sequence {
				return &MismatchError{info.Topic, fmt.Sprintf("the rows have come further than the log, and record %d of the log is of a report that they do not have", offsets[i]), cureOtherLog}
			}
			there = there.with(c.Sequence)
		}
		return nil
	})
	return there, err
}

// eachRecord visits the records from start to end, exclusive, up to rowsAtOnce at a time.
func (l *Ledger) eachRecord(ctx context.Context, topic string, start, end uint64, visit func([]broker.Message) error) error {
	if start >= end {
		return nil
	}
	f, err := l.broker.Follow(topic, start)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	for start < end {
		messages, err := f.Next(ctx, recordBytes)
		if err != nil {
			return err
		}
		if n := end - start; uint64(len(messages)) > n {
			messages = messages[:n]
		}
		start += uint64(len(messages))
		for len(messages) > 0 {
			n := min(len(messages), rowsAtOnce)
			if err := visit(messages[:n]); err != nil {
				return err
			}
			messages = messages[n:]
		}
	}
	return nil
}

// markOfEnd is the watermark of rows that have all of a topic.
func (l *Ledger) markOfEnd(topic string) (store.Watermark, error) {
	info, err := l.broker.Topic(topic)
	if err != nil || info.End == info.Start {
		return store.Watermark{Next: info.End}, err
	}
	last, err := l.broker.Read(topic, info.End-1)
	if err != nil {
		return store.Watermark{}, fmt.Errorf("read record %d of %s: %w", info.End-1, topic, err)
	}
	return store.Watermark{Next: info.End, Check: check(last)}, nil
}

// sequences is a set of sequences of submissions, with a bit for each up to the greatest.
type sequences []uint64

func (s sequences) has(n uint64) bool {
	return n/64 < uint64(len(s)) && s[n/64]&(1<<(n%64)) != 0
}

func (s sequences) with(n uint64) sequences {
	for n/64 >= uint64(len(s)) {
		s = append(s, make([]uint64, 1+len(s))...)
	}
	s[n/64] |= 1 << (n % 64)
	return s
}
