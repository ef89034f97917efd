package metadata

import (
	"encoding/binary"
	"fmt"
)

// readPhotoshop reads Photoshop's resources, one of which is IPTC:
//
//	"8BIM" | id(2) | name: length(1) and text, padded to even | length(4) | data, padded to even
func (r *reader) readPhotoshop(b []byte) {
	const iptc, exif, xmp, icc, thumbnail, oldThumbnail = 0x0404, 0x0422, 0x0424, 0x040f, 0x040c, 0x0409
	for len(b) >= 12 && string(b[:4]) == "8BIM" {
		id := binary.BigEndian.Uint16(b[4:])
		b = b[6:]
		name := (int(b[0]) + 2) &^ 1
		if len(b) < name+4 {
			return
		}
		n := int64(binary.BigEndian.Uint32(b[name:]))
		b = b[name+4:]
		data := b[:min(n, int64(len(b)))]
		b = b[min((n+1)&^1, int64(len(b))):]
		switch id {
		case iptc:
			r.readIPTC(data)
		case exif:
			r.readEXIF(data)
		case xmp:
			r.readXMP(data)
		case icc:
			r.readICC(data)
		case thumbnail, oldThumbnail:
			r.name("", "ThumbnailImage")
		default:
			r.name("", "Photoshop")
		}
	}
}

// readIPTC reads IPTC's data sets; those of 32 kB and more end it, as none of ours
// has that much to say:
//
//	0x1c | record(1) | data set(1) | length(2) | data
func (r *reader) readIPTC(b []byte) {
	for len(b) >= 5 && b[0] == 0x1c {
		record, set, n := b[1], b[2], int(binary.BigEndian.Uint16(b[3:]))
		name := iptcNames[[2]byte{record, set}]
		if name == "" {
			name = fmt.Sprintf("%d:%d", record, set)
		}
		r.name("IPTC:", name)
		if n >= 0x8000 {
			return
		}
		b = b[min(5+n, len(b)):]
	}
}

// readICC reads the names of a colour profile's tags:
//
//	header(128) | tags(4) | tags x { name(4) offset(4) length(4) }
func (r *reader) readICC(b []byte) {
	const header = 128
	if len(b) < header+4 {
		return
	}
	n := binary.BigEndian.Uint32(b[header:])
	for b = b[header+4:]; n > 0 && len(b) >= 12; b, n = b[12:], n-1 {
		name := iccNames[string(b[:4])]
		if name == "" {
			name = "Other"
		}
		r.name("ICC:", name)
	}
}
