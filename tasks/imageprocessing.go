package tasks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"casepress/blob"
	"casepress/tasks/pdf"
	"casepress/tasks/picture"
)

// CodeInternal marks an image whose work ended in a bug of ours.
const CodeInternal = "image-internal-error"

// CodeCorrupt marks an image whose stored original no longer has the bytes that were received.
const CodeCorrupt = "image-damaged-on-disk"

// verifiedFor is how long a picture that was found sound goes into a PDF without being read once more.
const verifiedFor = 5 * time.Minute

// ImageProcessingTask carries one case report from its originals to compressed pictures, thumbnails and the
// PDF. Executing it again, wholly or after a crash half way, makes the same blobs.
type ImageProcessingTask struct {
	*Processor
	// Work has the receipt, which the PDF repeats.
	Work
	Report CaseReport
}

// Execute does the work and returns a [CaseReportResult]. Progress is told after every image and after the
// PDF; its total is the images and the PDF.
//
// An image that cannot be shown is a [Problem] in the result and a placeholder in the PDF. The error is about
// reading, writing or the context: worth another attempt.
func (t ImageProcessingTask) Execute(ctx context.Context) (Result, error) {
	res, err := t.execute(ctx)
	if err != nil {
		return nil, fmt.Errorf("case report %s: %w", t.Report.ID, err)
	}
	return res, nil
}

func (t ImageProcessingTask) execute(ctx context.Context) (res CaseReportResult, err error) {
	kept := newFinishedPictures(t.Processor)
	defer func() {
		if err != nil {
			// What is finished is kept for the next attempt, also when this one was interrupted.
			kept.flush(context.WithoutCancel(ctx))
		}
	}()
	steps := counter{total: len(t.Report.Images) + 1, report: t.Progress}
	works, err := t.images(ctx, &steps, kept)
	if err != nil {
		return CaseReportResult{}, err
	}
	res = CaseReportResult{Images: make([]ImageResult, len(works)), Problems: []Problem{}}
	for i, w := range works {
		res.Images[i] = w.result
		res.Problems = append(res.Problems, w.problems...)
	}
	if err := t.render(ctx, works, &res); err != nil {
		return CaseReportResult{}, err
	}
	if err := steps.step(); err != nil {
		return CaseReportResult{}, err
	}
	return res, nil
}

