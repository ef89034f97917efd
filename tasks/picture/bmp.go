package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

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
	head, err := j.bytes(bmpHeadSize)
	if err != nil {
		return err
	}
	endPalette(head)
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
		opaqueIfBlank(p)
	case *image.Paletted:
		if err := j.checkPaletted(p); err != nil {
			if j.err != nil {
				return j.err
			}
			j.damaged(err)
		}
	}
	return j.finishImage(img)
}

var errTooManyRows = errors.New("the file has more rows than the picture")

// bmpHeadSize is how long the file header and the first 40 bytes of the next are.
const bmpHeadSize = 14 + 40

// endPalette makes a palette end where the pixels begin. Some writers say that it has all colours and write fewer;
// the decoder refuses that, nobody else does.
func endPalette(head []byte) {
	if len(head) < bmpHeadSize {
		return
	}
	at, size := uint64(binary.LittleEndian.Uint32(head[10:])), uint64(binary.LittleEndian.Uint32(head[14:]))
	bits, colours := binary.LittleEndian.Uint16(head[28:]), uint64(binary.LittleEndian.Uint32(head[46:]))
	if size < 40 || bits < 1 || bits > 8 {
		return
	}
	if colours == 0 || colours > 1<<bits {
		colours = 1 << bits
	}
	const entry, oldEntry = 4, 3 // bytes; some of OS/2, whose header has 64, are shorter
	start := 14 + size
	if at >= start+entry && at < start+entry*colours && (size != 64 || at != start+oldEntry*colours) {
		binary.LittleEndian.PutUint32(head[46:], uint32((at-start)/entry))
	}
}

// The kinds of compression that a palette goes with.
const bmpRuns8, bmpRuns4 = 1, 2

// checkPaletted looks for what the decoder passes over in silence: pixels of colours that the palette does not
// have, and runs that end early or are too many.
//
//	"BM" | 8 more | offset of the pixels(4) | header: size(4) … bits(2 at 14, of a header of 12 bytes at 10) compression(4 at 16) …
func (j *job) checkPaletted(img *image.Paletted) error {
	r := container.NewReader(j.ctx, &j.source, j.size, headerBudget)
	b := append(r.UpTo(0, 34), make([]byte, 34)...)
	if err := r.Err(); err != nil {
		return err
	}
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
				return errors.New("some pixels have a colour that the palette does not have")
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
// What a run has too much for its row is left out by everybody and no damage; rows too many are.
func checkRuns(r *bufio.Reader, width, height int, halves bool) error {
	x, y := 0, 0
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
			return nil
		case full:
			return errTooManyRows
		case n > 0:
			x += n
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
			if x += v; skip&1 > 0 {
				_, _ = r.Discard(1) // at the end of the file it may be missing
			}
		}
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
