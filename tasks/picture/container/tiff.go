package container

import (
	"encoding/binary"
	"math"
)

// TIFF walks the directories of a TIFF file, or of a TIFF block such as EXIF:
//
//	"II" or "MM" | 42(2) | offset of the first directory(4) | …
//	directory = entries(2) | entries x { tag(2) type(2) count(4) value, or its offset(4) } | offset of the next(4), 0 in the last
type TIFF struct {
	Order binary.ByteOrder
	// First is the offset of the first directory.
	First int64
	// Reader reads the block.
	*Reader
}

// TIFF reads the header of a block. ok is false if it is no TIFF, or one of the 64-bit kind.
func (r *Reader) TIFF() (t TIFF, ok bool) {
	head := r.Exactly(0, 8)
	if head == nil {
		return t, false
	}
	t.Reader = r
	switch string(head[:4]) {
	case "II*\x00":
		t.Order = binary.LittleEndian
	case "MM\x00*":
		t.Order = binary.BigEndian
	default:
		return t, false
	}
	t.First = int64(t.Order.Uint32(head[4:]))
	return t, true
}

// The types of an entry's value (TIFF 6.0, section 2).
const (
	TypeByte  = 1
	TypeASCII = 2
	TypeShort = 3
	TypeLong  = 4
	// TypeSignedShort and TypeSignedLong are SSHORT and SLONG.
	TypeSignedShort = 8
	TypeSignedLong  = 9
)

// typeSizes are the bytes that one value of a type has.
var typeSizes = [...]int64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}

// Entry is one entry of a directory.
type Entry struct {
	Tag, Type uint16
	Count     uint32
	value     [4]byte
}

// Directory returns the entries of the directory at an offset and the offset of the next one,
// 0 if there is none. Of a tag that comes again only the first counts, as in libtiff. ok is
// false if there is no directory; entries that the file has not are left out.
func (t TIFF) Directory(at int64) (entries []Entry, next int64, ok bool) {
	const entrySize = 12
	count := t.Exactly(at, 2)
	if count == nil {
		return nil, 0, false
	}
	n := int64(t.Order.Uint16(count))
	b := t.UpTo(at+2, entrySize*n+4)
	seen := map[uint16]bool{}
	for i := int64(0); i < n && len(b) >= entrySize; i, b = i+1, b[entrySize:] {
		e := Entry{Tag: t.Order.Uint16(b), Type: t.Order.Uint16(b[2:]), Count: t.Order.Uint32(b[4:]), value: [4]byte(b[8:12])}
		if !seen[e.Tag] {
			seen[e.Tag] = true
			entries = append(entries, e)
		}
	}
	if int64(len(b)) == 4 {
		next = int64(t.Order.Uint32(b))
	}
	return entries, next, true
}

// Value returns the bytes of an entry's value, nil if it has none, if they are more than most
// or if the file does not have them.
func (t TIFF) Value(e Entry, most int64) []byte {
	if int(e.Type) >= len(typeSizes) {
		return nil
	}
	n := typeSizes[e.Type] * int64(e.Count)
	if n <= 4 {
		return e.value[:n]
	}
	if n > most {
		return nil
	}
	return t.Exactly(int64(t.Order.Uint32(e.value[:])), n)
}

// Number returns the first value of an entry that is a BYTE, SHORT or LONG, or a signed one of the last
// two: writers differ on which of them a small number is. ok is false for other entries.
func (t TIFF) Number(e Entry) (v uint32, ok bool) {
	all := t.Numbers(e, 1)
	if len(all) == 0 {
		return 0, false
	}
	return all[0], true
}

// Numbers returns the first most values of an entry whose kind Number reads, nil if one of them is
// negative.
func (t TIFF) Numbers(e Entry, most int) []uint32 {
	switch e.Type {
	case TypeByte, TypeShort, TypeLong, TypeSignedShort, TypeSignedLong:
	default:
		return nil
	}
	if e.Count == 0 {
		return nil
	}
	size := int(typeSizes[e.Type])
	n := int(min(int64(e.Count), int64(most)))
	b := e.value[:]
	if int64(size)*int64(e.Count) > 4 {
		if b = t.Exactly(int64(t.Order.Uint32(e.value[:])), int64(size*n)); b == nil {
			return nil
		}
	}
	all := make([]uint32, n)
	for i := range all {
		switch e.Type {
		case TypeByte:
			all[i] = uint32(b[i])
		case TypeShort, TypeSignedShort:
			all[i] = uint32(t.Order.Uint16(b[2*i:]))
		default:
			all[i] = t.Order.Uint32(b[4*i:])
		}
		if e.Type == TypeSignedShort && all[i] > math.MaxInt16 || e.Type == TypeSignedLong && all[i] > math.MaxInt32 {
			return nil
		}
	}
	return all
}
