package metadata

import (
	"bytes"
	"fmt"
)

// readJPEG reads the segments before the first scan:
//
//	0xff marker(1) length(2, counts itself) payload
func (r *reader) readJPEG(f file) {
	const sos, eoi = 0xda, 0xd9
	var extended []byte // XMP that is too long for one segment, in the order of the file
	for at := int64(2); ; {
		head := r.read(f, at, 4)
		if head == nil || head[0] != 0xff || head[1] == sos || head[1] == eoi {
			break
		}
		if head[1] == 0xff { // a fill byte
			at++
			continue
		}
		n := int64(head[2])<<8 | int64(head[3])
		if n < 2 {
			break
		}
		if marker := head[1]; marker >= 0xe0 && marker <= 0xef || marker == 0xfe {
			extended = append(extended, r.segment(marker, r.readUpTo(f, at+4, n-2))...)
		}
		at += 2 + n
	}
	if len(extended) > 0 {
		r.readXMP(extended)
	}
}

// segment reads an APPn or COM segment. It returns the piece of extended XMP in it.
func (r *reader) segment(marker byte, b []byte) []byte {
	const (
		jfif      = "\xe0JFIF\x00"
		jfxx      = "\xe0JFXX\x00"
		exif      = "\xe1Exif\x00"
		xmp       = "\xe1http://ns.adobe.com/xap/1.0/\x00"
		extension = "\xe1http://ns.adobe.com/xmp/extension/\x00"
		icc       = "\xe2ICC_PROFILE\x00"
		mpf       = "\xe2MPF\x00"
		photoshop = "\xedPhotoshop 3.0\x00"
		adobe     = "\xeeAdobe"
	)
	all := append([]byte{marker}, b...)
	starts := func(with string) bool { return bytes.HasPrefix(all, []byte(with)) }
	switch {
	case marker == 0xfe:
		r.name("", "Comment")
	case starts(jfif):
		if len(b) > 14 {
			r.name("", "ThumbnailImage")
		}
	case starts(jfxx):
		r.name("", "ThumbnailImage")
	case starts(exif):
		r.readEXIF(b)
	case starts(xmp):
		r.readXMP(all[len(xmp):])
	case starts(extension):
		// 32 bytes of digest, the length of the whole, the offset of this piece
		return all[min(len(all), len(extension)+40):]
	case starts(icc):
		// the number of this piece and of all; the names are in the first
		if len(b) > 14 && b[12] == 1 {
			r.readICC(b[14:])
		}
	case starts(mpf):
		r.name("", "MPF")
	case starts(photoshop):
		r.readPhotoshop(all[len(photoshop):])
	case starts(adobe): // says how the colours are stored
	default:
		r.name("", fmt.Sprintf("APP%d", marker-0xe0))
	}
	return nil
}
