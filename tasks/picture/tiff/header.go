// Package tiff implements a reader of TIFF pictures (TIFF 6.0 and its supplements) that gives
// their rows from top to bottom, without ever holding more than one strip or row of tiles: 1, 2,
// 4, 8 and 16 bits; grey, palette, RGB and CMYK, with or without transparency, interleaved or in
// planes; uncompressed, PackBits, LZW, Deflate and the three kinds of fax; either order of bytes
// and of bits. It does not read JPEG within TIFF, floating-point samples, Lab and YCbCr, raw
// data of cameras, and the 64-bit kind; those give [ErrUnsupported].
//
// A file is a chain of directories, one a page; each says where the strips or tiles of its
// picture are:
//
//	II or MM 42 | offset -> directory: width, length, bits, compression, …, offsets[], bytes[] | offset -> next page
package tiff

import (
	"errors"
	"fmt"
	"slices"

	"casepress/tasks/picture/container"
)

var (
	// ErrUnsupported is a valid picture of a kind that is not read.
	ErrUnsupported = errors.New("unsupported kind of TIFF")
	// ErrFormat is a damaged directory.
	ErrFormat = errors.New("damaged TIFF")
)

// Header is what the directory of a page says.
type Header struct {
	Width, Height int
	// Orientation is 1 to 8; 1 if the file does not say.
	Orientation int
	// Profile is the ICC profile, nil if there is none.
	Profile []byte
	// ProfileLost says that there is one that the file does not have all of.
	ProfileLost bool
	// CMYK says that the colours are those of inks.
	CMYK bool
	// GuessedAlpha says that the picture has one sample too many and does not say what for. It is
	// taken for transparency, as libtiff and others do; where [Decoder.Blank] says that it would hide
	// everything, it is not.
	GuessedAlpha bool

	compression, photometric, predictor      uint32
	bits, samples, alpha                     int // alpha is the index of the sample, 0 if there is none
	premultiplied, planar, reversed, twoWays bool
	big                                      bool // byte order
	blockWidth, blockHeight, across, down    int
	offsets, counts                          []uint32
	palette                                  []uint32
	problem                                  error
}

// The tags, compressions and kinds of colour that matter.
const (
	tagSubfileType     = 0xfe
	tagWidth           = 0x100
	tagLength          = 0x101
	tagBits            = 0x102
	tagCompression     = 0x103
	tagPhotometric     = 0x106
	tagFillOrder       = 0x10a
	tagStripOffsets    = 0x111
	tagOrientation     = 0x112
	tagSamples         = 0x115
	tagRowsPerStrip    = 0x116
	tagStripByteCounts = 0x117
	tagPlanar          = 0x11c
	tagT4Options       = 0x124
	tagPredictor       = 0x13d
	tagColorMap        = 0x140
	tagTileWidth       = 0x142
	tagTileLength      = 0x143
	tagTileOffsets     = 0x144
	tagTileByteCounts  = 0x145
	tagSubIFDs         = 0x14a
	tagExtraSamples    = 0x152
	tagSampleFormat    = 0x153
	tagProfile         = 0x8773

	compressionNone, compressionFaxRuns, compressionT4, compressionT6 = 1, 2, 3, 4
	compressionLZW, compressionDeflate, compressionPackBits           = 5, 8, 32773
	compressionOldDeflate                                             = 32946

	whiteIsZero, blackIsZero, rgb, palette, mask, inks = 0, 1, 2, 3, 4, 5
)

// Bounds on a file.
const (
	maxPages   = 1000
	maxBlocks  = 1 << 20 // strips or tiles
	maxProfile = 4 << 20
)

// ReadHeader finds the picture to show, the first that is not marked as a smaller version of
// another: those of a raw file are previews. pages is how many there are, at least 1, not counted
// beyond 1000. The error is ErrFormat if there is no directory with a size, ErrUnsupported if the
// picture is of a kind that is not read; the size is then set all the same.
func ReadHeader(t container.TIFF) (h Header, pages int, err error) {
	visited := map[int64]bool{}
	var first, shown []container.Entry
	for at := t.First; at != 0 && !visited[at] && len(visited) < maxPages; {
		visited[at] = true
		entries, next, ok := t.Directory(at)
		if !ok {
			break
		}
		if first == nil {
			first = entries
		}
		if !reduced(t, entries) {
			pages++
			if shown == nil {
				shown = entries
			}
		}
		at = next
	}
	if shown == nil {
		shown = subPicture(t, first)
	}
	if first == nil {
		return h, 1, fmt.Errorf("no directory: %w", ErrFormat)
	}
	if shown == nil {
		shown = first
	}
	h.read(t, shown)
	switch {
	case h.Width <= 0 || h.Height <= 0:
		err = fmt.Errorf("no size: %w", ErrFormat)
	case reduced(t, first) && len(shown) > 0 && reduced(t, shown):
		err = fmt.Errorf("only a preview: %w", ErrUnsupported)
	default:
		err = h.problem
	}
	return h, max(pages, 1), err
}

