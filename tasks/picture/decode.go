package picture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
)

// source reads one picture and remembers whether reading itself went wrong, so
// that a failing disk is never taken for a damaged picture.
type source struct {
	ctx  context.Context
	r    io.ReaderAt
	size int64
	err  error
}

// reader returns a reader from the picture's first byte on. It fails once the
// context ends, which is how a decoder is stopped in the middle.
func (s *source) reader() io.Reader {
	return &cancelReader{s: s, r: io.NewSectionReader(s.r, 0, s.size)}
}

type cancelReader struct {
	s *source
	r io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if c.s.ctx.Err() != nil {
		c.s.err = fmt.Errorf("read picture: %w", context.Cause(c.s.ctx))
		return 0, c.s.err
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.s.err = fmt.Errorf("read picture: %w", err)
	}
	return n, err
}

// header reads the picture's header. The error is a [*Problem] if it is no
// picture.
func (s *source) header() (header, error) {
	h, err := readHeader(s.reader())
	switch {
	case s.err != nil:
		return header{}, s.err
	case errors.Is(err, ErrNotImage):
		return header{}, problem(CodeNotImage, "The file is not a picture in a format that is known here.")
	}
	return h, err
}

var decoders = map[Format]struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}{
	FormatJPEG: {jpeg.DecodeConfig, jpeg.Decode},
	FormatPNG:  {png.DecodeConfig, png.Decode},
	FormatGIF:  {gif.DecodeConfig, gif.Decode},
}

// decode returns the pixels in a form that is safe to hand on. The size is asked
// of the decoder once more: it, not our own header walk, is what will allocate.
func (s *source) decode(h header) (image.Image, error) {
	d := decoders[h.Format]
	img, err := safely(func() (image.Image, error) {
		c, err := d.config(s.reader())
		if err != nil {
			return nil, err
		}
		if c.Width != h.Width || c.Height != h.Height {
			return nil, errors.New("two headers that differ")
		}
		r := s.reader()
		if h.Format == FormatJPEG {
			r = &scanCounter{r: r}
		}
		img, err := d.decode(bufio.NewReaderSize(r, 64<<10))
		if err != nil {
			return nil, err
		}
		return settle(img, image.Rect(0, 0, c.Width, c.Height))
	})
	if s.err != nil {
		return nil, s.err
	}
	return img, err
}

// maxScans is how many scans of a JPEG are decoded. Photos have about ten; each
// costs a pass over all pixels however few bytes it has, so that a small file of
// very many scans would keep a processor busy for hours.
const maxScans = 1000

var errScans = errors.New("too many scans")

// scanCounter fails once it has seen more scan headers than a photo has. Scans
// never hold the two bytes otherwise; metadata may by chance, too rarely to matter.
type scanCounter struct {
	r     io.Reader
	last  byte
	scans int
}

func (c *scanCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for _, b := range p[:n] {
		if c.last == 0xff && b == markerSOS {
			c.scans++
		}
		c.last = b
	}
	if c.scans > maxScans {
		return 0, errScans
	}
	return n, err
}

// safely runs one step on untrusted pixels and turns its error, or its panic,
// into a [*Problem].
func safely[T any](step func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
		if err == nil {
			return
		}
		p := problem(CodeUndecodable, "The picture is damaged or incomplete and cannot be decoded; the original is kept.")
		p.Err = err
		err = p
	}()
	return step()
}
