package tasks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"casepress/blob"
	"casepress/tasks/picture"
	"casepress/tasks/report"
)

// CodeInternal marks an image whose work ended in a bug of ours.
const CodeInternal = "image-internal-error"

// ImageProcessingTask carries one case report from its originals to compressed
// pictures, thumbnails and the PDF. Running it again, wholly or after a crash half
// way, makes the same blobs.
type ImageProcessingTask struct {
	Report CaseReport
	// SHA256, Sequence and ReceivedAt are the receipt, which the PDF repeats.
	SHA256     string
	Sequence   uint64
	ReceivedAt time.Time
	Blobs      *blob.Store
	// Budget bounds the memory of all tasks that share it; nil has no bound.
	Budget *picture.Budget
	// Pictures are the sizes and limits; the zero value means the defaults.
	Pictures picture.Options
	// Parallel is how many images of this report may be in work at a time; 0 means
	// one a processor.
	Parallel int
	// Logger hears of panics; nil means the default logger.
	Logger *slog.Logger
}

// Run does the work. progress, if not nil, is called after every image and after
// the PDF, from one goroutine at a time; total is the images and the PDF.
//
// An image that cannot be shown is a [Problem] in the result and a placeholder in
// the PDF. The error is about reading, writing or the context: worth another
// attempt.
func (t ImageProcessingTask) Run(ctx context.Context, progress func(done, total int)) (Result, error) {
	steps := counter{total: len(t.Report.Images) + 1, report: progress}
	works := make([]imageWork, len(t.Report.Images))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(t.parallel())
	for i := range works {
		group.Go(func() error {
			if err := t.image(groupCtx, i, &works[i]); err != nil {
				return fmt.Errorf("image %d: %w", i+1, err)
			}
			return steps.step()
		})
	}
	if err := group.Wait(); err != nil {
		return Result{}, fmt.Errorf("case report %s: %w", t.Report.ID, err)
	}
	res := Result{Images: make([]ImageResult, len(works)), Problems: []Problem{}}
	for i, w := range works {
		res.Images[i] = w.result
		if w.problem != nil {
			res.Problems = append(res.Problems, *w.problem)
		}
	}
	if err := t.render(ctx, works, &res); err != nil {
		return Result{}, fmt.Errorf("case report %s: %w", t.Report.ID, err)
	}
	if err := steps.step(); err != nil {
		return Result{}, fmt.Errorf("case report %s: %w", t.Report.ID, err)
	}
	return res, nil
}

func (t ImageProcessingTask) parallel() int {
	if t.Parallel > 0 {
		return t.Parallel
	}
	return runtime.GOMAXPROCS(0)
}

// counter tells progress, one call at a time.
type counter struct {
	mu     sync.Mutex // held over report
	done   int
	total  int
	report func(done, total int)
}

// step counts one more. A panic of report becomes an error: it would end the
// process in a goroutine where nobody else recovers.
func (c *counter) step() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tell progress: panic: %v", r)
		}
	}()
	c.done++
	if c.report != nil {
		c.report(c.done, c.total)
	}
	return nil
}

// imageWork is what became of one image, and what the PDF says of it.
type imageWork struct {
	result  ImageResult
	source  picture.Info
	problem *Problem
}

// image makes the picture and the thumbnail of image i. Whatever is wrong with the
// image itself, a panic included, becomes the work's problem.
func (t ImageProcessingTask) image(ctx context.Context, i int, w *imageWork) (err error) {
	defer func() {
		if r := recover(); r != nil {
			t.logger().Error("panic while processing an image", "report", t.Report.ID, "image", i+1, "panic", r, "stack", string(debug.Stack()))
			*w = imageWork{problem: &Problem{i + 1, CodeInternal, "The picture could not be processed because of an internal error; the original is kept."}}
			err = nil
		}
	}()
	original, err := t.Blobs.Open(ctx, blob.Key(t.Report.Images[i].SHA256))
	if err != nil {
		return err
	}
	defer original.Close()
	res, err := picture.Process(ctx, original, original.Size(), t.Budget, t.Pictures)
	if p, ok := errors.AsType[*picture.Problem](err); ok {
		w.source = res.Source
		w.problem = &Problem{i + 1, p.Code, p.Detail}
		return nil
	}
	if err != nil {
		return err
	}
	w.source = res.Source
	w.result = ImageResult{Width: res.Full.Width, Height: res.Full.Height}
	if w.result.Full, err = t.keep(ctx, res.Full.Data); err != nil {
		return err
	}
	w.result.Thumb, err = t.keep(ctx, res.Thumb.Data)
	return err
}

func (t ImageProcessingTask) logger() *slog.Logger {
	if t.Logger == nil {
		return slog.Default()
	}
	return t.Logger
}

// keep stores bytes and returns where.
func (t ImageProcessingTask) keep(ctx context.Context, data []byte) (Output, error) {
	key, n, err := t.Blobs.Put(ctx, bytes.NewReader(data))
	if err != nil {
		return Output{}, err
	}
	return Output{SHA256: string(key), Bytes: n}, nil
}

// render makes the PDF, which [report.Render] checks, and stores it.
func (t ImageProcessingTask) render(ctx context.Context, works []imageWork, res *Result) error {
	release, err := t.Budget.Acquire(ctx, renderCost(res.Images))
	if err != nil {
		return err
	}
	defer release()
	var pdf bytes.Buffer
	info, err := report.Render(&pdf, t.document(ctx, works))
	if err != nil {
		return err
	}
	for _, p := range info.Problems {
		res.Problems = append(res.Problems, Problem{Code: p.Code, Detail: p.Detail})
	}
	res.Report.Pages = info.Pages
	res.Report.Output, err = t.keep(ctx, pdf.Bytes())
	return err
}

// renderCost is the memory in bytes that rendering holds at its peak.
func renderCost(images []ImageResult) int64 {
	const base, copies = 8 << 20, 4
	cost := int64(base)
	for _, img := range images {
		cost += copies * img.Full.Bytes
	}
	return cost
}

func (t ImageProcessingTask) document(ctx context.Context, works []imageWork) report.Document {
	d := report.Document{
		ID: t.Report.ID, PatientID: t.Report.PatientID, VisitID: t.Report.VisitID, Notes: t.Report.Notes,
		CapturedAt: t.Report.CapturedAt, ReceivedAt: t.ReceivedAt, SHA256: t.SHA256, Sequence: t.Sequence,
	}
	for i, img := range t.Report.Images {
		w := works[i]
		out := report.Image{
			ID: img.ImageID, Name: img.Name, SHA256: img.SHA256, Bytes: img.Bytes,
			SourceWidth: w.source.Width, SourceHeight: w.source.Height,
			Width: w.result.Width, Height: w.result.Height,
		}
		if w.problem != nil {
			out.Problem = w.problem.Detail
		} else {
			out.Open = func() (io.ReadCloser, error) { return t.Blobs.Open(ctx, blob.Key(w.result.Full.SHA256)) }
		}
		d.Images = append(d.Images, out)
	}
	return d
}
