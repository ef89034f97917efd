package picture

import (
	"encoding/binary"
	"errors"
	"image"

	"github.com/jsummers/gobmp"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
)

// bmpCodec describes BMP, of Windows and of OS/2, with bit fields and run lengths.
var bmpCodec = codec{
	format: FormatBMP, mediaType: "image/bmp",
	sniff: func(head []byte) bool {
		return hasPrefix(head, 0, "BM") && len(head) >= 18 && bmpHeaderSizes[binary.LittleEndian.Uint32(head[14:])]
	},
	header:  bmpHeader,
	details: func(*header, *container.Reader, *metadata.Names) {}, // there are none
	cost: func(h *header, o Options) int64 {
		return wholeCost(h, o, 4*h.area())
	},
	decode: (*job).bmp,
}

// bmpHeaderSizes are the sizes of the headers a BMP can have; two letters alone
// would make pictures of many a text.
var bmpHeaderSizes = map[uint32]bool{12: true, 16: true, 40: true, 52: true, 56: true, 64: true, 108: true, 124: true}

// bmpHeader reads the size:
//
//	"BM" | 12 more | size of the header(4) | width(4) height(4), of a header of 12 bytes 2 each | …
func bmpHeader(h *header, r *container.Reader) {
	b := r.UpTo(14, 12)
	if len(b) >= 8 && binary.LittleEndian.Uint32(b) == 12 {
		h.Width, h.Height = int(binary.LittleEndian.Uint16(b[4:])), int(binary.LittleEndian.Uint16(b[6:]))
		return
	}
	if len(b) < 12 {
		return
	}
	w, ht := int(int32(binary.LittleEndian.Uint32(b[4:]))), int(int32(binary.LittleEndian.Uint32(b[8:])))
	if ht < 0 {
		ht = -ht // rows from the top down
	}
	if w > 0 && ht > 0 {
		h.Width, h.Height = w, ht
	}
}

func (j *job) bmp() error {
	img, err := j.detached(func(s *stream) (image.Image, error) { return gobmp.Decode(s.buffered()) })
	if _, ok := errors.AsType[gobmp.UnsupportedError](err); ok {
		return j.unsupported(err)
	}
	if err != nil {
		return err
	}
	if p, ok := img.(*image.NRGBA); ok {
		opaqueIfBlank(p)
	}
	return j.finishImage(img)
}

// opaqueIfBlank makes a picture opaque whose every pixel is transparent: writers that know of no
// transparency leave its bits at zero.
func opaqueIfBlank(img *image.NRGBA) {
	for i := 3; i < len(img.Pix); i += 4 {
		if img.Pix[i] != 0 {
			return
		}
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
}
