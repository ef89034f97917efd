package picture

import (
	"runtime/debug"

	"casepress/tasks/picture/metadata"
)

// job is one picture on its way through [Process].
type job struct {
	source
	options Options
	budget  *Budget
	header  header
	result  Result
}

func (j *job) run() error {
	var err error
	if j.header, err = j.readHeader(); err != nil {
		return err
	}
	j.result.Source = j.header.Info
	if err := j.checkBounds(); err != nil {
		return err
	}
	if err := j.readMetadata(); err != nil {
		return err
	}
	switch j.header.Format {
	case FormatJPEG:
		return j.jpeg()
	case FormatHEIC:
		return j.heic()
	}
	return j.other()
}

// checkBounds refuses, from the header alone, what must not be decoded.
func (j *job) checkBounds() error {
	h, o := j.header, j.options
	switch {
	case !h.Format.Decodable():
		return problem(CodeUnsupported, "The picture is in %s format, which cannot be shown yet; the original is kept.", h.Format)
	case j.size > o.MaxBytes:
		return problem(CodeTooLarge, "The file has %d MB; at most %d MB are decoded.", j.size/1_000_000, o.MaxBytes/1_000_000)
	case h.Width <= 0 || h.Height <= 0:
		return problem(CodeUndecodable, "The picture's header is damaged: it does not say how large the picture is.")
	}
	pixels := o.MaxPixels
	if h.Format == FormatHEIC {
		pixels = min(pixels, maxHEIFPixels)
	}
	if max(h.Width, h.Height) > o.MaxSourceSide || int64(h.Width)*int64(h.Height) > pixels {
		return problem(CodeTooLarge, "The picture is %d × %d pixels; at most %d megapixels and %d pixels a side are decoded.",
			h.Width, h.Height, pixels/1_000_000, o.MaxSourceSide)
	}
	return nil
}

// readMetadata takes the capture time and the names of what the result leaves out.
func (j *job) readMetadata() error {
	summary := metadata.Read(&j.source, j.size)
	j.result.Removed, j.result.CapturedAt = summary.Tags, summary.CapturedAt
	return j.err
}

// largeDecode is the reservation from which on memory is collected and given back to
// the system at once. JPEGs from phones stay below.
const largeDecode = 48 << 20

// reserve waits until the budget has room. release gives the room back.
func (j *job) reserve(cost int64) (release func(), err error) {
	free, err := j.budget.Acquire(j.ctx, cost)
	if err != nil {
		return nil, err
	}
	return func() {
		if cost >= largeDecode {
			// Else the pixels would stand as garbage until the heap had doubled, and
			// what the budget says is free would not be.
			debug.FreeOSMemory()
		}
		free()
	}, nil
}

// note adds what somebody who looks at the picture must know.
func (j *job) note(code, format string, args ...any) {
	j.result.Notes = append(j.result.Notes, problem(code, format, args...))
}
