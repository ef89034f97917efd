package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
)

// Bounds on what is read beside the pixels.
const (
	maxProfile = 4 << 20 // bytes of an ICC profile; those of printers have about 1 MB
	maxEXIF    = 1 << 20
	maxChunks  = 100_000 // of a PNG or WebP; PNG encoders cut the pixels into chunks of 8 KiB
	maxPages   = 1000
)

// readDetails looks for orientation, colour profile and further pages where the
// format keeps them. Damage leaves them as they are.
func (h *header) readDetails(file *io.SectionReader) {
	switch h.Format {
	case FormatPNG:
		h.readPNGChunks(file)
	case FormatWebP:
		h.readWebPChunks(file)
	case FormatTIFF:
		h.readTIFF(file)
	case FormatGIF:
		h.pages = countGIF(file)
	}
}

// readPNGChunks looks through the chunks up to the end of the file, because EXIF may
// stand behind the pixels:
//
//	8 signature | 4 length | 4 kind | data | 4 CRC | …
//	iCCP: name, 0, 0, zlib; eXIf: a TIFF block; acTL: 4 frames, 4 plays
func (h *header) readPNGChunks(file *io.SectionReader) {
	var head [8]byte
	at := int64(8)
	for range maxChunks {
		if _, err := file.ReadAt(head[:], at); err != nil {
			return
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		switch string(head[4:]) {
		case "iCCP":
			h.profile = inflateProfile(chunk(file, at+8, n, maxProfile))
		case "eXIf":
			h.orientation = exifOrientation(chunk(file, at+8, n, maxEXIF))
		case "acTL":
			if b := chunk(file, at+8, n, 8); len(b) == 8 {
				h.pages = int(min(binary.BigEndian.Uint32(b), maxPages))
			}
		case "IEND":
			return
		}
		at += 8 + n + 4
	}
}

// chunk reads n bytes, nil if that is more than most or than there is.
func chunk(file *io.SectionReader, at, n, most int64) []byte {
	if n > most || at+n > file.Size() {
		return nil
	}
	b := make([]byte, n)
	if _, err := file.ReadAt(b, at); err != nil {
		return nil
	}
	return b
}

// inflateProfile returns the profile within an iCCP chunk, nil if it is damaged. A
// name of at most 79 bytes stands in front.
func inflateProfile(b []byte) []byte {
	name := bytes.IndexByte(b, 0)
	if name < 0 || name+2 > len(b) {
		return nil
	}
	z, err := zlib.NewReader(bytes.NewReader(b[name+2:]))
	if err != nil {
		return nil
	}
	profile, err := io.ReadAll(io.LimitReader(z, maxProfile))
	if err != nil {
		return nil
	}
	return profile
}

// readWebPChunks looks for the chunks of an extended file:
//
//	"RIFF" size "WEBP" | kind(4) | size(4) | data, padded to even | …
//	EXIF: a TIFF block, of some writers after "Exif\0\0"; ANMF: x, y, width, height, duration, flags in 16 bytes, then chunks
func (h *header) readWebPChunks(file *io.SectionReader) {
	var head [8]byte
	at := int64(12)
	for range maxChunks {
		if _, err := file.ReadAt(head[:], at); err != nil {
			return
		}
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "ICCP":
			h.profile = chunk(file, at+8, n, maxProfile)
		case "EXIF":
			h.orientation = exifOrientation(bytes.TrimPrefix(chunk(file, at+8, n, maxEXIF), []byte("Exif\x00\x00")))
		case "ANMF":
			if h.pages++; h.pages == 1 {
				h.frame = [2]int64{at + 8, n}
			}
		}
		at += 8 + n + n&1
	}
}

// frameHeader is what stands in front of an animation's frame: its place and size, each
// in three bytes, its duration and flags.
const frameHeader = 16

// firstFrame makes the size of an animation's first frame the picture's: it may be
// smaller than the canvas, which is transparent around it and is not shown.
func (j *job) firstFrame() error {
	head := chunk(j.file(), j.header.frame[0], frameHeader, frameHeader)
	if head == nil || j.header.frame[1] <= frameHeader {
		return errors.New("no frame")
	}
	size := func(b []byte) int { return 1 + (int(b[0]) | int(b[1])<<8 | int(b[2])<<16) }
	w, h := size(head[6:]), size(head[9:])
	if w > j.header.Width || h > j.header.Height {
		return errors.New("a frame larger than its canvas")
	}
	j.header.Width, j.header.Height = w, h
	return nil
}

// stillWebP returns the first frame of an animation as a file of its own:
//
//	"RIFF" size "WEBP" | "VP8X" 10 | flags, 3 reserved, width-1(3), height-1(3) | the frame's chunks
func (j *job) stillWebP() io.Reader {
	at, n := j.header.frame[0]+frameHeader, j.header.frame[1]-frameHeader
	still := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00")
	for _, side := range []int{j.header.Width - 1, j.header.Height - 1} {
		still = append(still, byte(side), byte(side>>8), byte(side>>16))
	}
	const flags, alpha = 20, 0x10
	if kind := chunk(j.file(), at, 4, 4); string(kind) == "ALPH" {
		still[flags] = alpha
	}
	binary.LittleEndian.PutUint32(still[4:], uint32(int64(len(still))-8+n))
	return io.MultiReader(bytes.NewReader(still), io.NewSectionReader(j, at, n))
}

// countGIF counts the frames up to the second.
//
//	"GIF89a" | width(2) height(2) flags(1) 2 more | colours | blocks: 21 kind | 2c 8 bytes, flags(1), colours, 1 | each then length-prefixed pieces up to one of 0
func countGIF(file *io.SectionReader) (frames int) {
	r := newBuffered(file).(io.ByteReader)
	next := func() int {
		b, err := r.ReadByte()
		if err != nil {
			return -1
		}
		return int(b)
	}
	skip := func(n int) {
		for ; n > 0 && next() >= 0; n-- {
		}
	}
	colours := func(flags int) {
		if flags >= 0 && flags&0x80 != 0 {
			skip(3 << (flags&7 + 1))
		}
	}
	skip(10)
	flags := next()
	skip(2)
	colours(flags)
	for frames < 2 {
		switch next() {
		case 0x21:
			skip(1)
		case 0x2c:
			frames++
			skip(8)
			colours(next())
			skip(1)
		default:
			return frames
		}
		for n := next(); n > 0; n = next() {
			skip(n)
		}
	}
	return frames
}