// reduced says whether a directory calls its picture a smaller version of another.
func reduced(t container.TIFF, entries []container.Entry) bool {
	v, _ := number(t, entries, tagSubfileType)
	return v&1 != 0
}

// subPicture looks for the picture that a preview is one of.
func subPicture(t container.TIFF, entries []container.Entry) []container.Entry {
	for _, e := range entries {
		if e.Tag != tagSubIFDs {
			continue
		}
		for _, at := range t.Numbers(e, 16) {
			if sub, _, ok := t.Directory(int64(at)); ok && !reduced(t, sub) {
				return sub
			}
		}
	}
	return nil
}

func number(t container.TIFF, entries []container.Entry, tag uint16) (uint32, bool) {
	for _, e := range entries {
		if e.Tag == tag {
			return t.Number(e)
		}
	}
	return 0, false
}

func (h *Header) read(t container.TIFF, entries []container.Entry) {
	get := func(tag uint16, otherwise uint32) uint32 {
		if v, ok := number(t, entries, tag); ok {
			return v
		}
		return otherwise
	}
	all := func(tag uint16, most int) []uint32 {
		for _, e := range entries {
			if e.Tag == tag {
				return t.Numbers(e, most)
			}
		}
		return nil
	}
	const maxSide = 1 << 30
	h.Width, h.Height = int(min(get(tagWidth, 0), maxSide)), int(min(get(tagLength, 0), maxSide))
	h.Orientation = 1
	if o := get(tagOrientation, 1); o >= 1 && o <= 8 {
		h.Orientation = int(o)
	}
	for _, e := range entries {
		if e.Tag == tagProfile {
			h.Profile = t.Value(e, maxProfile)
			h.ProfileLost = h.Profile == nil
		}
	}
	h.big = t.Order.String() == "BigEndian"
	h.compression, h.predictor = get(tagCompression, compressionNone), get(tagPredictor, 1)
	h.photometric = get(tagPhotometric, 1<<31)
	h.samples = int(min(get(tagSamples, 1), 1<<10))
	h.planar = get(tagPlanar, 1) == 2 && h.samples > 1
	h.reversed = get(tagFillOrder, 1) == 2
	h.twoWays = get(tagT4Options, 0)&1 != 0
	h.palette = widened(all(tagColorMap, 3<<16))
	h.describe(all(tagBits, 1<<10), all(tagSampleFormat, 1<<10), all(tagExtraSamples, 1<<10))
	if h.Width > 0 && h.Height > 0 && h.problem == nil {
		h.layOut(get, all)
	}
}

// widened returns the colours of a palette in 16 bits. Some writers put 8 bits there, as libtiff knows too; in 16
// these would all be black.
func widened(palette []uint32) []uint32 {
	if slices.ContainsFunc(palette, func(v uint32) bool { return v > 255 }) {
		return palette
	}
	for i := range palette {
		palette[i] *= 257
	}
	return palette
}

