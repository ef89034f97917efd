package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // for the sizes of ready pictures
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"casepress/bench/pictures/stopwatch"
	"casepress/blob"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
	"casepress/tasks"
	"casepress/tasks/pdf"
	"casepress/tasks/picture"
)

// notes are what a report carries: characters beyond GB2312, digits, Latin and superscripts among them.
var notes = strings.Repeat("患者喆堃旻赟，体温36.8℃，WBC 6.2×10⁹/L。主诉：右前臂皮疹三天，伴轻度瘙痒。", 10)

// received dates every report, so that the same pictures make the same bytes.
var received = time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)

// spans are what a case report cost, in milliseconds: bringing in the originals, and the rest.
type spans struct{ IntakeWall, IntakeCPU, Wall, CPU float64 }

// caseReport N DIR PDF IN...: photos in, the PDF on disk, N at a time, as the service's worker does it.
func caseReport(ctx context.Context, args []string) (any, error) {
	first, inputs, n, err := split(args, 3)
	if err != nil {
		return nil, errors.New("case N DIR PDF IN…")
	}
	blobs, err := blobdisk.Open(first[1], disk.OS, blobdisk.Options{})
	if err != nil {
		return nil, err
	}
	task := tasks.ImageProcessingTask{
		Processor: &tasks.Processor{Blobs: blobs, Budget: picture.NewBudget(picture.DefaultBudget), Parallel: n},
		Work:      tasks.Work{Submission: tasks.Submission{Kind: tasks.KindCaseReport(), SHA256: strings.Repeat("0", 64), ReceivedAt: received}},
		Report:    tasks.CaseReport{ID: "measured", PatientID: "P-1", Notes: notes},
	}
	cpu, begun := stopwatch.ProcessorTime(), time.Now()
	if task.Report.Images, err = intake(ctx, blobs, inputs); err != nil {
		return nil, errors.Join(err, blobs.Close())
	}
	intakeCPU, intakeWall := stopwatch.ProcessorTime()-cpu, time.Since(begun)
	made, err := task.Execute(ctx)
	res, _ := made.(tasks.CaseReportResult)
	if err == nil && len(res.Problems) > 0 {
		err = fmt.Errorf("problems: %v", res.Problems)
	}
	if err != nil {
		return nil, errors.Join(err, blobs.Close())
	}
	told := spans{
		IntakeWall: stopwatch.Milliseconds(intakeWall), IntakeCPU: stopwatch.Milliseconds(intakeCPU),
		Wall: stopwatch.Milliseconds(time.Since(begun) - intakeWall), CPU: stopwatch.Milliseconds(stopwatch.ProcessorTime() - cpu - intakeCPU),
	}
	return told, errors.Join(keep(ctx, blobs, blob.Key(res.PDF.SHA256), first[2]), blobs.Close())
}

// intake stores the originals as the service does: staged one after the other as an upload brings them, then synced side
// by side.
func intake(ctx context.Context, blobs blob.Store, inputs []string) ([]tasks.Image, error) {
	images, staged := make([]tasks.Image, len(inputs)), make([]blob.Staged, len(inputs))
	for i, in := range inputs {
		file, err := os.Open(in)
		if err != nil {
			return nil, err
		}
		staged[i], err = blobs.Stage(ctx, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		images[i] = tasks.Image{
			ImageID: fmt.Sprint("IMG", i), SHA256: string(staged[i].Key()), Bytes: staged[i].Size(),
			MediaType: "image/jpeg", Name: filepath.Base(in),
		}
	}
	var commits errgroup.Group
	commits.SetLimit(8)
	for _, s := range staged {
		commits.Go(func() error { return s.Commit(ctx) })
	}
	return images, commits.Wait()
}

// keep copies the finished PDF to where the parent looks at it.
func keep(ctx context.Context, blobs blob.Store, key blob.Key, name string) error {
	from, err := blobs.Open(ctx, key)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// pdf N PDF IN...: a report of ready pictures, N times over and once before.
func makePDF(ctx context.Context, args []string) (any, error) {
	first, inputs, n, err := split(args, 2)
	if err != nil {
		return nil, errors.New("pdf N PDF IN…")
	}
	doc := pdf.Document{ID: "measured", PatientID: "P-1", ReceivedAt: received, SHA256: strings.Repeat("0", 64), Notes: notes}
	for i, in := range inputs {
		img, err := ready(in)
		if err != nil {
			return nil, err
		}
		img.ID = fmt.Sprint("IMG", i)
		doc.Images = append(doc.Images, img)
	}
	return stopwatch.Repeat(n, func() error {
		out, err := os.Create(first[1])
		if err != nil {
			return err
		}
		_, err = pdf.Render(out, doc)
		return errors.Join(err, out.Close(), ctx.Err())
	})
}

// ready describes a compressed picture.
func ready(name string) (pdf.Image, error) {
	file, err := os.Open(name)
	if err != nil {
		return pdf.Image{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return pdf.Image{}, err
	}
	size, _, err := image.DecodeConfig(file)
	return pdf.Image{
		Name: filepath.Base(name), SHA256: strings.Repeat("0", 64), Bytes: info.Size(),
		SourceWidth: size.Width, SourceHeight: size.Height, Width: size.Width, Height: size.Height, Open: read(name),
	}, err
}
