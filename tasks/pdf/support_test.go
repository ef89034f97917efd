package pdf_test

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/tasks/pdf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// photo returns a small JPEG of one colour.
func photo(t testing.TB, w, h int, c color.Color) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	var buf bytes.Buffer
	require.NoError(t, jpeg.Encode(&buf, img, nil))
	return buf.Bytes()
}

func shown(file []byte, id string, w, h int) pdf.Image {
	return pdf.Image{
		ID: id, Name: id + ".jpg", SHA256: strings.Repeat("ab", 32), Bytes: 3_970_480, SourceWidth: 4032, SourceHeight: 3024,
		Width: w, Height: h, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil },
	}
}

func document(images ...pdf.Image) pdf.Document {
	return pdf.Document{
		ID: "0192f3a1-7c55-7b1e-9a53-6f2d8c1e4b77", PatientID: "P001", VisitID: "V3", CapturedAt: "2026-11-21T20:04:11+08:00",
		ReceivedAt: time.Date(2026, 11, 21, 20, 4, 15, 123456000, time.FixedZone("", 8*3600)),
		SHA256:     strings.Repeat("0123456789abcdef", 4), Sequence: 42, Images: images,
	}
}

func render(t testing.TB, d pdf.Document) ([]byte, pdf.Info) {
	t.Helper()
	var buf bytes.Buffer
	info, err := pdf.Render(&buf, d)
	require.NoError(t, err)
	require.EqualValues(t, buf.Len(), info.Bytes)
	return buf.Bytes(), info
}

// read returns what a PDF shows, as this package reads it.
func read(t testing.TB, file []byte) pdf.Contents {
	t.Helper()
	c, err := pdf.Read(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return c
}

// tool runs a PDF tool on a PDF. Where the tool is not installed it skips the test, or, if the
// environment variable CI is set, fails it.
func tool(t testing.TB, file []byte, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed, which CI must have", name)
		}
		t.Skip(name + " is not installed")
	}
	path := filepath.Join(t.TempDir(), "file.pdf")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "FILE", path)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// words is text without blanks, which a PDF does not keep.
func words(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}
