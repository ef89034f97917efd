package picture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/heif"
	"casepress/tasks/picture/metadata"
)

// job is one picture on its way through [Process].
type job struct {
	source
	parent    context.Context // source.ctx is this with the time limit, while work is done
	options   Options
	budget    *Budget
	header    *header
	names     *metadata.Names
	result    Result
	threads   threads
	abandoned []<-chan struct{} // decoders that were left behind
}

var (
	// errTimeLimit is the cause of a context that ended because the picture took too long.
	errTimeLimit = errors.New("the time limit of one picture")
	// errNoProcessor is that of one that ended because the picture has waited for a processor for too long, which is not its fault.
	errNoProcessor = errors.New("the machine had too little time for the picture")
)

// A picture may take maxStarved times its time limit with all that it waits for a processor, and minStarved in any case.
const (
	maxStarved = 10
	minStarved = time.Minute
)

// maxHeldWaiting is how many bytes of colour profile and metadata a picture may hold while it waits for the budget.
const maxHeldWaiting = 64 << 10

func (j *job) run() error {
	if err := j.look(); err != nil {
		return err
	}
	cost, isolated := j.header.codec.cost(j.header, j.options), j.header.codec.isolated
	again := j.header.held() > maxHeldWaiting
	if again { // many may wait
		j.header, j.names, j.result.Notes = nil, nil, nil
	}
	release, err := j.reserve(cost, isolated)
	if err != nil {
		return err
	}
	defer release()
	if again {
		if err := j.timed(j.inspect); err != nil {
			return err
		}
	}
	return j.decode()
}

// look inspects the picture once it is its turn to: what inspecting holds is not in the budget.
func (j *job) look() error {
	start := time.Now()
	done, err := j.budget.enterInspection(j.parent)
	j.result.Waited += time.Since(start)
	if err != nil {
		return err
	}
	defer done()
	return j.timed(j.inspect)
}

// held is how many bytes of colour profile and metadata the header keeps.
func (h *header) held() int {
	n := len(h.profile)
	if info, ok := h.own.(heif.Info); ok {
		for _, block := range slices.Concat(info.Exif, info.XMP) {
			n += len(block)
		}
	}
	return n
}

// takeNames takes over what the names tell so far.
func (j *job) takeNames() {
	s := j.names.Summary()
	j.result.Removed, j.result.CapturedAt = s.Tags, s.CapturedAt
}

// timed runs a step on untrusted bytes and counts its time. What is left of the time limit
// bounds it; waiting is not counted.
func (j *job) timed(step func() error) error {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(j.parent, j.options.TimeLimit-j.result.Worked, errTimeLimit)
	defer cancel()
	j.ctx = ctx
	err := j.guard(step)
	j.ctx = j.parent
	j.result.Worked += time.Since(start)
	return j.tooSlow(err)
}

// decode runs the decoder and counts its time. What is left of the time limit bounds what a processor works for it. Waiting for a
// processor is not counted, but is bounded too.
func (j *job) decode() error {
	start, left := time.Now(), j.options.TimeLimit-j.result.Worked
	ctx, cancel := context.WithCancelCause(j.parent)
	var watching sync.WaitGroup
	watching.Go(func() {
		for wait := left; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			worked := j.threads.worked(start)
			switch {
			case worked >= left:
				cancel(errTimeLimit)
			case time.Since(start) >= max(maxStarved*j.options.TimeLimit, minStarved):
				cancel(errNoProcessor)
			}
			wait = left - worked
		}
	})
	j.ctx = ctx
	err := j.guard(func() error {
		return j.atLowPriority(func() error { return j.header.codec.decode(j) })
	})
	j.ctx = j.parent
	cancel(nil)
	watching.Wait()
	worked := j.threads.worked(start)
	j.result.Worked += worked
	j.result.Waited += time.Since(start) - worked
	return j.tooSlow(err)
}

// tooSlow makes a problem of the error of a step that the time limit ended.
func (j *job) tooSlow(err error) error {
	if errors.Is(err, errTimeLimit) && j.parent.Err() == nil {
		return problem(CodeTooSlow, "The picture takes longer than %v to decode; the original is kept.", j.options.TimeLimit)
	}
	return err
}

