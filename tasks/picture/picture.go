// Package picture keeps what turns the bytes of a photo, in whatever format a
// phone or a site sends it, into an upright, bounded, compressed and private
// JPEG and its thumbnail. It never trusts a file: sizes are read from the header
// before a pixel is decoded, every decode reserves its memory first, and no
// input, however broken, ends the process. It never copies metadata into what it
// makes: no EXIF, no position, no colour profile, no embedded thumbnail.
//
// What a caller gets on trouble is either a [*Problem], which is about the
// picture and will not go away by trying again, or any other error, which is
// about reading it (the disk, the context) and may.
package picture

import (
	"context"
	"fmt"
	"image"
	"io"
	"runtime"
)

// Options are the limits and sizes of [Process]. Zero fields take the values of
// [DefaultOptions].
type Options struct {
	// MaxSide is the longest side of the full picture in pixels. Smaller
	// pictures keep their size: nothing is ever scaled up.
	MaxSide int
	// ThumbSide is the longest side of the thumbnail in pixels.
	ThumbSide int
	// Quality is the JPEG quality of both, 1 to 100.
	Quality int
	// MaxPixels is the largest width times height that is decoded.
	MaxPixels int64
	// MaxSourceSide is the longest side that is decoded, in pixels.
	MaxSourceSide int
}

// DefaultOptions returns 1600 px at quality 80, a thumbnail of 320 px, and at
// most 50 megapixels of at most 20,000 px a side.
func DefaultOptions() Options {
	return Options{MaxSide: 1600, ThumbSide: 320, Quality: 80, MaxPixels: 50_000_000, MaxSourceSide: 20_000}
}

func (o Options) orDefault() Options {
	d := DefaultOptions()
	for _, f := range []struct{ value, def *int }{
		{&o.MaxSide, &d.MaxSide}, {&o.ThumbSide, &d.ThumbSide},
		{&o.Quality, &d.Quality}, {&o.MaxSourceSide, &d.MaxSourceSide},
	} {
		if *f.value <= 0 {
			*f.value = *f.def
		}
	}
	if o.MaxPixels <= 0 {
		o.MaxPixels = d.MaxPixels
	}
	return o
}

// JPEG is one encoded picture: baseline, 4:2:0, without any metadata.
type JPEG struct {
	Data          []byte
	Width, Height int // pixels, upright
}

// Result is what [Process] made of a picture.
type Result struct {
	Full, Thumb JPEG
	// Source is what the header of the original says, before orientation. It is set
	// with a [Problem] too, as far as it is known.
	Source Info
}

// largeDecode is the reservation from which on memory is collected at once: about
// that of a 12-megapixel photo.
const largeDecode = 48 << 20

// Process decodes the size bytes of src and returns the picture upright, over
// white where it was transparent, no larger than o.MaxSide, and its thumbnail.
// The same bytes and options give the same result. Of an animation it takes the
// first frame.
//
// It waits until budget has room for the decode; a nil budget has no bound. The
// context ends that wait and any reading of src; between two steps it is checked
// too, so that a cancelled call returns within one step (at most a second at 50
// megapixels).
//
// The error is a [*Problem] if the picture is at fault.
func Process(ctx context.Context, src io.ReaderAt, size int64, budget *Budget, o Options) (Result, error) {
	o = o.orDefault()
	r := &source{ctx: ctx, r: src, size: size}
	h, err := r.header()
	if err != nil {
		return Result{}, err
	}
	res := Result{Source: h.Info}
	if err := checkBounds(h, o); err != nil {
		return res, err
	}
	cost := h.cost(o)
	release, err := budget.Acquire(ctx, cost)
	if err != nil {
		return res, err
	}
	defer func() {
		if cost >= largeDecode {
			// Else the pixels would stand as garbage until the heap had doubled, and
			// what the budget says is free would not be.
			runtime.GC()
		}
		release()
	}()
	full, err := r.pixels(h, o)
	if err != nil {
		return res, err
	}
	if res.Full, err = encode(full, o.Quality); err != nil {
		return res, err
	}
	res.Thumb, err = encode(fit(full, o.ThumbSide), o.Quality)
	return res, err
}

// pixels returns the picture upright, opaque and no larger than o.MaxSide.
func (s *source) pixels(h header, o Options) (*image.NRGBA, error) {
	img, err := s.decode(h)
	if err != nil {
		return nil, err
	}
	full, err := safely(func() (*image.NRGBA, error) {
		return overWhite(orient(fit(img, o.MaxSide), h.orientation)), nil
	})
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("compress picture: %w", context.Cause(s.ctx))
	}
	return full, err
}

// checkBounds refuses, from the header alone, what must not be decoded.
func checkBounds(h header, o Options) error {
	if !h.Format.Decodable() {
		return problem(CodeUnsupported, "The picture is in %s format, which cannot be shown yet; the original is kept.", h.Format)
	}
	if h.Width <= 0 || h.Height <= 0 {
		return problem(CodeUndecodable, "The picture's header is damaged: it does not say how large the picture is.")
	}
	if max(h.Width, h.Height) > o.MaxSourceSide || int64(h.Width)*int64(h.Height) > o.MaxPixels {
		return problem(CodeTooLarge, "The picture is %d × %d pixels; at most %d megapixels and %d pixels a side are decoded.",
			h.Width, h.Height, o.MaxPixels/1_000_000, o.MaxSourceSide)
	}
	return nil
}
