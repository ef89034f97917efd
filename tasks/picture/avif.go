package picture

import (
	"casepress/tasks/picture/container"
	"casepress/tasks/picture/heif"
	"casepress/tasks/picture/metadata"
)

// avifCodec describes AVIF: the boxes of HEIC around AV1. It is recognised so that a sentence
// can say what the file is; there is no decoder for it.
var avifCodec = codec{
	format: FormatAVIF, mediaType: "image/avif",
	sniff:   func(head []byte) bool { return hasBrand(head, "avif", "avis") },
	header:  heifHeader,
	details: heifDetails,
}

// heifHeader reads the size of the primary picture of a HEIC or AVIF file.
func heifHeader(h *header, r *container.Reader) {
	info := heif.ReadInfo(r)
	h.Width, h.Height, h.own = info.Width, info.Height, info
}

// heifDetails reads colours and metadata. What EXIF says of turning is not asked: the boxes
// have their own way of saying it.
func heifDetails(h *header, r *container.Reader, names *metadata.Names) {
	info := heif.ReadInfo(r)
	h.profile, h.pages = info.Profile, info.Images
	if c := info.Colour; c != nil {
		h.colour = colourCodes{c.Primaries, c.Transfer, c.Matrix, c.FullRange, true}
	}
	for _, b := range info.Exif {
		names.EXIF(b)
	}
	for _, b := range info.XMP {
		names.XMP(b)
	}
	names.ICC(info.Profile)
}

// hasBrand says whether an ISO base media file has one of the brands, the major one or a
// compatible one: phones write the general brand mif1 first.
//
//	size(4) | "ftyp" | major brand(4) | version(4) | compatible brands, 4 each
func hasBrand(head []byte, brands ...string) bool {
	if !hasPrefix(head, 4, "ftyp") {
		return false
	}
	size := int(min(int64(uint32(head[0])<<24|uint32(head[1])<<16|uint32(head[2])<<8|uint32(head[3])), int64(len(head))))
	for at := 8; at+4 <= size; at += 4 {
		for _, b := range brands {
			if at != 12 && string(head[at:at+4]) == b {
				return true
			}
		}
	}
	return false
}
