package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"casepress/tasks/picture/heif"
)

// ErrNotImage says that the bytes begin like no picture format known here.
var ErrNotImage = errors.New("not a picture")

// Format is a picture format, told by the leading bytes alone.
type Format string

// The formats that are recognised. All but AVIF are decoded.
const (
	FormatJPEG Format = "JPEG"
	FormatPNG  Format = "PNG"
	FormatGIF  Format = "GIF"
	FormatWebP Format = "WebP"
	FormatHEIC Format = "HEIC"
	FormatAVIF Format = "AVIF"
	FormatTIFF Format = "TIFF"
	FormatBMP  Format = "BMP"
)

var mediaTypes = map[Format]string{
	FormatJPEG: "image/jpeg", FormatPNG: "image/png", FormatGIF: "image/gif", FormatWebP: "image/webp",
	FormatHEIC: "image/heic", FormatAVIF: "image/avif", FormatTIFF: "image/tiff", FormatBMP: "image/bmp",
}

// MediaType returns the format's IANA media type.
func (f Format) MediaType() string { return mediaTypes[f] }

// Decodable reports whether [Process] can decode the format.
func (f Format) Decodable() bool {
	_, ok := decoders[f]
	return ok || f == FormatHEIC && heif.Available
}

// Info is what a picture's header says.
type Info struct {
	Format    Format
	MediaType string
	// Width and Height are in pixels, before any orientation. Both are 0 where
	// the header does not say or is damaged.
	Width, Height int
}

// header is everything [Process] needs to know before it decodes.
type header struct {
	Info
	orientation int     // as in EXIF, 1 to 8
	length      int64   // JPEG: bytes in front of the first scan's data, or more
	samples     float64 // JPEG: samples a pixel over all components, 3 for 4:4:4
	progressive bool    // JPEG
	converted   bool    // JPEG: CMYK or RGB, which the decoder copies once more
	depth       int     // PNG, TIFF, BMP: bytes a pixel once decoded
	paletted    bool    // PNG
	interlaced  bool    // PNG
	details
}

// details are what the rest of a file says about its picture; [Inspect] does not
// look for them.
type details struct {
	profile []byte // ICC, nil if there is none
	// pages is how many pictures the file has one after the other; 0 if there is one
	// or if that was not looked for. It is not counted far beyond the second.
	pages int
	// frame is the first frame of an animated WebP, as a range of the file's bytes.
	frame [2]int64
}

// maxHeader is how far [Inspect] reads for the frame header of a JPEG, which may
// lie behind any number of 64 KiB segments.
const maxHeader = 32 << 20

// Inspect reads the header of a picture: the leading bytes decide the format,
// never a name. It reads as little as it can, in constant memory, and decodes
// nothing. Bytes that are no picture give [ErrNotImage]; a picture whose header
// is cut off or damaged gives a size of 0 and no error, because what to do about
// it is the caller's decision. Any other error is the reader's.
func Inspect(r io.Reader) (Info, error) {
	h, err := readHeader(r)
	return h.Info, err
}

func readHeader(r io.Reader) (header, error) {
	counter := &countingReader{r: io.LimitReader(r, maxHeader)}
	br := bufio.NewReaderSize(counter, 4096)
	head, err := br.Peek(32)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, fmt.Errorf("inspect picture: %w", err)
	}
	h := header{orientation: 1}
	h.Format = sniff(head)
	if h.Format == "" {
		return header{}, ErrNotImage
	}
	h.MediaType = h.Format.MediaType()
	switch h.Format {
	case FormatJPEG:
		err = h.readJPEG(br)
		h.length = counter.n
	case FormatHEIC, FormatAVIF:
		err = h.readHEIF(br)
	default:
		h.readFixed(head)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return header{}, fmt.Errorf("inspect picture: %w", err)
	}
	return h, nil
}

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// sniff returns the format that begins with these bytes, or "".
func sniff(b []byte) Format {
	at := func(i int, magic string) bool {
		return len(b) >= i+len(magic) && string(b[i:i+len(magic)]) == magic
	}
	switch {
	case at(0, "\xff\xd8\xff"):
		return FormatJPEG
	case at(0, "\x89PNG\r\n\x1a\n"):
		return FormatPNG
	case at(0, "GIF87a"), at(0, "GIF89a"):
		return FormatGIF
	case at(0, "RIFF") && at(8, "WEBP"):
		return FormatWebP
	case at(0, "II*\x00"), at(0, "MM\x00*"):
		return FormatTIFF
	case at(0, "BM") && len(b) >= 18 && bmpHeaderSizes[binary.LittleEndian.Uint32(b[14:])]:
		return FormatBMP
	case at(4, "ftyp"):
		return sniffBrands(b)
	}
	return ""
}

// bmpHeaderSizes are the sizes of the headers a BMP can have; two letters alone
// would make pictures of many a text.
var bmpHeaderSizes = map[uint32]bool{12: true, 40: true, 52: true, 56: true, 64: true, 108: true, 124: true}

// sniffBrands tells HEIC and AVIF from the other files that begin with an ISO
// base media "ftyp" box, such as films. Compatible brands count too: phones write
// the general brand mif1 first.
func sniffBrands(b []byte) Format {
	size := min(int(binary.BigEndian.Uint32(b)), len(b))
	for i := 8; i+4 <= size; i += 4 {
		switch string(b[i : i+4]) {
		case "heic", "heix", "heim", "heis", "hevc", "hevx":
			return FormatHEIC
		case "avif", "avis":
			return FormatAVIF
		}
	}
	if len(b) >= 12 && (bytes.Equal(b[8:12], []byte("mif1")) || bytes.Equal(b[8:12], []byte("msf1"))) {
		return FormatHEIC
	}
	return ""
}
