package picture

import (
	"encoding/binary"
	"image"
	"image/gif"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
)

// gifCodec describes GIF. Its first frame is shown on its canvas.
var gifCodec = codec{
	format: FormatGIF, mediaType: "image/gif",
	sniff: func(head []byte) bool { return hasPrefix(head, 0, "GIF87a") || hasPrefix(head, 0, "GIF89a") },
	header: func(h *header, r *container.Reader) {
		if b := r.Exactly(6, 4); b != nil {
			h.Width, h.Height = int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		}
	},
	details: func(h *header, r *container.Reader, names *metadata.Names) { h.pages = countGIF(r) },
	cost: func(h *header, o Options) int64 {
		return wholeCost(h, o, h.area()) // a byte a pixel
	},
	decode: (*job).gif,
}

// countGIF counts the frames up to the second.
//
//	"GIF89a" | width(2) height(2) flags(1) 2 more | colours | blocks: 21 kind | 2c 8 bytes, flags(1), colours, 1 | each then length-prefixed pieces up to one of 0
func countGIF(r *container.Reader) (frames int) {
	at := int64(10)
	next := func() int {
		b := r.Exactly(at, 1)
		at++
		if b == nil {
			return -1
		}
		return int(b[0])
	}
	colours := func(flags int) {
		if flags >= 0 && flags&0x80 != 0 {
			at += 3 << (flags&7 + 1)
		}
	}
	flags := next()
	at += 2
	colours(flags)
	for frames < 2 {
		switch next() {
		case 0x21:
			at++
		case 0x2c:
			frames++
			at += 8
			colours(next())
			at++
		default:
			return frames
		}
		for n := next(); n > 0; n = next() {
			at += int64(n)
		}
	}
	return frames
}

func (j *job) gif() error {
	img, err := j.detached(func(s *stream) (image.Image, error) { return gif.Decode(s.buffered()) })
	if err != nil {
		return err
	}
	if j.header.pages > 1 {
		j.note(CodeFirstFrame, "The file is an animation; its first frame is shown.")
	}
	return j.finishImage(img)
}
