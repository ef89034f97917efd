package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"

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
	details: bmpDetails,
	cost: func(h *header, o Options) int64 {
		return wholeCost(h, o, 4*h.area())
	},
	decode: (*job).bmp,
}

// bmpHeaderSizes are the sizes of the headers a BMP can have; two letters alone
// would make pictures of many a text.
var bmpHeaderSizes = map[uint32]bool{12: true, 16: true, 40: true, 52: true, 56: true, 64: true, 108: true, 124: true}

// errFieldsOf24 is a file whose pixels of 24 bits have masks. Microsoft's documents know those of 16 and 32 bits
// alone, but some readers take others.
var errFieldsOf24 = errors.New("a BMP of 24 bits in fields")

// bmpHeader reads the size:
//
//	"BM" | 12 more | size of the header(4) | width(4) height(4), of a header of 12 bytes 2 each | 2 bits(2) compression(4) …
func bmpHeader(h *header, r *container.Reader) {
	b := r.UpTo(14, 20)
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
	if len(b) == 20 && binary.LittleEndian.Uint32(b) >= 40 && binary.LittleEndian.Uint16(b[14:]) == 24 && binary.LittleEndian.Uint32(b[16:]) == bmpFields {
		h.unsupported = errFieldsOf24
	}
}

// bmpDetails reads the colours that headers of version 4 and 5 tell of, at byte 56 of the header:
//
//	kind(4) | x, y and z of red, green and blue, in 2^-30 each(36) | gamma of each, in 2^-16(12) | 4 | profile's offset from the header(4) size(4)
func bmpDetails(h *header, r *container.Reader, names *metadata.Names) {
	const at, withProfile = 14, 124
	b := r.UpTo(at, withProfile)
	if len(b) < 108 || binary.LittleEndian.Uint32(b) < 108 {
		return
	}
	const calibrated, linked, embedded = 0, 0x4c494e4b, 0x4d424544
	switch kind := binary.LittleEndian.Uint32(b[56:]); {
	case kind == calibrated:
		h.oddColours = !usualPrimaries(b[60:108])
	case len(b) < withProfile || binary.LittleEndian.Uint32(b) < withProfile:
	case kind == linked:
		h.oddColours = true // the profile is a file of its own
	case kind == embedded:
		if size := int64(binary.LittleEndian.Uint32(b[116:])); size <= maxProfile {
			h.profile = r.Exactly(at+int64(binary.LittleEndian.Uint32(b[112:])), size)
		}
		h.oddColours = len(h.profile) == 0
		names.ICC(h.profile)
	}
}

// usualPrimaries says whether primaries and gammas of a BMP are those of sRGB, or so close to them that
// nobody sees it. Most writers leave zeros, and some put other numbers among these, which is to say
// nothing.
func usualPrimaries(b []byte) bool {
	const near, gamma, nearGamma = 0.012, 2.2, 0.1
	const leastSum, leastGamma = 0.01, 0.1 // less is no colour, and no gamma
	sides := [3][2]float64{{0.64, 0.33}, {0.30, 0.60}, {0.15, 0.06}}
	told, far := true, false
	for i, want := range sides {
		x, y, z := fixed(b[12*i:], 30), fixed(b[12*i+4:], 30), fixed(b[12*i+8:], 30)
		sum := x + y + z
		told = told && sum >= leastSum
		far = far || math.Abs(x-want[0]*sum) > near*sum || math.Abs(y-want[1]*sum) > near*sum
		if g := fixed(b[36+4*i:], 16); g >= leastGamma && math.Abs(g-gamma) > nearGamma && math.Abs(1/g-gamma) > nearGamma {
			return false
		}
	}
	return !told || !far
}

// fixed reads a number of four bytes that has so many bits behind the point.
func fixed(b []byte, bits int) float64 {
	return math.Ldexp(float64(binary.LittleEndian.Uint32(b)), -bits)
}

func (j *job) bmp() error {
	head, err := j.bytes(bmpHeadSize)
	if err != nil {
		return err
	}
	mendHead(head)
	img, err := j.detached(func(s *stream) (image.Image, error) {
		s.at = int64(len(head))
		return gobmp.Decode(io.MultiReader(bytes.NewReader(head), s.buffered()))
	})
	if _, ok := errors.AsType[gobmp.UnsupportedError](err); ok {
		return j.unsupported(err)
	}
	if err != nil {
		return err
	}
	switch p := img.(type) {
	case *image.NRGBA:
		if withoutFields(head) {
			j.damaged(errors.New("the file does not say which bits are its colours"))
		}
		opaqueIfBlank(p)
	case *image.Paletted:
		if err := j.checkPaletted(head, p); err != nil {
			if j.err != nil {
				return j.err
			}
			j.damaged(err)
		}
	}
	return j.finishImage(img)
}

var (
	errTooManyRows  = errors.New("the file has more rows than the picture")
	errNothingDrawn = errors.New("the data end before the first pixel")
)

// A BMP begins with 14 bytes and a header, of which the first 40 bytes are read here, and the three
// masks of bit fields, which stand behind those whether or not they are part of the header.
const (
	bmpMasksAt  = 14 + 40
	bmpHeadSize = bmpMasksAt + 3*4
)

