package broker

import (
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
	offsets map[string]uint64
	order   []seen // oldest first, from head on
	head    int
}

type seen struct {
	id     string
	offset uint64
	at     int64 // microseconds
}

// openDedup reads the IDs of the window from the tail of the topic's log.
func openDedup(t *topic) (*dedup, error) {
	o := t.broker.opts
	d := &dedup{window: o.DedupWindow.Microseconds(), max: o.DedupMessages, offsets: make(map[string]uint64)}
	if d.window <= 0 {
		return d, nil
	}
	now := t.broker.clock.now()
	from, err := t.log.OffsetAt(microTime(now - d.window))
	if err != nil {
		return nil, fmt.Errorf("find the deduplication window: %w", err)
	}
	if end := t.log.End(); end-from > uint64(d.max) {
		from = end - uint64(d.max)
	}
	for {
		records, err := t.log.Read(from, 1<<20)
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
			d.remember(id, r.Offset, max(r.Time.UnixMicro(), now-d.window))
		}
		from = records[len(records)-1].Offset + 1
	}
}

// unplaced stands for the offset of a message that is just being appended.
const unplaced = math.MaxUint64

// claim returns the offset of the message with that ID, or notes that it is about to be appended: then comes
// remember or unclaim, under the same lock. The caller holds mu.
func (d *dedup) claim(id string) (offset uint64, known bool) {
	if id == "" {
		return 0, false
	}
	if offset, known = d.offsets[id]; !known {
		d.offsets[id] = unplaced
	}
	return offset, known
}

// tell sets the offset of each message after claim, if offsets is not nil: the new ones begin at next. The caller
// holds mu.
func (d *dedup) tell(msgs []Message, offsets []uint64, next uint64) {
	for i := range offsets {
		offset, named := d.offsets[msgs[i].ID]
		if !named || offset == unplaced {
			offset = next
			next++
		}
		if named {
			d.offsets[msgs[i].ID] = offset
		}
		offsets[i] = offset
	}
}

func (d *dedup) unclaim(ids []string) {
	for _, id := range ids {
		delete(d.offsets, id)
	}
}

// remember notes a message. The caller holds mu.
func (d *dedup) remember(id string, offset uint64, now int64) {
	if id == "" || d.window <= 0 {
		return
	}
	d.offsets[id] = offset
	d.order = append(d.order, seen{id, offset, now})
	d.forget(now)
}

func (d *dedup) forget(now int64) {
	for d.head < len(d.order) {
		oldest := d.order[d.head]
		if len(d.order)-d.head <= d.max && oldest.at >= now-d.window {
			break
		}
		if d.offsets[oldest.id] == oldest.offset {
			delete(d.offsets, oldest.id)
		}
		d.order[d.head] = seen{}
		d.head++
	}
	if d.head > 1024 && d.head > len(d.order)/2 {
		d.order = append([]seen(nil), d.order[d.head:]...)
		d.head = 0
	}
}
