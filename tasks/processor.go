package tasks

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"casepress/blob"
	"casepress/study"
	"casepress/tasks/pdf"
	"casepress/tasks/picture"
)

// Processor has what tasks need beside their submission. Make one and use it for all; it must not be changed
// once it is in use.
type Processor struct {
	// Blobs has the originals and takes what is made of them.
	Blobs blob.Store
	// PictureCache keeps finished pictures between attempts; nil keeps none.
	PictureCache PictureCache
	// Budget bounds the memory of all tasks together; nil has no bound.
	Budget *picture.Budget
	// Pictures are the sizes and limits; the zero value means the defaults.
	Pictures picture.Options
	// Layout is how a PDF looks; the zero value means one image a page, on A4.
	Layout pdf.Options
	// Studies have the instruments by which responses are scored; nil: no study has a file.
	Studies *study.Studies
	// Record makes durable what a task has done that must not be forgotten with its rows; nil: nothing is recorded.
	Record func(context.Context, Submission) error
	// Parallel is how many images of one report may be in work at a time; 0 means one a processor.
	Parallel int
	// Logger hears of panics; nil means the default logger.
	Logger *slog.Logger
}

// Task returns the work on the submission.
func (p *Processor) Task(w Work) (Task, error) {
	if w.Kind.NewTask == nil {
		return nil, fmt.Errorf("there is no work on a %s", w.Kind.Name)
	}
	return w.Kind.NewTask(p, w), nil
}

func (p *Processor) parallel() int {
	if p.Parallel > 0 {
		return p.Parallel
	}
	return runtime.GOMAXPROCS(0)
}

func (p *Processor) logger() *slog.Logger {
	if p.Logger == nil {
		return slog.Default()
	}
	return p.Logger
}

// put stores what r gives and returns where.
func (p *Processor) put(ctx context.Context, r io.Reader) (Output, error) {
	key, n, err := p.Blobs.Put(ctx, r)
	if err != nil {
		return Output{}, err
	}
	return Output{SHA256: string(key), Bytes: n}, nil
}
