package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A group event in the topic's groups log. These values are part of the file format: do not change them, add a
// version. Numbers are unsigned varints; each gap counts from the end of what the line before it covered,
// the first from start.
//
//	+---------+------------+------+-------+------------------------+------------------------------------+
//	| version | kind       | name | start | number of done ranges, | number of counts,                  |
//	| 1 byte  | 1 byte     | text |       | each: gap, length      | each: gap, count, due (µs, 0 none) |
//	+---------+------------+------+-------+------------------------+------------------------------------+
//
// An event of kind 4 says what holds for the group as a whole instead:
//
//	+---------+--------+------+-------------+----------------+------------------+
//	| version | kind 4 | name | incarnation | max deliveries | flags, 1 ordered |
//	+---------+--------+------+-------------+----------------+------------------+
const (
	eventVersion = 1
	eventChanges = 1 // says what changed since the event before
	eventReset   = 2 // says everything
	eventDeleted = 3 // the group is no more; start and both numbers are 0

	eventSettings = 4
	flagOrdered   = 1
)

var (
	errKind  = errors.New("unknown kind")
	errRange = errors.New("number out of range")
	errTail  = errors.New("bytes left over")
)

// appendEvent encodes e.
func appendEvent(b []byte, e *groupEvent) []byte {
	kind := byte(eventChanges)
	switch {
	case e.reset:
		kind = eventReset
	case e.deleted:
		kind = eventDeleted
	}
	b = append(b, eventVersion, kind)
	b = appendText(b, e.group)
	b = binary.AppendUvarint(b, e.start)
	b = binary.AppendUvarint(b, uint64(len(e.done)))
	at := e.start
	for _, d := range e.done {
		b = binary.AppendUvarint(b, d.from-at)
		b = binary.AppendUvarint(b, d.to-d.from)
		at = d.to
	}
	b = binary.AppendUvarint(b, uint64(len(e.counts)))
	at = e.start
	for _, c := range e.counts {
		b = binary.AppendUvarint(b, c.offset-at)
		b = binary.AppendUvarint(b, uint64(c.count))
		b = binary.AppendUvarint(b, uint64(c.due))
		at = c.offset + 1
	}
	return b
}

// appendSettings encodes e.settings.
func appendSettings(b []byte, e *groupEvent) []byte {
	b = append(b, eventVersion, eventSettings)
	b = appendText(b, e.group)
	b = binary.AppendUvarint(b, e.settings.incarnation)
	b = binary.AppendUvarint(b, uint64(e.settings.maxDeliveries))
	var flags byte
	if e.settings.ordered {
		flags = flagOrdered
	}
	return append(b, flags)
}

func decodeSettings(r reader) (groupEvent, error) {
	e := groupEvent{group: r.text()}
	incarnation, maxDeliveries, flags := r.number(), r.number(), r.number()
	switch {
	case r.err != nil:
		return groupEvent{}, r.err
	case len(r.b) > 0:
		return groupEvent{}, errTail
	case maxDeliveries > math.MaxInt32 || flags > flagOrdered:
		return groupEvent{}, errRange
	}
	e.settings = &groupSettings{incarnation, uint32(maxDeliveries), flags == flagOrdered}
	return e, nil
}

// decodeEvent decodes what appendEvent or appendSettings made and accepts no offset beyond the largest int64.
func decodeEvent(b []byte) (groupEvent, error) {
	if len(b) < 2 {
		return groupEvent{}, errShort
	}
	if b[0] != eventVersion {
		return groupEvent{}, fmt.Errorf("%w %d", errVersion, b[0])
	}
	if b[1] < eventChanges || b[1] > eventSettings {
		return groupEvent{}, fmt.Errorf("%w %d", errKind, b[1])
	}
	r := reader{b: b[2:]}
	if b[1] == eventSettings {
		return decodeSettings(r)
	}
	e := groupEvent{reset: b[1] == eventReset, deleted: b[1] == eventDeleted, group: r.text(), start: r.number()}
	if e.start > math.MaxInt64 {
		return groupEvent{}, errRange
	}
	e.readDone(&r)
	e.readCounts(&r)
	switch {
	case r.err != nil:
		return groupEvent{}, r.err
	case len(r.b) > 0:
		return groupEvent{}, errTail
	}
	return e, nil
}

func (e *groupEvent) readDone(r *reader) {
	at := e.start
	for range r.count(2) {
		gap, length := r.number(), r.number()
		if length == 0 || gap > math.MaxInt64-at || length > math.MaxInt64-at-gap {
			r.reject(errRange)
			return
		}
		e.done = append(e.done, offsetRange{at + gap, at + gap + length})
		at += gap + length
	}
}

func (e *groupEvent) readCounts(r *reader) {
	at := e.start
	for range r.count(3) {
		gap, count, due := r.number(), r.number(), r.number()
		if gap >= math.MaxInt64-at || count > math.MaxUint32 || due > math.MaxInt64 {
			r.reject(errRange)
			return
		}
		e.counts = append(e.counts, savedCount{offset: at + gap, count: uint32(count), due: int64(due)})
		at += gap + 1
	}
}
