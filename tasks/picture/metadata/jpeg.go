package metadata

import (
	"bytes"
	"fmt"
)

// Known says of a segment, by its beginning, that reading all of it would tell no more: of XMP that
// is cut into pieces enough was read. Phones keep whole pictures in it.
func (n *Names) Known(marker byte, beginning []byte) bool {
	return marker == 0xe1 && len(n.extended)+maxSegment > maxPacket && bytes.HasPrefix(beginning, []byte("http://ns.adobe.com/xmp/extension/"))
}

const maxSegment = 1<<16 - 1

// Segment takes an APPn or COM segment of a JPEG. The colour profile is not among them: it
// may be cut into several, so that it goes to [Names.ICC] once it is whole.
func (n *Names) Segment(marker byte, b []byte) {
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
		n.name("", "Comment")
	case starts(jfif):
		if len(b) > 14 {
			n.name("", "ThumbnailImage")
		}
	case starts(jfxx):
		n.name("", "ThumbnailImage")
	case starts(exif):
		n.EXIF(b)
	case starts(xmp):
		n.XMP(all[len(xmp):])
	case starts(extension):
		// 32 bytes of digest, the length of the whole, the offset of this piece
		if piece := all[min(len(all), len(extension)+40):]; len(n.extended)+len(piece) <= maxPacket {
			n.extended = append(n.extended, piece...)
		}
	case starts(icc):
	case starts(mpf):
		n.name("", "MPF")
	case starts(photoshop):
		n.photoshop(all[len(photoshop):])
	case starts(adobe): // says how the colours are stored
	default:
		n.name("", fmt.Sprintf("APP%d", marker-0xe0))
	}
}
