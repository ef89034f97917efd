package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"runtime/debug"

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

// errCgBI is a file as Xcode writes it into apps: an own chunk first, the pixels without zlib's header
// and checksum, blue before red, multiplied by their opacity. Apple's own programs alone read it.
var errCgBI = errors.New("a PNG of Apple's kind CgBI")

// pngHeader reads the IHDR chunk, which must come first:
//
//	width(4) | height(4) | depth | colour type | compression | filter | interlace
func pngHeader(h *header, r *container.Reader) {
	own := pngInfo{depth: 8}
	r.PNGChunks(func(c container.Chunk) bool {
		if c.Kind == "CgBI" && h.unsupported == nil {
			h.unsupported = errCgBI
			return true
		}
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
	case seen["cICP"]: // samples of a PNG are red, green and blue of all the range; others are shown as if they were
		h.oddColours = h.colour.given && (!h.colour.fullRange || h.colour.matrix != 0)
	case seen["sRGB"]:
	case seen["iCCP"]:
		h.oddColours = h.profile == nil // it is damaged
	default:
		h.oddColours = seen["odd"]
	}
	h.turn(names)
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
// hide the picture. Where that fails, it tries once more with the pixels packed anew.
func (j *job) png() error {
	img, parts, err := j.decodePNG(false)
	if _, ok := errors.AsType[png.UnsupportedError](err); ok {
		return j.unsupported(err)
	}
	if _, ok := errors.AsType[png.FormatError](err); ok && j.err == nil && j.ended() == nil {
		if j.header.codec.cost(j.header, j.options) >= largeDecode {
			debug.FreeOSMemory() // what the first try leaves behind is not in the budget
		}
		img, parts, err = j.decodePNG(true)
	}
	if err != nil {
		return err
	}
	switch p, paletted := img.(*image.Paletted); {
	case !parts.whole:
		j.damaged(errors.New("the file ends before its end mark"))
	case parts.checksumWrong:
		j.damaged(errors.New("the checksum of the pixels is wrong"))
	case paletted && len(p.Palette) > parts.colours && indexBeyond(p.Pix, parts.colours, -1): // the decoder takes black for these
		j.damaged(errLackingColour)
	}
	if parts.transparencyLost {
		j.noteTransparency()
	}
	if j.header.pages > 1 {
		j.note(CodeFirstFrame, "The file is an animation; its first frame is shown.")
	}
	return j.finishImage(img)
}

// decodePNG decodes what pngParts gives. parts is nil where decoding was left behind.
func (j *job) decodePNG(anew bool) (img image.Image, parts *pngParts, err error) {
	var given *pngParts
	img, err = j.detached(func(s *stream) (image.Image, error) {
		given = newPNGParts(s, anew)
		return png.Decode(pieces{s, bufio.NewReaderSize(given, 64<<10)})
	})
	if err != nil {
		return nil, nil, err
	}
	return img, given, nil
}
