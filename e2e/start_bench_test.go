package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"casepress/service"
	"casepress/tasks"
)

// BenchmarkStart measures from the start of the real binary to a 200 from
// /readyz, on a data folder with so many finished reports of two images.
func BenchmarkStart(b *testing.B) {
	for _, reports := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprintf("reports=%d", reports), func(b *testing.B) {
			data := b.TempDir()
			fillFolder(b, data, reports)
			program := binary(b)
			require.NotEmpty(b, program)
			for b.Loop() {
				s := start(b, data)
				for code := 0; code != http.StatusOK; {
					code, _, _ = s.get(b, "/readyz")
				}
				b.StopTimer()
				s.kill()
				b.StartTimer()
			}
		})
	}
}

// fillFolder makes a data folder with so many finished reports, whose images and PDFs are not there.
func fillFolder(b *testing.B, data string, reports int) {
	var finished atomic.Int64
	all := make(chan struct{})
	c := config(data)
	c.MaxPendingBytes = 1 << 30
	var err error
	c.Lanes, err = service.SetWorkers(service.Lanes(), map[string]int{tasks.KindCaseReport().Lane: 256})
	require.NoError(b, err)
	c.NewTask = func(w tasks.Work) (tasks.Task, error) {
		if finished.Add(1) == int64(reports) {
			close(all)
		}
		return done{w.Content.(tasks.CaseReport)}, nil
	}
	s := open(b, c)
	var clients sync.WaitGroup
	for c := range 256 {
		clients.Go(func() {
			for i := c; i < reports; i += 256 {
				image := tasks.Image{ImageID: "A", SHA256: fmt.Sprintf("%064x", i), Bytes: 3_000_000, MediaType: "image/jpeg", Name: "IMG_0001.jpg"}
				other := image
				other.ImageID = "B"
				report := tasks.CaseReport{
					ID: uuid.NewString(), PatientID: fmt.Sprintf("P%05d", i%5000), VisitID: "V01", Notes: "发热三天", Images: []tasks.Image{image, other},
				}
				submission := tasks.NewSubmission(tasks.KindCaseReport(), report)
				submission.Fresh = true
				if _, err := s.Work.Accept(b.Context(), submission); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	if reports > 0 && !b.Failed() {
		<-all
	}
	require.NoError(b, s.Close(b.Context()))
}

// done is a task that is done at once.
type done struct{ report tasks.CaseReport }

func (d done) Execute(context.Context) (tasks.Result, error) {
	output := tasks.Output{SHA256: d.report.Images[0].SHA256, Bytes: 1000}
	image := tasks.ImageResult{Full: output, Thumb: output, Width: 1600, Height: 1200}
	return tasks.CaseReportResult{
		Images: []tasks.ImageResult{image, image}, PDF: tasks.PDF{Output: output, Pages: 3}, Problems: []tasks.Problem{},
	}, nil
}
