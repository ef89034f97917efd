package metadata

import (
	"encoding/binary"
	"fmt"
)

// photoshop reads Photoshop's resources, one of which is IPTC:
//
//	"8BIM" | id(2) | name: length(1) and text, padded to even | length(4) | data, padded to even
func (n *Names) photoshop(b []byte) {
	const iptcID, exif, xmp, icc, thumbnail, oldThumbnail = 0x0404, 0x0422, 0x0424, 0x040f, 0x040c, 0x0409
	for len(b) >= 12 && string(b[:4]) == "8BIM" {
		id := binary.BigEndian.Uint16(b[4:])
		b = b[6:]
		name := (int(b[0]) + 2) &^ 1
		if len(b) < name+4 {
			return
		}
		size := int64(binary.BigEndian.Uint32(b[name:]))
		b = b[name+4:]
		data := b[:min(size, int64(len(b)))]
		b = b[min((size+1)&^1, int64(len(b))):]
		switch id {
		case iptcID:
			n.iptc(data)
		case exif:
			n.EXIF(data)
		case xmp:
			n.XMP(data)
		case icc:
			n.ICC(data)
		case thumbnail, oldThumbnail:
			n.name("", "ThumbnailImage")
		default:
			n.name("", "Photoshop")
		}
	}
}

// iptc reads IPTC's data sets; those of 32 kB and more end it, as none of ours
// has that much to say:
//
//	0x1c | record(1) | data set(1) | length(2) | data
func (n *Names) iptc(b []byte) {
	for len(b) >= 5 && b[0] == 0x1c {
		record, set, size := b[1], b[2], int(binary.BigEndian.Uint16(b[3:]))
		name := iptcNames[[2]byte{record, set}]
		if name == "" {
			name = fmt.Sprintf("%d:%d", record, set)
		}
		n.name("IPTC:", name)
		if size >= 0x8000 {
			return
		}
		b = b[min(5+size, len(b)):]
	}
}

// ICC notes the names of a colour profile's tags:
//
//	header(128) | tags(4) | tags x { name(4) offset(4) length(4) }
func (n *Names) ICC(profile []byte) {
	const header = 128
	if len(profile) < header+4 {
		return
	}
	count := binary.BigEndian.Uint32(profile[header:])
	for b := profile[header+4:]; count > 0 && len(b) >= 12; b, count = b[12:], count-1 {
		if len(n.tags) == maxTags {
			return
		}
		name := iccNames[string(b[:4])]
		if name == "" {
			name = "Other"
		}
		n.name("ICC:", name)
	}
}
