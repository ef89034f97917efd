package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/draw"

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
	// frame is the picture to decode, the only one or an animation's first: where its chunks
	// are, where it lies on the canvas, and its size.
	from, to            int64
	x, y, width, height int
	lossless, alpha     bool
	animated, readable  bool
}

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
			own.animated = true
			own.firstFrame(r, c)
			return false
		case "VP8 ", "VP8L", "ALPH":
			own.from, own.to = c.At-8, r.Size()
			own.pixels(r, own.from, own.to)
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
	w.from, w.to = c.At+fixed, c.At+c.Size
	w.pixels(r, w.from, w.to)
	if w.width != 1+three(b[6:]) || w.height != 1+three(b[9:]) {
		w.readable = false
	}
	w.x, w.y = 2*three(b), 2*three(b[3:])
}

// pixels looks for the chunk with the pixels of one frame.
func (w *webpInfo) pixels(r *container.Reader, from, to int64) {
	r.ChunksWithin(from, to, func(c container.Chunk) bool {
		switch c.Kind {
		case "ALPH":
			w.alpha = true
			return true
		case "VP8L":
			const signature = 0x2f
			if b := r.UpTo(c.At, 5); len(b) == 5 && b[0] == signature {
				bits := binary.LittleEndian.Uint32(b[1:])
				w.width, w.height = 1+int(bits&0x3fff), 1+int(bits>>14&0x3fff)
				w.lossless, w.readable = true, true
			}
		case "VP8 ":
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

// webpCost: the file, planes of 1.5 bytes a pixel and 1 of transparency, or 4 a pixel, and for a
// frame that is smaller than its canvas 4 for that.
func webpCost(h *header, o Options) int64 {
	own := h.own.(webpInfo)
	frame := int64(own.width) * int64(own.height)
	pixels := frame * 5 / 2
	if own.lossless {
		pixels = frame * 5 // the decoder's own colour tables and codes beside the pixels
	}
	if frame < h.area() {
		pixels += 4 * h.area()
	}
	return h.size + wholeCost(h, o, pixels)
}

// webp decodes the file. The decoder of lossy pictures cannot be stopped half way, so it works
// on bytes at hand, in a goroutine that is left behind if the context ends.
func (j *job) webp() error {
	own := j.header.own.(webpInfo)
	if !own.readable {
		return errors.New("no frame, or one that is not on its canvas")
	}
	data, err := j.bytes(j.size)
	if err != nil {
		return err
	}
	still, err := own.still(data)
	if err != nil {
		return err
	}
	img, err := j.detached(func(*stream) (image.Image, error) {
		c, err := webp.DecodeConfig(bytes.NewReader(still))
		if err != nil {
			return nil, err
		}
		if c.Width != own.width || c.Height != own.height {
			return nil, errors.New("two headers that differ")
		}
		return webp.Decode(bytes.NewReader(still))
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

// still returns the frame as a file of its own, of an animation or not:
//
//	"RIFF" size "WEBP" | "VP8X" 10 | flags, 3 reserved, width-1(3), height-1(3) | the frame's chunks
//
// The decoder knows no animations, and stumbles over chunks that it does not expect.
func (w webpInfo) still(data []byte) ([]byte, error) {
	var b []byte
	r := container.Memory(data)
	r.ChunksWithin(w.from, w.to, func(c container.Chunk) bool {
		if c.Kind == "ALPH" || c.Kind == "VP8 " || c.Kind == "VP8L" {
			b = append(b, c.Kind...)
			b = binary.LittleEndian.AppendUint32(b, uint32(c.Size))
			b = append(b, data[c.At:c.At+c.Size]...)
			if c.Size&1 != 0 {
				b = append(b, 0)
			}
		}
		return c.Kind != "VP8 " && c.Kind != "VP8L"
	})
	if b == nil {
		return nil, errors.New("no frame")
	}
	file := []byte("RIFF\x00\x00\x00\x00WEBP")
	if w.alpha && !w.lossless {
		file = append(file, "VP8X\x0a\x00\x00\x00\x10\x00\x00\x00"...)
		for _, side := range []int{w.width - 1, w.height - 1} {
			file = append(file, byte(side), byte(side>>8), byte(side>>16))
		}
	}
	file = append(file, b...)
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	return file, nil
}