// inspect reads all that is known before decoding, and refuses what must not be decoded.
func (j *job) inspect() error {
	h, err := readHeader(container.NewReader(j.ctx, &j.source, j.size, headerBudget))
	switch {
	case j.err != nil:
		return j.err
	case errors.Is(err, ErrNotImage):
		return problem(CodeNotImage, "The file is not a picture in a format that is known here.")
	case err != nil:
		return err
	}
	h.size = j.size
	j.header, j.result.Source = h, h.Info
	r := container.NewReader(j.ctx, &j.source, j.size, detailsBudget)
	j.names = metadata.New(r)
	if err := j.checkBounds(); err != nil {
		return err
	}
	h.codec.details(h, r, j.names)
	j.takeNames()
	if r.Exhausted() {
		j.note(CodeDetails, "The file says more about itself than is read; the picture's colours or the way it is turned may be off.")
	}
	return j.err
}

// turn takes the orientation that EXIF tells, or where there is none, XMP: programs that write no EXIF
// have that alone.
func (h *header) turn(names *metadata.Names) {
	s := names.Summary()
	if o := cmp.Or(s.Orientation, s.XMPOrientation); o != 0 {
		h.orientation = o
	}
}

// checkBounds refuses, from the header alone, what must not be decoded.
func (j *job) checkBounds() error {
	h, o := j.header, j.options
	switch {
	case h.codec.decode == nil:
		return problem(CodeUnsupported, "The picture is in %s format, which cannot be shown yet; the original is kept.", h.Format)
	case h.unsupported != nil:
		return j.unsupported(h.unsupported)
	case j.size > o.MaxBytes:
		return problem(CodeTooLarge, "The file has %d MB; at most %d MB are decoded.", j.size/1_000_000, o.MaxBytes/1_000_000)
	case h.Width <= 0 || h.Height <= 0:
		return problem(CodeUndecodable, "The picture's header is damaged: it does not say how large the picture is.")
	}
	pixels := o.MaxPixels
	if h.codec.maxPixels > 0 {
		pixels = min(pixels, h.codec.maxPixels)
	}
	if max(h.Width, h.Height) > o.MaxSourceSide || int64(h.Width)*int64(h.Height) > pixels {
		return problem(CodeTooLarge, "The picture is %d × %d pixels; at most %d megapixels and %d pixels a side are decoded.",
			h.Width, h.Height, pixels/1_000_000, o.MaxSourceSide)
	}
	return nil
}

// largeDecode is the reservation from which on memory is collected and given back to
// the system at once. JPEGs from phones stay below.
const largeDecode = 48 << 20

// reserve waits until the budget has room. release gives the room back, once decoders that were
// left behind have ended too.
func (j *job) reserve(cost int64, isolated bool) (release func(), err error) {
	if cost > MaxPictureMemory {
		return nil, tooMuchMemory(fmt.Errorf("decoding needs %d MB of memory; at most %d MB are given to one picture",
			cost/1_000_000, int64(MaxPictureMemory)/1_000_000))
	}
	start := time.Now()
	free, err := j.budget.acquire(j.parent, cost, isolated)
	j.result.Waited += time.Since(start)
	if err != nil {
		return nil, err
	}
	giveBack := func() {
		if cost >= largeDecode {
			// Else the pixels would stand as garbage until the heap had doubled, and
			// what the budget says is free would not be.
			debug.FreeOSMemory()
		}
		free()
	}
	return func() {
		if len(j.abandoned) == 0 {
			giveBack()
			return
		}
		abandoned := j.abandoned
		go func() { // ends with the decoders, which notice soon that the context has ended
			for _, done := range abandoned {
				<-done
			}
			giveBack()
		}()
	}, nil
}

// damageAfter says how much of a picture there is.
func damageAfter(pixels, of int) error {
	return fmt.Errorf("the data end after %d %% of the picture", int64(pixels)*100/int64(of))
}

// damaged takes down that a part of the picture is missing.
func (j *job) damaged(damage error) {
	text := damage.Error()
	j.result.Damage = strings.ToUpper(text[:1]) + text[1:] + "."
	j.note(CodeDamaged, "%s What can be read of the picture is shown; the original is kept.", j.result.Damage)
}

// note adds what somebody who looks at the picture must know.
func (j *job) note(code, format string, args ...any) {
	j.result.Notes = append(j.result.Notes, problem(code, format, args...))
}

// noteTransparency adds that the picture has transparency that is not shown.
func (j *job) noteTransparency() {
	j.note(CodeTransparency, "The picture's transparency could not be read; parts that should not be seen may be.")
}

// unsupported is the problem of a picture that is valid but of a kind without a decoder.
func (j *job) unsupported(err error) error {
	p := problem(CodeUnsupported, "The picture is of a kind of %s that cannot be shown yet; the original is kept.", j.header.Format)
	p.Err = err
	return p
}
