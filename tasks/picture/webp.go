package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/draw"
	"io"

	"golang.org/x/image/webp"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
)

// webpCodec describes WebP (RFC 9649). Of an animation the first frame is shown on its canvas.
var webpCodec = codec{
	format: FormatWebP, mediaType: "image/webp",
	sniff:   func(head []byte) bool { return hasPrefix(head, 0, "RIFF") && hasPrefix(head, 8, "WEBP") },
	header:  webpHeader,
	details: webpDetails,
	cost:    webpCost,
	decode:  (*job).webp,
}

// webpInfo is what the chunks say about how the picture is kept.
type webpInfo struct {
	// The frame is the picture to decode, the only one or an animation's first: the chunk with its
	// pixels, the one with their transparency, which has no kind if there is none, where it lies on
	// the canvas, and its size.
	pixels, alpha       container.Chunk
	x, y, width, height int
	lossless, readable  bool
}

// transparent says whether a frame that is not lossless has transparency.
func (w *webpInfo) transparent() bool { return w.alpha.Kind != "" && !w.lossless }

// webpHeader walks the chunks up to the first that holds pixels:
//
//	"RIFF" size "WEBP" | "VP8X" flags(4) width-1(3) height-1(3), then any
//	                   | "VP8L" 0x2f | 14 bits width-1, 14 bits height-1
//	                   | "VP8 " frame tag(3) 9d 01 2a | 14 bits width, 14 bits height
//	ANMF = x/2(3) y/2(3) width-1(3) height-1(3) duration(3) flags(1), then chunks
func webpHeader(h *header, r *container.Reader) {
	var own webpInfo
	r.RIFFChunks(func(c container.Chunk) bool {
		switch c.Kind {
		case "VP8X":
			if b := r.UpTo(c.At, 10); len(b) == 10 && h.Width == 0 {
				h.Width, h.Height = 1+three(b[4:]), 1+three(b[7:])
			}
			return true
		case "ANMF":
			own.firstFrame(r, c)
			return false
		case "VP8 ", "VP8L", "ALPH":
			own.find(r, c.At-8, r.Size())
			if h.Width == 0 {
				h.Width, h.Height = own.width, own.height
			}
			return false
		}
		return true
	})
	if own.width > h.Width || own.height > h.Height || own.x > h.Width-own.width || own.y > h.Height-own.height {
		own.readable = false
	}
	h.own = own
}

