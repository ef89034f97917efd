package broker

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// dedup remembers the message IDs of a topic's last messages with their offsets, in memory; the log's tail tells
// them again after a restart. An ID is forgotten when it is older than window, or when max newer ones are known.
type dedup struct {
	window int64 // microseconds
	max    int

	mu      sync.Mutex
	entries map[string]uint64 // of each ID the number of its entry in order, counted from the first that ever was
	order   []seen            // oldest first, from head on
	head    int
	begin   uint64 // number of order[0]
}

type seen struct {
	id     string // empty once a later message has the same
	offset uint64
	at     int64 // microseconds
}

// openDedup reads the IDs of the window from the tail of the topic's log.
func openDedup(t *topic) (_ *dedup, err error) {
	o := t.broker.opts
	d := &dedup{window: o.DedupWindow.Microseconds(), max: o.DedupMessages, entries: make(map[string]uint64)}
	if d.window <= 0 {
		return d, nil
	}
	now := t.broker.clock.steady()
	from, err := t.log.OffsetAt(microTime(now - d.window))
	if err != nil {
		return nil, fmt.Errorf("find the deduplication window: %w", err)
	}
	if end := t.log.End(); end-from > uint64(d.max) {
		from = end - uint64(d.max)
	}
	r := t.log.NewReader(from)
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		records, err := r.Next(1 << 20)
		if err != nil {
			return nil, fmt.Errorf("read the deduplication window: %w", err)
		}
		if len(records) == 0 {
			return d, nil
		}
		for _, r := range records {
			id, err := decodeID(r.Payload)
			if err != nil {
				return nil, &DamageError{Topic: t.name, Offset: r.Offset, Err: err}
			}
			d.remember(id, r.Offset, min(max(r.Time.UnixMicro(), now-d.window), now))
		}
	}
}

const (
	noOffset = math.MaxUint64 // stands for the offset of a message that is just being appended
	noEntry  = math.MaxUint64 // of a message without an ID
)

// claim returns the entry of the message with that ID, or makes one for it: then comes assign or undoClaims, under the
// same lock. The caller holds mu.
func (d *dedup) claim(id string, now int64) (entry uint64, known bool) {
	if id == "" {
		return noEntry, false
	}
	if entry, known = d.entries[id]; !known {
		entry = d.begin + uint64(len(d.order))
		d.entries[id] = entry
		d.order = append(d.order, seen{id, noOffset, now})
	}
	return entry, known
}

// offset returns the offset of an entry: noOffset if it was only claimed. The caller holds mu.
func (d *dedup) offset(entry uint64) uint64 { return d.order[entry-d.begin].offset }

// assign gives the messages that were claimed their offsets: those that are new begin at next. It sets the offset of
// each if offsets is not nil. The caller holds mu.
func (d *dedup) assign(entries, offsets []uint64, next uint64) {
	for i, entry := range entries {
		offset := next
		if entry != noEntry {
			s := &d.order[entry-d.begin]
			if s.offset == noOffset {
				s.offset = next
			}
			offset = s.offset
		}
		if offset == next {
			next++
		}
		if offsets != nil {
			offsets[i] = offset
		}
	}
}

// undoClaims takes back what was claimed and got no offset. The caller holds mu.
func (d *dedup) undoClaims() {
	for last := len(d.order) - 1; last >= d.head && d.order[last].offset == noOffset; last-- {
		delete(d.entries, d.order[last].id)
		d.order[last] = seen{}
		d.order = d.order[:last]
	}
}

// discard forgets the messages from an offset on: the log has given them up, and hands their offsets out again.
func (d *dedup) discard(from uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for last := len(d.order) - 1; last >= d.head && d.order[last].offset >= from; last-- {
		if d.order[last].id != "" {
			delete(d.entries, d.order[last].id)
		}
		d.order[last] = seen{}
		d.order = d.order[:last]
	}
}

// remember notes a message of the log. The caller holds mu or nobody else knows d.
func (d *dedup) remember(id string, offset uint64, at int64) {
	if id == "" {
		return
	}
	if entry, known := d.entries[id]; known {
		d.order[entry-d.begin].id = ""
	}
	d.entries[id] = d.begin + uint64(len(d.order))
	d.order = append(d.order, seen{id, offset, at})
	d.forget(at)
}

// forget drops what is older than the window or too much. The caller holds mu.
func (d *dedup) forget(now int64) {
	for d.head < len(d.order) {
		oldest := &d.order[d.head]
		if len(d.order)-d.head <= d.max && oldest.at >= now-d.window {
			break
		}
		if oldest.id != "" {
			delete(d.entries, oldest.id)
		}
		*oldest = seen{}
		d.head++
	}
	if d.head > 1024 && d.head > len(d.order)/2 {
		n := copy(d.order, d.order[d.head:])
		clear(d.order[n:])
		d.order, d.begin, d.head = d.order[:n], d.begin+uint64(d.head), 0
	}
}
