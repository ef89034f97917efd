package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"io"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
)

// pngCodec describes PNG (ISO/IEC 15948). Of an APNG the picture that plain viewers show is
// decoded.
var pngCodec = codec{
	format: FormatPNG, mediaType: "image/png",
	sniff:   func(head []byte) bool { return hasPrefix(head, 0, pngSignature) },
	header:  pngHeader,
	details: pngDetails,
	cost: func(h *header, o Options) int64 {
		own := h.own.(pngInfo)
		pixels := own.depth * h.area()
		if own.interlaced {
			pixels += pixels / 2 // the largest of the seven passes, beside the whole
		}
		return wholeCost(h, o, pixels)
	},
	decode: (*job).png,
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// pngInfo is what IHDR says beside the size.
type pngInfo struct {
	depth      int64 // bytes a pixel once decoded
	interlaced bool
}

// pngHeader reads the IHDR chunk, which must come first:
//
//	width(4) | height(4) | depth | colour type | compression | filter | interlace
func pngHeader(h *header, r *container.Reader) {
	own := pngInfo{depth: 8}
	r.PNGChunks(func(c container.Chunk) bool {
		b := r.Bytes(c, 13)
		if c.Kind != "IHDR" || len(b) < 13 {
			return false
		}
		w, ht := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		if w > 1<<31-1 || ht > 1<<31-1 {
			return false
		}
		h.Width, h.Height = int(w), int(ht)
		depth, colour := b[8], b[9]
		own.interlaced = b[12] != 0
		const grey, palette = 0, 3
		own.depth = 4
		if colour == grey || colour == palette {
			own.depth = 1
		}
		if depth == 16 {
			own.depth *= 2
		}
		if colour == grey { // with a transparent value it becomes four channels
			own.depth *= 4
		}
		return false
	})
	h.own = own
}

// pngDetails looks through the chunks up to the end of the file, because EXIF may stand behind
// the pixels:
//
//	iCCP: name, 0, 0, zlib; cICP: four code points; eXIf: a TIFF block; acTL: 4 frames, 4 plays
//
// Of each kind the first counts, which is what the standard allows.
func pngDetails(h *header, r *container.Reader, names *metadata.Names) {
	seen := map[string]bool{}
	r.PNGChunks(func(c container.Chunk) bool {
		if seen[c.Kind] {
			return true
		}
		switch c.Kind {
		case "iCCP":
			seen[c.Kind] = true
			h.profile = inflateProfile(r, r.Bytes(c, maxProfile))
			names.ICC(h.profile)
		case "cICP":
			seen[c.Kind] = true
			if b := r.Bytes(c, 4); len(b) == 4 {
				h.colour = colourCodes{uint16(b[0]), uint16(b[1]), uint16(b[2]), b[3] != 0, true}
			}
		case "gAMA", "cHRM", "sRGB":
			seen[c.Kind] = true
			seen["odd"] = seen["odd"] || !usualColours(c.Kind, r.Bytes(c, 32))
		case "eXIf":
			seen[c.Kind] = true
			names.EXIF(r.Bytes(c, maxEXIF))
		case "tEXt", "zTXt", "iTXt":
			names.Text(c.Kind, r.Bytes(c, maxEXIF))
		case "tIME":
			names.ModifyDate()
		case "acTL":
			if b := r.Bytes(c, 8); len(b) == 8 {
				h.pages = int(min(binary.BigEndian.Uint32(b), maxPages))
			}
		}
		return r.Err() == nil && !r.Exhausted()
	})
	switch {
	case seen["cICP"], seen["sRGB"]:
	case seen["iCCP"]:
		h.oddColours = h.profile == nil // it is damaged
	default:
		h.oddColours = seen["odd"]
	}
	h.turn(names)
	if s := names.Summary(); s.Orientation == 0 && s.XMPOrientation != 0 {
		h.orientation = s.XMPOrientation // what PNG had before it had EXIF
	}
}

// usualColours says whether gamma or primaries, in hundred thousandths, are those of sRGB, or so
// close that nobody sees it.
func usualColours(kind string, b []byte) bool {
	usual := map[string][]int64{
		"gAMA": {45455}, // the exponent that encodes
		"cHRM": {31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000},
	}[kind]
	if len(b) < 4*len(usual) {
		return true // damaged, and says nothing
	}
	const near = 1200
	for i, v := range usual {
		if d := int64(binary.BigEndian.Uint32(b[4*i:])) - v; d > near || d < -near {
			return false
		}
	}
	return true
}

// inflateProfile returns the profile within an iCCP chunk, nil if it is damaged. A name of at
// most 79 bytes stands in front.
func inflateProfile(r *container.Reader, b []byte) []byte {
	name := bytes.IndexByte(b, 0)
	if name < 0 || name+2 > len(b) {
		return nil
	}
	profile, ok := r.Inflate(b[name+2:], maxProfile)
	if !ok {
		return nil
	}
	return profile
}

// png decodes the file without what does not matter for its pixels: a damaged text or time must not
// hide the picture.
func (j *job) png() error {
	whole := false
	img, err := j.detached(func(s *stream) (image.Image, error) {
		parts := newPNGParts(s)
		img, err := png.Decode(pieces{s, bufio.NewReaderSize(parts, 64<<10)})
		whole = parts.whole
		return img, err
	})
	if _, ok := errors.AsType[png.UnsupportedError](err); ok {
		return j.unsupported(err)
	}
	if err != nil {
		return err
	}
	if !whole {
		j.damaged(errors.New("the file ends before its end mark"))
	}
	if j.header.pages > 1 {
		j.note(CodeFirstFrame, "The file is an animation; its first frame is shown.")
	}
	return j.finishImage(img)
}

// pngParts gives a PNG with nothing but the chunks that make the picture, and an end mark in any
// case. However many chunks there are, it holds one.
type pngParts struct {
	file     *stream
	r        *container.Reader
	next     int64  // where the next chunk is
	text     string // what is given before the chunk
	from, to int64  // what is still to be given of the chunk
	ended    bool
	whole    bool // the end mark was there
}

func newPNGParts(s *stream) *pngParts {
	// A chunk has at least 12 bytes, and looking at one costs 40.
	r := container.NewReader(s.ctx, s, s.size, 8*s.size+1<<20)
	return &pngParts{file: s, r: r, next: container.FirstPNGChunk, text: pngSignature}
}

// Read gives what is next.
func (p *pngParts) Read(b []byte) (int, error) {
	for p.text == "" && p.from == p.to {
		if p.ended {
			return 0, io.EOF
		}
		if err := p.step(); err != nil {
			return 0, err
		}
	}
	if p.text != "" {
		n := copy(b, p.text)
		p.text = p.text[n:]
		return n, nil
	}
	n, err := p.file.ReadAt(b[:min(int64(len(b)), p.to-p.from)], p.from)
	if p.from += int64(n); n > 0 {
		err = nil
	}
	return n, err
}

// step goes to the next chunk. A transparency whose checksum is wrong is left out, as other readers
// do.
func (p *pngParts) step() error {
	c, ok := p.r.PNGChunk(p.next)
	if err := p.r.Err(); err != nil {
		return err
	}
	p.whole = ok && c.Kind == "IEND" && !c.Cut
	if !ok || c.Cut || p.whole { // the pixels may be complete before a cut
		p.ended, p.text = true, "\x00\x00\x00\x00IEND\xae\x42\x60\x82"
		return nil
	}
	p.next = c.At + c.Size + 4
	switch c.Kind {
	case "IHDR", "PLTE", "IDAT":
	case "tRNS":
		if !p.intact(c) {
			return p.r.Err()
		}
	default:
		return nil
	}
	p.from, p.to = c.At-8, min(p.next, p.file.size)
	return nil
}

// intact says whether a small chunk's checksum is right.
func (p *pngParts) intact(c container.Chunk) bool {
	const most = 256
	if c.Size > most {
		return false
	}
	b := p.r.Exactly(c.At-4, c.Size+8)
	return b != nil && crc32.ChecksumIEEE(b[:len(b)-4]) == binary.BigEndian.Uint32(b[len(b)-4:])
}
