package picture

import (
	"context"
	"errors"
	"fmt"
	"io"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
	"casepress/tasks/picture/pixels"
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

// codec describes a format. Each has a file of its own, and nothing outside it asks which
// format a picture has.
type codec struct {
	format    Format
	mediaType string
	// sniff says whether a file begins with these bytes, at most sniffBytes.
	sniff func(head []byte) bool
	// header reads the size, and what the cost depends on, which leave h as it is where the
	// file is damaged.
	header func(h *header, r *container.Reader)
	// details reads orientation, colours, further pages, and the names of metadata.
	details func(h *header, r *container.Reader, names *metadata.Names)
	// cost is the memory in bytes that decode will hold at its peak.
	cost func(h *header, o Options) int64
	// decode makes the result from the picture. It is nil if there is no decoder.
	decode func(j *job) error
	// lossy says that the format blurs hard edges anyway, so that the result is never a PNG.
	lossy bool
	// maxPixels bounds the pixels beside Options.MaxPixels; 0 means no bound of its own.
	maxPixels int64
	// isolated says that the picture takes the turn of large ones whatever its cost.
	isolated bool
}

// codecs are all formats in the order in which they are tried. It is a function so that the
// descriptions may lead back here.
func codecs() [8]*codec {
	return [...]*codec{&jpegCodec, &pngCodec, &gifCodec, &webpCodec, &tiffCodec, &bmpCodec, &avifCodec, &heicCodec}
}

// find returns the format's description, nil if there is none.
func find(is func(*codec) bool) *codec {
	for _, c := range codecs() {
		if is(c) {
			return c
		}
	}
	return nil
}

// MediaType returns the format's IANA media type.
func (f Format) MediaType() string {
	if c := find(func(c *codec) bool { return c.format == f }); c != nil {
		return c.mediaType
	}
	return ""
}

// Decodable reports whether [Process] can decode the format.
func (f Format) Decodable() bool {
	c := find(func(c *codec) bool { return c.format == f })
	return c != nil && c.decode != nil
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
	codec       *codec
	orientation int    // as in EXIF, 1 to 8
	profile     []byte // ICC, nil if there is none
	colour      colourCodes
	pages       int   // how many pictures the file has one after the other; 0 if that is not known
	size        int64 // of the file in bytes
	unsupported error // why the picture is valid but of a kind without a decoder
	own         any   // what the format's own file keeps
	oddColours  bool  // colours that are not sRGB and are told in a way that is not converted
}

// Bounds on what is read beside the pixels.
const (
	sniffBytes    = 64
	headerBudget  = 8 << 20  // bytes for the header, each read costing 32 more
	detailsBudget = 16 << 20 // bytes for the details, those that are inflated included
	maxProfile    = 4 << 20  // bytes of an ICC profile; those of printers have about 1 MB
	maxEXIF       = 1 << 20
	maxPages      = 1000 // that are counted
)

// Inspect reads the header of the size bytes of r: the leading bytes decide the format,
// never a name. It reads as little as it can, at most 8 MiB, in little memory, and decodes
// nothing. Bytes that are no picture give [ErrNotImage]; a picture whose header is cut off or
// damaged gives a size of 0 and no error, because what to do about it is the caller's
// decision. Any other error is the reader's or the context's.
func Inspect(ctx context.Context, r io.ReaderAt, size int64) (Info, error) {
	h, err := readHeader(container.NewReader(ctx, r, size, headerBudget))
	if err != nil {
		return Info{}, err
	}
	return h.Info, nil
}

func readHeader(r *container.Reader) (*header, error) {
	head := r.UpTo(0, sniffBytes)
	c := find(func(c *codec) bool { return c.sniff(head) })
	if r.Err() == nil && c == nil {
		return nil, ErrNotImage
	}
	h := &header{codec: c, orientation: 1}
	if c != nil {
		h.Format, h.MediaType = c.format, c.mediaType
		c.header(h, r)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("inspect picture: %w", err)
	}
	return h, nil
}

// hasPrefix says whether b has magic at an offset.
func hasPrefix(b []byte, at int, magic string) bool {
	return len(b) >= at+len(magic) && string(b[at:at+len(magic)]) == magic
}

// wholeCost is the memory for a picture that is decoded to so many bytes at its full size
// and then scaled: a few rows on the way, and the few copies of final size.
func wholeCost(h *header, o Options, decoded int64) int64 {
	w, ht := fitSize(h.Width, h.Height, o.MaxSide)
	final := pixels.Size * int64(w) * int64(ht)
	const buffers = 4 << 20 // of decoders, encoders, and for a row
	return decoded + pixels.Memory(h.Width, h.Height, w, ht) + 3*final + buffers
}

// area is the picture's pixels.
func (h *header) area() int64 { return int64(h.Width) * int64(h.Height) }