// mendHead alters what the head of a file says where the decoder would refuse it and nobody else does: a
// palette that ends where the pixels begin though it has more colours, a number of colours that cannot
// be, and pixels that begin within the headers, at 0 mostly: they follow these then.
func mendHead(head []byte) {
	if len(head) < bmpMasksAt {
		return
	}
	at, size := uint64(binary.LittleEndian.Uint32(head[10:])), uint64(binary.LittleEndian.Uint32(head[14:]))
	bits, colours := binary.LittleEndian.Uint16(head[28:]), uint64(binary.LittleEndian.Uint32(head[46:]))
	const entry, oldEntry = 4, 3 // bytes; some of OS/2, whose header has 64, are shorter
	if size == 12 {
		if bits := binary.LittleEndian.Uint16(head[24:]); at < 14+size {
			binary.LittleEndian.PutUint32(head[10:], uint32(14+size+oldEntry*paletteSize(bits)))
		}
		return
	}
	if size < 40 {
		return
	}
	most := paletteSize(bits)
	if colours > most { // more than there can be: as many as there can be, which is what 0 says
		clear(head[46:50])
	}
	if colours == 0 || colours > most {
		colours = most
	}
	start := 14 + size
	switch {
	case at < start:
		if size == 40 && binary.LittleEndian.Uint32(head[30:]) == bmpFields {
			start += bmpHeadSize - bmpMasksAt
		}
		binary.LittleEndian.PutUint32(head[10:], uint32(start+entry*colours))
	case at >= start+entry && at < start+entry*colours && (size != 64 || at != start+oldEntry*colours):
		binary.LittleEndian.PutUint32(head[46:], uint32((at-start)/entry))
	}
}

// paletteSize is how many colours a palette of pixels of so many bits can have.
func paletteSize(bits uint16) uint64 {
	if bits < 1 || bits > 8 {
		return 0
	}
	return 1 << bits
}

// withoutFields says whether pixels of bit fields have none: the masks are all zero.
func withoutFields(head []byte) bool {
	if len(head) < bmpHeadSize || binary.LittleEndian.Uint32(head[14:]) < 40 || binary.LittleEndian.Uint32(head[30:]) != bmpFields {
		return false
	}
	return !bytes.ContainsFunc(head[bmpMasksAt:bmpHeadSize], func(r rune) bool { return r != 0 })
}

// The kinds of compression: run lengths, which a palette goes with, and bit fields.
const bmpRuns8, bmpRuns4, bmpFields = 1, 2, 3

// checkPaletted looks for what the decoder passes over in silence: pixels of colours that the palette does not
// have, and runs that end early or are too many.
//
//	"BM" | 8 more | offset of the pixels(4) | header: size(4) … bits(2 at 14, of a header of 12 bytes at 10) compression(4 at 16) …
func (j *job) checkPaletted(head []byte, img *image.Paletted) error {
	b := append(head[:len(head):len(head)], make([]byte, bmpHeadSize)...)
	bits, compression := int(binary.LittleEndian.Uint16(b[28:])), binary.LittleEndian.Uint32(b[30:])
	switch size := binary.LittleEndian.Uint32(b[14:]); {
	case size == 12:
		bits, compression = int(binary.LittleEndian.Uint16(b[24:])), 0
	case size < 20:
		compression = 0
	}
	at := int64(binary.LittleEndian.Uint32(b[10:]))
	pixels := bufio.NewReaderSize(io.NewSectionReader(&j.source, at, max(j.size-at, 0)), 64<<10)
	if compression == bmpRuns8 || compression == bmpRuns4 {
		return checkRuns(pixels, img.Rect.Dx(), img.Rect.Dy(), compression == bmpRuns4)
	}
	if len(img.Palette) >= 1<<bits {
		return nil
	}
	row := make([]byte, (img.Rect.Dx()*bits+31)/32*4)
	for range img.Rect.Dy() {
		if _, err := io.ReadFull(pixels, row); err != nil {
			return fmt.Errorf("rows: %w", err)
		}
		for x := range img.Rect.Dx() {
			shift := 8 - bits - x*bits&7
			if int(row[x*bits>>3]>>shift)&(1<<bits-1) >= len(img.Palette) {
				return errLackingColour
			}
		}
	}
	return nil
}

// checkRuns walks run lengths, pairs of bytes:
//
//	n, v: n pixels of v (of 4 bits: of its halves in turn) | 0, 0: next row | 0, 1: end | 0, 2, x, y: move on
//	0, n: n pixels follow, filled up to a pair
//
// Pixels that are stepped over have the first colour, and a picture of nothing else is damaged. What a
// run has too much for its row is left out by everybody and no damage; rows too many are.
func checkRuns(r *bufio.Reader, width, height int, halves bool) error {
	x, y, drawn := 0, 0, false
	early := func() error { return damageAfter(y*width+min(x, width), width*height) }
	for y < height {
		var pair [2]byte
		if _, err := io.ReadFull(r, pair[:]); err != nil {
			if y == height-1 && x >= width {
				return nil // all is there but the mark of the end
			}
			return early()
		}
		full := y == height-1 && x >= width
		switch n, v := int(pair[0]), int(pair[1]); {
		case n == 0 && v == 0:
			x, y = 0, y+1
		case n == 0 && v == 1:
			if !drawn {
				return errNothingDrawn
			}
			return nil
		case full:
			return errTooManyRows
		case n > 0:
			x, drawn = x+n, true
		case v == 2:
			if _, err := io.ReadFull(r, pair[:]); err != nil {
				return early()
			}
			if x, y = x+int(pair[0]), y+int(pair[1]); y >= height {
				return errTooManyRows
			}
		default:
			skip := v
			if halves {
				skip = (v + 1) / 2
			}
			if _, err := r.Discard(skip); err != nil {
				return early()
			}
			drawn = true
			if x += v; skip&1 > 0 {
				_, _ = r.Discard(1) // at the end of the file it may be missing
			}
		}
	}
	if !drawn {
		return errNothingDrawn
	}
	var end [2]byte
	if _, err := io.ReadFull(r, end[:]); err == nil && (end[0] != 0 || end[1] > 1) {
		return errTooManyRows
	}
	return nil
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
