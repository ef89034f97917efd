package quality

import (
	"bytes"
	"encoding/binary"
)

// A segment of a JPEG ahead of its first scan: all[from:to] with the marker, data without marker and length.
type segment struct {
	marker   byte
	from, to int
	data     []byte
}

// segments walks a JPEG up to its first scan, or as far as it is sound.
func segments(jpg []byte) []segment {
	var found []segment
	for at := 2; at+4 <= len(jpg) && jpg[at] == 0xff; {
		marker, end := jpg[at+1], at+2+int(binary.BigEndian.Uint16(jpg[at+2:]))
		if end > len(jpg) || end < at+4 || marker == 0xda {
			break
		}
		found = append(found, segment{marker, at, end, jpg[at+4 : end]})
		at = end
	}
	return found
}

// WithoutProfile returns a JPEG without its colour profile, so that those who convert colours and those who do not
// are measured on the same ones.
func WithoutProfile(jpg []byte) []byte {
	out, kept := []byte(nil), 0
	for _, s := range segments(jpg) {
		if s.marker == 0xe2 && bytes.HasPrefix(s.data, []byte("ICC_PROFILE\x00")) {
			out = append(out, jpg[kept:s.from]...)
			kept = s.to
		}
	}
	return append(out, jpg[kept:]...)
}

// Orientation returns what the EXIF of a JPEG says, 1 to 8; 1 if it says nothing.
func Orientation(jpg []byte) int {
	for _, s := range segments(jpg) {
		if tiff, ok := bytes.CutPrefix(s.data, []byte("Exif\x00\x00")); ok && s.marker == 0xe1 && len(tiff) >= 8 {
			return orientation(tiff)
		}
	}
	return 1
}

func orientation(tiff []byte) int {
	var order binary.ByteOrder = binary.LittleEndian
	if tiff[0] == 'M' {
		order = binary.BigEndian
	}
	at := int(order.Uint32(tiff[4:]))
	if at < 8 || at+2 > len(tiff) {
		return 1
	}
	for range order.Uint16(tiff[at:]) {
		if at+14 > len(tiff) {
			break
		}
		if o := int(order.Uint16(tiff[at+10:])); order.Uint16(tiff[at+2:]) == 0x0112 && o >= 1 && o <= 8 {
			return o
		}
		at += 12
	}
	return 1
}