// describe checks that samples and colours are of a kind that is read.
func (h *Header) describe(bits, formats, extras []uint32) {
	refuse := func(format string, args ...any) {
		if h.problem == nil {
			h.problem = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrUnsupported)
		}
	}
	h.bits = 1
	for i, b := range bits[:min(len(bits), h.samples)] { // there may be more than samples
		if i > 0 && int(b) != h.bits {
			refuse("samples of %d and %d bits", h.bits, b)
		}
		h.bits = int(min(b, 1<<10))
	}
	for _, f := range formats[:min(len(formats), h.samples)] {
		if f != 1 && f != 4 {
			refuse("sample format %d", f)
		}
	}
	colours := 1
	switch h.photometric {
	case whiteIsZero, blackIsZero, mask:
	case palette:
		if h.bits > 8 || len(h.palette) < 3<<h.bits {
			refuse("palette of %d entries for %d bits", len(h.palette), h.bits)
		}
	case rgb:
		colours = 3
	case inks:
		colours, h.CMYK = 4, true
	case 1 << 31:
		h.photometric = whiteIsZero // what fax programs that leave it out mean
		if h.samples >= 3 {
			h.photometric, colours = rgb, 3
		}
	default:
		refuse("colours of kind %d", h.photometric)
	}
	switch {
	case h.bits == 8 || h.bits == 16:
	case (h.bits == 1 || h.bits == 2 || h.bits == 4) && h.samples == 1:
	default:
		refuse("%d samples of %d bits", h.samples, h.bits)
	}
	if h.samples < colours || h.samples > 16 {
		refuse("%d samples", h.samples)
	}
	for i, e := range extras[:min(len(extras), max(h.samples-colours, 0))] { // the first that is transparency
		if e == 1 || e == 2 {
			h.alpha, h.premultiplied = colours+i, e == 1
			break
		}
	}
	if h.samples == colours+1 && len(extras) == 0 && !h.CMYK && h.photometric != palette {
		h.alpha, h.GuessedAlpha = colours, true
	}
	switch h.compression {
	case compressionNone, compressionLZW, compressionDeflate, compressionOldDeflate, compressionPackBits:
	case compressionFaxRuns, compressionT4, compressionT6:
		if h.bits != 1 || h.samples != 1 {
			refuse("fax of %d samples of %d bits", h.samples, h.bits)
		}
	default:
		refuse("compression %d", h.compression)
	}
	if h.predictor != 1 && (h.predictor != 2 || h.bits < 8) {
		if h.compression == compressionLZW || h.compression == compressionDeflate || h.compression == compressionOldDeflate {
			refuse("predictor %d of %d bits", h.predictor, h.bits)
		}
	}
}

// layOut finds the strips or tiles, of planes those of the first plane first.
func (h *Header) layOut(get func(uint16, uint32) uint32, all func(uint16, int) []uint32) {
	if w := get(tagTileWidth, 0); w > 0 {
		l := get(tagTileLength, 0)
		if w > 1<<16 || l > 1<<16 || l == 0 {
			h.problem = fmt.Errorf("tiles of %d x %d: %w", w, l, ErrUnsupported)
			return
		}
		h.blockWidth, h.blockHeight = int(w), int(l)
		h.offsets, h.counts = all(tagTileOffsets, maxBlocks), all(tagTileByteCounts, maxBlocks)
		if h.offsets == nil { // some writers use the tags of strips
			h.offsets, h.counts = all(tagStripOffsets, maxBlocks), all(tagStripByteCounts, maxBlocks)
		}
	} else {
		h.blockWidth, h.blockHeight = h.Width, int(min(get(tagRowsPerStrip, 1<<31), uint32(h.Height)))
		h.offsets, h.counts = all(tagStripOffsets, maxBlocks), all(tagStripByteCounts, maxBlocks)
	}
	if h.blockHeight == 0 {
		h.blockHeight = h.Height
	}
	h.across, h.down = (h.Width+h.blockWidth-1)/h.blockWidth, (h.Height+h.blockHeight-1)/h.blockHeight
	if n := h.across * h.down * h.planes(); n > maxBlocks {
		h.problem = fmt.Errorf("%d strips or tiles: %w", n, ErrUnsupported)
	}
}

// Opaque returns the header without transparency.
func (h Header) Opaque() Header {
	h.alpha, h.GuessedAlpha = 0, false
	return h
}

// planes is how many blocks there are for a place in the picture.
func (h *Header) planes() int {
	if h.planar {
		return h.samples
	}
	return 1
}

// rowBytes is how long a row of a block is.
func (h *Header) rowBytes() int {
	samples := h.samples
	if h.planar {
		samples = 1
	}
	return (h.blockWidth*samples*h.bits + 7) / 8
}

// Cost is the memory in bytes that a [Decoder] holds at most: a row of blocks, and one in 8 bits, where all
// blocks are, and the compressed bytes of one, twice if the order of their bits is turned round.
func (h *Header) Cost(fileSize int64) int64 {
	const slice = 48 // a block's slice, and what its bytes are rounded up by
	blocks := int64(h.across) * int64(h.planes())
	compressed := fileSize
	if h.reversed {
		compressed *= 2
	}
	places := 4 * int64(len(h.offsets)+len(h.counts))
	return blocks*(int64(h.rowBytes())*int64(h.blockHeight)+slice) + int64(h.Width)*int64(h.samples) + places + compressed + 64<<10
}
