package metadata

import "encoding/binary"

// readWebP reads a file's chunks; numbers are little-endian:
//
//	"RIFF" length(4) "WEBP" | chunks x { type(4) length(4) data, padded to even }
func (r *reader) readWebP(f file) {
	for at := int64(12); ; {
		head := r.read(f, at, 8)
		if head == nil {
			return
		}
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "EXIF":
			r.readEXIF(r.readUpTo(f, at+8, n))
		case "XMP ":
			r.readXMP(r.readUpTo(f, at+8, n))
		case "ICCP":
			r.readICC(r.readUpTo(f, at+8, n))
		}
		at += 8 + (n+1)&^1
	}
}
