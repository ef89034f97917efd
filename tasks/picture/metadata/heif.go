package metadata

import (
	"bytes"
	"encoding/binary"
)

// readHEIF reads the meta box of a HEIF or AVIF file and the items that it points at.
//
//	box  = length(4), 1: 64 bits follow, 0: to the end | type(4) | contents
//	meta = version and flags(4) | iinf: what items there are | iloc: where | idat | iprp: { ipco: { colr … } … } …
func (r *reader) readHEIF(f file) {
	for at := int64(0); ; {
		head := r.read(f, at, 8)
		if head == nil {
			return
		}
		n, start := int64(binary.BigEndian.Uint32(head)), int64(8)
		if n == 1 {
			long := r.read(f, at+8, 8)
			if long == nil {
				return
			}
			n, start = int64(binary.BigEndian.Uint64(long)), 16
		}
		if n == 0 {
			n = f.size - at
		}
		if n < start || n > f.size-at {
			return
		}
		if string(head[4:]) == "meta" {
			h := heif{reader: r, file: f, items: map[uint32]string{}}
			h.readMeta(r.readUpTo(f, at+start, n-start))
			return
		}
		at += n
	}
}

// heif is a meta box on its way.
type heif struct {
	*reader
	file
	items map[uint32]string // the types of items that are metadata, by their numbers
	data  []byte            // idat
}

func (h *heif) readMeta(b []byte) {
	if len(b) < 4 {
		return
	}
	var locations []byte
	boxes(b[4:], func(kind string, b []byte) {
		switch kind {
		case "iinf":
			h.readItems(b)
		case "iloc":
			locations = b
		case "idat":
			h.data = b
		case "iprp":
			h.readProperties(b)
		}
	})
	h.readLocations(locations)
}

// boxes calls f with each box in b.
func boxes(b []byte, f func(kind string, contents []byte)) {
	for len(b) >= 8 {
		n := uint64(binary.BigEndian.Uint32(b))
		start := uint64(8)
		if n == 1 && len(b) >= 16 {
			n, start = binary.BigEndian.Uint64(b[8:]), 16
		}
		if n == 0 {
			n = uint64(len(b))
		}
		if n < start || n > uint64(len(b)) {
			return
		}
		f(string(b[4:8]), b[start:n])
		b = b[n:]
	}
}

// readItems notes the items that are EXIF or XMP:
//
//	iinf = version(1) flags(3) count(2, from version 1 on 4) infe …
//	infe = version(1) flags(3) number(2, in version 3 4) protection(2) type(4) name 0 [media type 0]
func (h *heif) readItems(b []byte) {
	if len(b) < 8 {
		return
	}
	skip := 6
	if b[0] > 0 {
		skip = 8
	}
	boxes(b[skip:], func(kind string, b []byte) {
		if kind != "infe" || len(b) < 12 || b[0] != 2 && b[0] != 3 {
			return
		}
		number, rest := uint32(binary.BigEndian.Uint16(b[4:])), b[8:]
		if b[0] == 3 {
			number, rest = binary.BigEndian.Uint32(b[4:]), b[10:]
		}
		if len(rest) < 4 {
			return
		}
		switch kind := string(rest[:4]); {
		case kind == "Exif", kind == "mime" && bytes.Contains(rest, []byte("application/rdf+xml")):
			h.items[number] = kind
		}
	})
}

// readProperties finds colour profiles.
func (h *heif) readProperties(b []byte) {
	boxes(b, func(kind string, b []byte) {
		if kind != "ipco" {
			return
		}
		boxes(b, func(kind string, b []byte) {
			if kind == "colr" && len(b) > 4 && (string(b[:4]) == "prof" || string(b[:4]) == "rICC") {
				h.readICC(b[4:])
			}
		})
	})
}

// readLocations reads the items that were noted, of each its first piece:
//
//	iloc = version(1) flags(3) sizes of: offset, length, base, index (4 bits each) count(2, in version 2 4) item …
//	item = number(2, in version 2 4) [from version 1 on: method(2)] reference(2) base pieces(2) { [index] offset length } …
func (h *heif) readLocations(b []byte) {
	c := cursor{b: b}
	version := c.number(1)
	c.number(3)
	sizes := c.number(2)
	offsetSize, lengthSize, baseSize, indexSize := int(sizes>>12), int(sizes>>8&15), int(sizes>>4&15), int(sizes&15)
	wide := 2
	if version >= 2 {
		wide = 4
	}
	if version == 0 {
		indexSize = 0
	}
	for range c.number(wide) {
		number, method := uint32(c.number(wide)), uint64(0)
		if version >= 1 {
			method = c.number(2)
		}
		c.number(2)
		base, pieces := c.number(baseSize), c.number(2)
		c.number(indexSize)
		offset, length := c.number(offsetSize), c.number(lengthSize)
		c.skip((max(pieces, 1) - 1) * uint64(indexSize+offsetSize+lengthSize))
		if c.ended {
			return
		}
		if kind := h.items[number]; kind != "" && pieces > 0 && base+offset >= base {
			h.readItem(kind, method, base+offset, length)
		}
	}
}

func (h *heif) readItem(kind string, method, offset, length uint64) {
	const inFile, inData = 0, 1
	f := h.file
	switch method {
	case inFile:
	case inData:
		f = block(h.data)
	default:
		return
	}
	b := h.readUpTo(f, int64(min(offset, 1<<62)), int64(min(length, 1<<62)))
	if kind == "mime" {
		h.readXMP(b)
		return
	}
	if len(b) < 4 {
		return
	}
	skip := min(uint64(binary.BigEndian.Uint32(b))+4, uint64(len(b))) // to the TIFF block
	h.readEXIF(b[skip:])
}

// cursor reads numbers from b.
type cursor struct {
	b     []byte
	ended bool // b was too short
}

// number reads a number of n bytes.
func (c *cursor) number(n int) (v uint64) {
	if n > len(c.b) {
		c.b, c.ended = nil, true
		return 0
	}
	for _, b := range c.b[:n] {
		v = v<<8 | uint64(b)
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) skip(n uint64) {
	if n > uint64(len(c.b)) {
		c.b, c.ended = nil, true
		return
	}
	c.b = c.b[n:]
}
