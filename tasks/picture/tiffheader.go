package picture

import (
	"encoding/binary"
	"io"
)

// readTIFF reads the first directory of a TIFF and counts how many follow.
//
//	"II*\0" or "MM\0*" | offset of directory(4) | … | entries(2) | per entry: tag(2) type(2) count(4) value or its offset(4) | offset of the next(4), 0 in the last
func (h *header) readTIFF(file *io.SectionReader) {
	head := chunk(file, 0, 8, 8)
	if head == nil {
		return
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(head[4:]))
	for h.pages = 0; at != 0 && h.pages < maxPages; h.pages++ {
		count := chunk(file, at, 2, 2)
		if count == nil {
			return
		}
		entries := int64(order.Uint16(count))
		b := chunk(file, at+2, 12*entries+4, 12<<16)
		if b == nil {
			return
		}
		if h.pages == 0 {
			h.readTIFFEntries(file, order, b[:12*entries])
		}
		next := int64(order.Uint32(b[12*entries:]))
		if next != 0 && next <= at && h.pages > 0 {
			return // a ring
		}
		at = next
	}
}

func (h *header) readTIFFEntries(file *io.SectionReader, order binary.ByteOrder, b []byte) {
	const (
		width, length, bits, orientation, profile = 0x100, 0x101, 0x102, 0x112, 0x8773
		short                                     = 3
	)
	perSample := 8
	for ; len(b) >= 12; b = b[12:] {
		count, value := int64(order.Uint32(b[4:])), int(order.Uint32(b[8:]))
		if order.Uint16(b[2:]) == short {
			value = int(order.Uint16(b[8:]))
		}
		switch order.Uint16(b) {
		case width:
			h.Width = value
		case length:
			h.Height = value
		case bits:
			perSample = value
			if count > 2 { // stand elsewhere
				if far := chunk(file, int64(order.Uint32(b[8:])), 2, 2); far != nil {
					perSample = int(order.Uint16(far))
				}
			}
		case orientation:
			if value >= 1 && value <= 8 {
				h.orientation = value
			}
		case profile:
			h.profile = chunk(file, int64(order.Uint32(b[8:])), count, maxProfile)
		}
	}
	h.depth = 4
	if perSample > 8 {
		h.depth = 8
	}
}
