package tasks

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/pdf"
)

// TestChineseSentences: there is one for each code of a problem of an image, and the typefaces of the PDF have all their
// characters.
func TestChineseSentences(t *testing.T) {
	var sources []string
	for _, pattern := range []string{"*.go", "picture/*.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		sources = append(sources, found...)
	}
	var codes []string
	for _, name := range sources {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^(?:const|\t)\s*Code\w+ += "(image-[a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
			codes = append(codes, m[1])
		}
	}
	require.Greater(t, len(codes), 10)
	slices.Sort(codes)
	doc := pdf.Document{ID: "R1", Options: pdf.Options{Language: pdf.Chinese}}
	var known []string
	for code, text := range chineseSentences {
		known = append(known, code)
		doc.Notes += text + "\n"
		require.Regexp(t, `^\p{Han}.*。$`, text)
	}
	slices.Sort(known)
	require.Equal(t, codes, known)
	info, err := pdf.Render(io.Discard, doc)
	require.NoError(t, err)
	require.Empty(t, info.Problems, "a character that no typeface has")
}

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