func three(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// firstFrame reads an ANMF chunk.
func (w *webpInfo) firstFrame(r *container.Reader, c container.Chunk) {
	const fixed = 16
	b := r.UpTo(c.At, fixed)
	if len(b) < fixed {
		return
	}
	w.find(r, c.At+fixed, c.At+c.Size)
	if w.width != 1+three(b[6:]) || w.height != 1+three(b[9:]) {
		w.readable = false
	}
	w.x, w.y = 2*three(b), 2*three(b[3:])
}

// find looks for the chunks of one frame. Of transparency the first counts.
func (w *webpInfo) find(r *container.Reader, from, to int64) {
	r.ChunksWithin(from, to, func(c container.Chunk) bool {
		switch c.Kind {
		case "ALPH":
			if w.alpha.Kind == "" {
				w.alpha = c
			}
			return true
		case "VP8L":
			w.pixels = c
			const signature = 0x2f
			if b := r.UpTo(c.At, 5); len(b) == 5 && b[0] == signature {
				bits := binary.LittleEndian.Uint32(b[1:])
				w.width, w.height = 1+int(bits&0x3fff), 1+int(bits>>14&0x3fff)
				w.lossless, w.readable = true, true
			}
		case "VP8 ":
			w.pixels = c
			if b := r.UpTo(c.At, 10); len(b) == 10 && b[0]&1 == 0 && string(b[3:6]) == "\x9d\x01\x2a" { // a key frame
				w.width, w.height = int(binary.LittleEndian.Uint16(b[6:])&0x3fff), int(binary.LittleEndian.Uint16(b[8:])&0x3fff)
				w.readable = w.width > 0 && w.height > 0
			}
		default:
			return true
		}
		return false
	})
}

// webpDetails looks for the further chunks of an extended file:
//
//	ICCP: a profile; EXIF: a TIFF block; "XMP "
func webpDetails(h *header, r *container.Reader, names *metadata.Names) {
	r.RIFFChunks(func(c container.Chunk) bool {
		switch c.Kind {
		case "ICCP":
			if h.profile == nil {
				h.profile = r.Bytes(c, maxProfile)
				h.oddColours = h.profile == nil
				names.ICC(h.profile)
			}
		case "EXIF":
			names.EXIF(r.Bytes(c, maxEXIF))
		case "XMP ":
			names.XMP(r.Bytes(c, maxEXIF))
		case "ANMF":
			h.pages = min(h.pages+1, maxPages)
		}
		return r.Err() == nil && !r.Exhausted()
	})
	h.turn(names)
}

// webpCost: what the decoder holds of a lossy file, planes of 1.5 bytes a pixel, with transparency 1
// and what that is unpacked to on the way, 4; or of a lossless one 4, 2 of pixels that are kept two in
// one until they are unpacked, and half a byte of what is undone on them; and for a frame that is smaller
// than its canvas 4 for that.
func webpCost(h *header, o Options) int64 {
	own := h.own.(webpInfo)
	frame := int64(own.width) * int64(own.height)
	compressed, pixels := own.pixels.Size, frame*3/2
	switch {
	case own.lossless:
		compressed, pixels = 0, frame*13/2
	case own.transparent():
		pixels += frame * 5
	}
	if frame < h.area() {
		pixels += 4 * h.area()
	}
	return wholeCost(h, o, compressed+pixels)
}

// webp decodes the file. The decoder of lossy pictures first reads all of it and then cannot be
// stopped: it is left behind if the context ends.
func (j *job) webp() error {
	own := j.header.own.(webpInfo)
	if !own.readable {
		return errors.New("no frame, or one that is not on its canvas")
	}
	img, err := j.detached(func(s *stream) (image.Image, error) {
		c, err := webp.DecodeConfig(own.still(s))
		if err != nil {
			return nil, err
		}
		if c.Width != own.width || c.Height != own.height {
			return nil, errors.New("two headers that differ")
		}
		return webp.Decode(own.still(s))
	})
	if err != nil {
		return err
	}
	if j.header.pages > 1 {
		j.note(CodeFirstFrame, "The file is an animation; its first frame is shown.")
	}
	if img.Bounds().Dx() < j.header.Width || img.Bounds().Dy() < j.header.Height {
		return j.finishImage(onCanvas(img, own, j.header.Width, j.header.Height))
	}
	if m := planesOf(img, true); m != nil {
		return j.finish(m)
	}
	return j.finishImage(img)
}

// onCanvas puts a frame on its transparent canvas.
func onCanvas(img image.Image, own webpInfo, w, h int) image.Image {
	if ycc, ok := img.(*image.YCbCr); ok {
		expandRange(ycc)
	}
	if ycca, ok := img.(*image.NYCbCrA); ok {
		expandRange(&ycca.YCbCr)
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(canvas, img.Bounds().Add(image.Pt(own.x, own.y)), img, image.Point{}, draw.Src)
	return canvas
}

// still gives the frame as a file of its own, of an animation or not:
//
//	"RIFF" size "WEBP" | "VP8X" 10 | flags, 3 reserved, width-1(3), height-1(3) | the frame's chunks
//
// The decoder knows no animations, and stumbles over chunks that it does not expect.
func (w webpInfo) still(s *stream) io.Reader {
	head := []byte("WEBP")
	var chunks []container.Chunk
	if w.transparent() {
		head = append(head, "VP8X\x0a\x00\x00\x00\x10\x00\x00\x00"...)
		for _, side := range []int{w.width - 1, w.height - 1} {
			head = append(head, byte(side), byte(side>>8), byte(side>>16))
		}
		chunks = append(chunks, w.alpha)
	}
	chunks = append(chunks, w.pixels)
	size := int64(len(head))
	parts := []io.Reader{nil, bytes.NewReader(head)}
	for _, c := range chunks {
		before := binary.LittleEndian.AppendUint32([]byte(c.Kind), uint32(c.Size))
		parts = append(parts, bytes.NewReader(before), io.NewSectionReader(s, c.At, c.Size), bytes.NewReader(make([]byte, c.Size&1)))
		size += 8 + c.Size + c.Size&1
	}
	parts[0] = bytes.NewReader(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(size)))
	return pieces{s, bufio.NewReaderSize(io.MultiReader(parts...), 64<<10)}
}
