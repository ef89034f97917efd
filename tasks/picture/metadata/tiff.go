package metadata

import (
	"encoding/binary"
	"fmt"
)

// The tags that point at something: other directories and blocks of other kinds.
const (
	tagXMP          = 0x02bc
	tagSubIFDs      = 0x014a
	tagIPTC         = 0x83bb
	tagPhotoshop    = 0x8649
	tagExif         = 0x8769
	tagICC          = 0x8773
	tagGPS          = 0x8825
	tagInterop      = 0xa005
	tagDateOriginal = 0x9003
	tagZoneOriginal = 0x9011
)

const maxDirectories = 64

// exif reads the directories of a TIFF block, as EXIF is, or of a TIFF file:
//
//	"II*\0" or "MM\0*" | offset of the first directory(4) | …
//	directory = entries(2) | entries x { tag(2) type(2) count(4) value or its offset(4) } | offset of the next one(4)
type exif struct {
	*reader
	file
	order   binary.ByteOrder
	isFile  bool // tags that say how the picture is stored are no metadata
	visited map[int64]bool
}

func (r *reader) readTIFF(f file, isFile bool) {
	head := r.read(f, 0, 8)
	if head == nil {
		return
	}
	e := exif{reader: r, file: f, isFile: isFile, visited: map[int64]bool{}}
	switch string(head[:4]) {
	case "II*\x00":
		e.order = binary.LittleEndian
	case "MM\x00*":
		e.order = binary.BigEndian
	default:
		return
	}
	e.directories(int64(e.order.Uint32(head[4:])), mainNames)
}

// readEXIF reads a block that may begin with "Exif\0\0".
func (r *reader) readEXIF(b []byte) {
	const prefix = "Exif\x00\x00"
	if len(b) >= len(prefix) && string(b[:4]) == prefix[:4] {
		b = b[len(prefix):]
	}
	r.readTIFF(block(b), false)
}

// directories reads the directory at offset and those that follow it. None is read
// twice, so that a circle ends.
func (e *exif) directories(offset int64, names map[uint16]string) {
	for offset != 0 && !e.visited[offset] && len(e.visited) < maxDirectories {
		e.visited[offset] = true
		count := e.read(e.file, offset, 2)
		if count == nil {
			return
		}
		n := int64(e.order.Uint16(count))
		entries := e.readUpTo(e.file, offset+2, 12*n)
		for ; len(entries) >= 12; entries = entries[12:] {
			e.entry(entries[:12], names)
		}
		next := e.read(e.file, offset+2+12*n, 4)
		if next == nil {
			return
		}
		offset = int64(e.order.Uint32(next))
	}
}

func (e *exif) entry(entry []byte, names map[uint16]string) {
	tag := e.order.Uint16(entry)
	if names := directoryNames[tag]; names != nil {
		for _, offset := range e.offsets(entry) {
			e.directories(offset, names)
		}
		return
	}
	switch tag {
	case tagDateOriginal:
		e.taken = text(e.value(entry))
	case tagZoneOriginal:
		e.zone = text(e.value(entry))
	case tagXMP:
		e.readXMP(e.value(entry))
		return
	case tagIPTC:
		e.readIPTC(e.value(entry))
		return
	case tagPhotoshop:
		e.readPhotoshop(e.value(entry))
		return
	case tagICC:
		e.readICC(e.value(entry))
		return
	}
	if e.isFile && storageTags[tag] {
		return
	}
	if name := names[tag]; name != "" {
		e.name("", name)
	} else {
		e.name("", fmt.Sprintf("EXIF:0x%04x", tag))
	}
}

// value returns the bytes of an entry's value, nil if it has none.
func (e *exif) value(entry []byte) []byte {
	sizes := [...]int64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
	typ := int(e.order.Uint16(entry[2:]))
	if typ >= len(sizes) {
		return nil
	}
	n := sizes[typ] * int64(e.order.Uint32(entry[4:]))
	if n <= 4 {
		return entry[8 : 8+n]
	}
	return e.readUpTo(e.file, int64(e.order.Uint32(entry[8:])), n)
}

// offsets returns the offsets of directories in an entry's value.
func (e *exif) offsets(entry []byte) (all []int64) {
	value := e.value(entry)
	for ; len(value) >= 4 && len(all) < maxDirectories; value = value[4:] {
		all = append(all, int64(e.order.Uint32(value)))
	}
	return all
}