// images works on every image. A picture that comes twice in the report is worked on once, and one that an
// earlier attempt finished not again.
func (t ImageProcessingTask) images(ctx context.Context, steps *counter, kept *finishedPictures) ([]imageWork, error) {
	works := make([]imageWork, len(t.Report.Images))
	first := map[string]int{} // positions of pictures, by digest
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(t.parallel())
	for i, img := range t.Report.Images {
		if _, again := first[img.SHA256]; again {
			continue
		}
		first[img.SHA256] = i
		group.Go(func() error {
			err := t.image(groupCtx, i, &works[i], kept)
			if err == nil {
				err = steps.step()
			}
			if err != nil {
				return fmt.Errorf("image %d: %w", i+1, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, img := range t.Report.Images {
		if from := first[img.SHA256]; from != i {
			works[i] = works[from].at(i)
			if err := steps.step(); err != nil {
				return nil, err
			}
		}
	}
	return works, nil
}

// counter tells progress, one call at a time.
type counter struct {
	mu     sync.Mutex // held over report
	done   int
	total  int
	report func(done, total int)
}

// step counts one more. A panic of report becomes an error: it would end the process in a goroutine where
// nobody else recovers.
func (c *counter) step() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tell progress: it panicked with %s", PanicText(r))
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
	result ImageResult
	// placeholder is the sentence that stands in place of the picture, damage the one that stands beside it.
	placeholder, damage string
	problems            []Problem
}

// at is the same work for the image at position i.
func (w imageWork) at(i int) imageWork {
	w.problems = slices.Clone(w.problems)
	for p := range w.problems {
		w.problems[p].Image = i + 1
	}
	return w
}

// chineseSentences say in a Chinese PDF what the API says in English, by the code of the problem. Figures, such as how
// many pixels there are, are in the API alone.
var chineseSentences = map[string]string{
	CodeInternal:             "因服务器内部错误，图像未能处理；原始文件已保留。",
	CodeCorrupt:              "原始文件保存后在服务器磁盘上损坏：内容与 SHA-256 不符。",
	picture.CodeUndecodable:  "图像已损坏或不完整，无法解码；原始文件已保留。",
	picture.CodeTooLarge:     "图像过大，无法显示；原始文件已保留。",
	picture.CodeUnsupported:  "图像的格式目前无法显示；原始文件已保留。",
	picture.CodeTooSlow:      "图像处理时间过长，未能显示；原始文件已保留。",
	picture.CodeNotImage:     "文件不是已知的图像格式；原始文件已保留。",
	picture.CodeDamaged:      "仅显示能够读取的部分。",
	picture.CodeFirstPage:    "文件含有多页或多幅图像，仅显示第一页或主图。",
	picture.CodeFirstFrame:   "文件是动画，仅显示第一帧。",
	picture.CodeColours:      "图像的颜色类型无法转换，颜色可能有偏差。",
	picture.CodeTransparency: "图像的透明度信息无法读取，本应透明的部分可能会显示。",
	picture.CodeDetails:      "文件的附加信息过多，未全部读取，图像的颜色或方向可能不正确。",
}

// sentence is what a PDF in a language says of a problem; english is what it says in English.
func sentence(language pdf.Language, code, english string) string {
	if chinese := chineseSentences[code]; language == pdf.Chinese && english != "" && chinese != "" {
		return chinese
	}
	return english
}

// notes are the sentences of the problems that stand beside the picture, as the API tells them. That it is
// damaged, the PDF marks in its own way.
func (w imageWork) notes(language pdf.Language) (sentences []string) {
	if w.placeholder != "" {
		return nil
	}
	for _, p := range w.problems {
		if p.Code != picture.CodeDamaged {
			sentences = append(sentences, sentence(language, p.Code, p.Detail))
		}
	}
	return sentences
}

// image makes the picture and the thumbnail of image i. Whatever is wrong with the image itself, a panic
// included, becomes the work's problem.
func (t ImageProcessingTask) image(ctx context.Context, i int, w *imageWork, kept *finishedPictures) (err error) {
	defer func() {
		if r := recover(); r != nil {
			t.logger().Error("panic while processing an image", "report", t.Report.ID, "image", i+1, "panic", PanicText(r), "stack", string(debug.Stack()))
			*w = imageWork{}
			w.fail(i, CodeInternal, "The picture could not be processed because of an internal error; the original is kept.")
			err = nil
		}
	}()
	sha256 := t.Report.Images[i].SHA256
	if made, found, err := kept.find(ctx, sha256); found || err != nil {
		w.result = made
		return err
	}
	original, err := blob.OpenVerified(ctx, t.Blobs, blob.Key(sha256), 0)
	if errors.Is(err, blob.ErrCorrupt) {
		t.logger().Error("an original is damaged on disk", "report", t.Report.ID, "image", i+1, "err", err)
		w.fail(i, CodeCorrupt, "The stored original is damaged on the server's disk: its bytes do not match their digest.")
		return nil
	}
	if err != nil {
		return err
	}
	defer original.Close()
	res, err := picture.Process(ctx, original, original.Size(), t.Budget, t.Pictures)
	w.describe(res)
	if p, ok := errors.AsType[*picture.Problem](err); ok {
		if p.Stack != nil {
			t.logger().Error("panic while decoding an image", "report", t.Report.ID, "image", i+1, "panic", p.Err, "stack", string(p.Stack))
		}
		w.fail(i, p.Code, p.Detail)
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range res.Notes {
		w.problems = append(w.problems, Problem{i + 1, n.Code, n.Detail})
	}
	if err := t.putPictures(ctx, res, &w.result); err != nil {
		return err
	}
	if len(w.problems) > 0 {
		return nil // what is to be said of it is not kept with it
	}
	kept.add(ctx, sha256, w.result)
	return nil
}

// describe takes over what is known of the original, decoded or not.
func (w *imageWork) describe(res picture.Result) {
	w.damage = res.Damage
	w.result = ImageResult{
		SourceWidth: res.Source.Width, SourceHeight: res.Source.Height,
		CapturedAt: res.CapturedAt, Removed: res.Removed, Damaged: res.Damage != "",
	}
}

func (w *imageWork) fail(i int, code, detail string) {
	w.placeholder, w.damage, w.result.Damaged = detail, "", false
	w.problems = []Problem{{i + 1, code, detail}}
}

// putPictures stores the full picture and the thumbnail.
func (t ImageProcessingTask) putPictures(ctx context.Context, res picture.Result, made *ImageResult) (err error) {
	made.Width, made.Height, made.MediaType = res.Full.Width, res.Full.Height, res.Full.Format.MediaType()
	if made.Full, err = t.put(ctx, bytes.NewReader(res.Full.Data)); err != nil {
		return err
	}
	made.Thumb, err = t.put(ctx, bytes.NewReader(res.Thumb.Data))
	return err
}

// renderCost is the memory in bytes that rendering holds at its peak, however many pictures there are: they
// go through it.
const renderCost = 8 << 20

// render makes the PDF, which [pdf.Render] checks, and stores it as it comes. If the check fails, nothing is
// stored.
func (t ImageProcessingTask) render(ctx context.Context, works []imageWork, res *CaseReportResult) error {
	release, err := t.Budget.Acquire(ctx, renderCost)
	if err != nil {
		return err
	}
	defer release()
	if limit := t.Pictures.TimeLimit; limit > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("rendering the PDF took longer than %v", limit))
		defer cancel()
		ctx = limited
	}
	content, to := io.Pipe()
	var info pdf.Info
	var rendering sync.WaitGroup
	rendering.Go(func() {
		var err error
		info, err = t.write(to, t.document(ctx, works))
		_ = to.CloseWithError(err) // always nil; the reader of content sees err, or the end
	})
	res.PDF.Output, err = t.put(ctx, content)
	_ = content.CloseWithError(err) // always nil; ends the rendering if storing failed
	rendering.Wait()
	if err != nil {
		return err
	}
	for _, p := range info.Problems {
		res.Problems = append(res.Problems, Problem{Code: p.Code, Detail: p.Detail})
	}
	res.PDF.Pages = info.Pages
	return nil
}

// write renders the document to w. A panic becomes an error: it would end the process in a goroutine where
// nobody else recovers.
func (t ImageProcessingTask) write(w io.Writer, d pdf.Document) (info pdf.Info, err error) {
	defer func() {
		if r := recover(); r != nil {
			t.logger().Error("panic while rendering", "report", t.Report.ID, "panic", PanicText(r), "stack", string(debug.Stack()))
			err = errors.New("render pdf: an internal error")
		}
	}()
	buffered := bufio.NewWriterSize(w, 64<<10)
	if info, err = pdf.Render(buffered, d); err != nil {
		return info, err
	}
	return info, buffered.Flush()
}

func (t ImageProcessingTask) document(ctx context.Context, works []imageWork) pdf.Document {
	d := pdf.Document{
		ID: t.Report.ID, PatientID: t.Report.PatientID, VisitID: t.Report.VisitID, Study: t.Report.Study, Site: t.Report.Site, Notes: t.Report.Notes, Status: string(Completed),
		CapturedAt: t.Report.CapturedAt, ReceivedAt: t.ReceivedAt, SHA256: t.SHA256, Sequence: t.Sequence, Options: t.Layout,
	}
	for i, img := range t.Report.Images {
		w, made := works[i], works[i].result
		placeholder := w.placeholder
		if placeholder != "" {
			placeholder = sentence(t.Layout.Language, w.problems[0].Code, placeholder) // it is the only one
		}
		title, name := img.ImageID, img.Name
		if name != "" && title == DerivedImageID(img.SHA256) {
			title, name = name, "" // the digest is there anyway
		}
		d.Images = append(d.Images, pdf.Image{
			ID: title, Name: name, SHA256: img.SHA256, Bytes: img.Bytes,
			SourceWidth: made.SourceWidth, SourceHeight: made.SourceHeight, CapturedAt: made.CapturedAt,
			Width: made.Width, Height: made.Height, Key: made.Full.SHA256,
			Damaged: sentence(t.Layout.Language, picture.CodeDamaged, w.damage), Notes: w.notes(t.Layout.Language), Problem: placeholder,
			Open: func() (io.ReadCloser, error) {
				return blob.OpenVerified(ctx, t.Blobs, blob.Key(made.Full.SHA256), verifiedFor)
			},
		})
	}
	return d
}
