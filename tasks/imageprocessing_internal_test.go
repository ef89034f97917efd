package tasks

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestImageContainsPanics(t *testing.T) {
	var log bytes.Buffer
	job := ImageProcessingTask{ // without a blob store
		Processor: &Processor{Logger: slog.New(slog.NewTextHandler(&log, nil))},
		Report:    CaseReport{ID: "R1", PatientID: "P001", Images: []Image{{}, {SHA256: strings.Repeat("0", 64)}}},
	}
	var w imageWork
	require.NoError(t, job.image(t.Context(), 1, &w, newFinishedPictures(job.Processor)))
	require.Len(t, w.problems, 1)
	require.Equal(t, 2, w.problems[0].Image)
	require.Equal(t, CodeInternal, w.problems[0].Code)
	require.NotEmpty(t, w.placeholder)
	require.Contains(t, log.String(), "report=R1 image=2")
	require.NotContains(t, log.String(), "P001")
}
