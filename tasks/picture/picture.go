// Package picture implements what turns the bytes of a photo, in whatever format a phone or a
// site sends it, into an upright, bounded, compressed and private picture and its thumbnail. It
// never trusts a file: sizes are read from the header before a pixel is decoded, every decode
// reserves its memory first, every step obeys its context and a time limit, and no input,
// however broken, ends the process. It never copies metadata into what it makes: no EXIF, no
// position, no colour profile, no embedded thumbnail.
//
// Each format is described in a file of its own (jpeg.go, png.go, heic.go …): how it is
// recognised, where its size and its details stand, what decoding costs, and how it is decoded.
// JPEG is scaled and encoded as planes, at a fraction of the usual cost; HEIC and lossy WebP join
// it there once they are decoded; everything else is scaled as pixels.
//
// What a caller gets on trouble is either a [*Problem], which is about the picture and will not
// go away by trying again, or any other error, which is about reading it (the disk, the context)
// and may. A picture is shown right, or a problem or a note says what is not right.
package picture

import (
	"context"
	"fmt"
	"io"
	"time"
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
	// MaxPixels is the largest width times height that is decoded. HEIC is decoded
	// to 25 megapixels at most.
	MaxPixels int64
	// MaxSourceSide is the longest side that is decoded, in pixels.
	MaxSourceSide int
	// MaxBytes is the largest file that is decoded.
	MaxBytes int64
	// TimeLimit is the longest that the work on one picture may take, waiting for memory and, on Linux, for a processor
	// not counted. A picture that takes longer is a [Problem] of the code [CodeTooSlow]; one that has waited for a
	// processor for ten times as long, and a minute, is another error.
	TimeLimit time.Duration
}

// pipeline is raised whenever the same file and options begin to give another result.
const pipeline = 3

// Key identifies what the options make of a file: two results of the same bytes and the same
// key are the same, so that a finished picture can be kept by digest and key. TimeLimit is no
// part of it: it decides whether there is a result, not which. The key is ASCII without blanks,
// below 100 bytes, and differs between versions of casepress that make different results.
func (o Options) Key() string {
	o = o.orDefault()
	return fmt.Sprintf("v%d-side%d-thumb%d-q%d-pixels%d-source%d-bytes%d", pipeline, o.MaxSide, o.ThumbSide, o.Quality, o.MaxPixels, o.MaxSourceSide, o.MaxBytes)
}

// DefaultOptions returns 1600 px at quality 80, a thumbnail of 320 px, and at
// most 50 megapixels of at most 20,000 px a side in a file of at most 100 MiB, one minute of
// work.
func DefaultOptions() Options {
	return Options{MaxSide: 1600, ThumbSide: 320, Quality: 80, MaxPixels: 50_000_000, MaxSourceSide: 20_000, MaxBytes: 100 << 20, TimeLimit: time.Minute}
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
	for _, f := range []struct{ value, def *int64 }{{&o.MaxPixels, &d.MaxPixels}, {&o.MaxBytes, &d.MaxBytes}} {
		if *f.value <= 0 {
			*f.value = *f.def
		}
	}
	if o.TimeLimit <= 0 {
		o.TimeLimit = d.TimeLimit
	}
	return o
}

// Encoded is one finished picture, without any metadata.
type Encoded struct {
	Data          []byte
	Width, Height int // pixels, upright
	// Format is FormatJPEG or, for screenshots and scanned forms, FormatPNG: 8 bits, RGB
	// or grey, opaque, not interlaced.
	Format Format
}

// Result is what [Process] made of a picture.
type Result struct {
	// Full is at most Options.MaxSide on its longer side, Thumb at most
	// Options.ThumbSide and always JPEG.
	Full, Thumb Encoded
	// Source is what the header of the original says, before orientation. It is set
	// with a [Problem] too, as far as it is known.
	Source Info
	// Damage is one sentence if only a part of the picture could be read; "" if it
	// is whole.
	Damage string
	// Notes are what somebody who looks at the picture must know: that it is
	// damaged, that it is the first of several pages, that its colours may be off.
	Notes []*Problem
	// Removed are the names of the tags that the original has and the result has
	// not, sorted; never a value. Of a file that says very much about itself (16 MiB) some are
	// missing.
	Removed []string
	// CapturedAt is when the camera says that it took the picture, RFC 3339, without
	// a zone if it tells none; "" if it does not say.
	CapturedAt string
	// Waited is how long the picture waited for memory, Worked how long it was worked on. Both
	// are set with an error too.
	Waited, Worked time.Duration
}

// Process decodes the size bytes of src and returns the picture upright, over
// white where it was transparent, in sRGB, no larger than o.MaxSide, and its
// thumbnail. The same bytes and options give the same result. Of an animation it
// takes the first frame, of several pages the first.
//
// It waits until budget has room for the decode; a nil budget has no bound. Only the work is
// bounded by o.TimeLimit, and [Result] tells both times. The context ends the wait and the work,
// within about 100 ms. A decoder that cannot be stopped half way (that of lossy WebP, at most a
// second) is left behind and keeps its memory reserved until it has ended.
//
// The error is a [*Problem] if the picture is at fault.
func Process(ctx context.Context, src io.ReaderAt, size int64, budget *Budget, o Options) (Result, error) {
	j := &job{
		source: source{ctx: ctx, r: src, size: size},
		parent: ctx, options: o.orDefault(), budget: budget,
	}
	err := j.run()
	return j.result, err
}
