package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk"
	"casepress/dispatcher"
	"casepress/store"
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

func fillFolder(b *testing.B, data string, reports int) {
	brk, err := broker.Open(filepath.Join(data, "topics"), broker.Options{FS: disk.OS})
	require.NoError(b, err)
	rows, err := store.Open(b.Context(), filepath.Join(data, "casepress.db"))
	require.NoError(b, err)
	var finished atomic.Int64
	all := make(chan struct{})
	done := func(_ context.Context, row store.Row, _ func(int, int)) (tasks.Result, error) {
		output := tasks.Output{SHA256: row.Images[0].SHA256, Bytes: 1000}
		image := tasks.ImageResult{Full: output, Thumb: output, Width: 1600, Height: 1200}
		if finished.Add(1) == int64(reports) {
			close(all)
		}
		return tasks.Result{Images: []tasks.ImageResult{image, image}, Report: tasks.Document{Output: output, Pages: 3}}, nil
	}
	work, err := dispatcher.Start(b.Context(), dispatcher.Config{Workers: 256}, brk, rows, done)
	require.NoError(b, err)
	var clients sync.WaitGroup
	for c := range 256 {
		clients.Go(func() {
			for i := c; i < reports; i += 256 {
				digest := fmt.Sprintf("%064x", i)
				image := tasks.Image{ImageID: "A", SHA256: digest, Bytes: 3_000_000, MediaType: "image/jpeg", Name: "IMG_0001.jpg"}
				other := image
				other.ImageID = "B"
				_, err := work.Submit(b.Context(), tasks.CaseReport{PatientID: fmt.Sprintf("P%05d", i%5000), VisitID: "V01", Notes: "发热三天", Images: []tasks.Image{image, other}})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	if reports > 0 {
		<-all
	}
	require.NoError(b, work.Close(b.Context()))
	require.NoError(b, rows.Close())
	require.NoError(b, brk.Close())
}
