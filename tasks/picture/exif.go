package picture

import "encoding/binary"

// exifOrientation returns the orientation, 1 to 8, that the first directory of a
// TIFF block tells, and 1 if it tells none or is damaged. It reads one directory
// of at most 65,535 entries and follows no further offset, so it always ends.
//
//	"II*\0" or "MM\0*" | offset of directory(4) | … | entries(2) | per entry: tag(2) type(2) count(4) value(4)
func exifOrientation(b []byte) int {
	const tagOrientation, typeShort, entrySize = 0x0112, 3, 12
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	start := int64(order.Uint32(b[4:]))
	if start+2 > int64(len(b)) {
		return 1
	}
	dir := b[start:]
	entries := int(order.Uint16(dir))
	for i := range entries {
		at := 2 + i*entrySize
		if at+entrySize > len(dir) {
			return 1
		}
		e := dir[at : at+entrySize]
		if order.Uint16(e) != tagOrientation {
			continue
		}
		if v := int(order.Uint16(e[8:])); order.Uint16(e[2:]) == typeShort && v >= 1 && v <= 8 {
			return v
		}
		return 1
	}
	return 1
}
