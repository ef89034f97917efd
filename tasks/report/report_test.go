package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"casepress/tasks/report"
	"casepress/tasks/report/font"
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

func shown(jpg []byte, id string, w, h int) report.Image {
	return report.Image{
		ID: id, Name: id + ".jpg", SHA256: strings.Repeat("ab", 32), Bytes: 3_970_480, SourceWidth: 4032, SourceHeight: 3024,
		Width: w, Height: h, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(jpg)), nil },
	}
}

func document(images ...report.Image) report.Document {
	return report.Document{
		ID: "0192f3a1-7c55-7b1e-9a53-6f2d8c1e4b77", PatientID: "P001", VisitID: "V3", CapturedAt: "2026-11-21T20:04:11+08:00",
		ReceivedAt: time.Date(2026, 11, 21, 20, 4, 15, 123456000, time.FixedZone("", 8*3600)),
		SHA256:     strings.Repeat("0123456789abcdef", 4), Sequence: 42, Images: images,
	}
}

func render(t testing.TB, d report.Document) ([]byte, report.Info) {
	t.Helper()
	var buf bytes.Buffer
	info, err := report.Render(&buf, d)
	require.NoError(t, err)
	return buf.Bytes(), info
}

// tool runs a PDF tool on a document, and skips the test where it is not installed.
func tool(t testing.TB, pdf []byte, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(name + " is not installed")
	}
	path := filepath.Join(t.TempDir(), "report.pdf")
	require.NoError(t, os.WriteFile(path, pdf, 0o600))
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

func TestRenderSaysEverything(t *testing.T) {
	bad := report.Image{ID: "IMG3", Name: "kaputt.jpg", SHA256: strings.Repeat("cd", 32), Bytes: 999, Problem: "The picture is damaged."}
	d := document(shown(photo(t, 40, 30, color.White), "IMG1", 40, 30), shown(photo(t, 30, 40, color.Black), "IMG2", 30, 40), bad)
	d.Notes = "体温 36.8℃。"
	pdf, info := render(t, d)
	require.Equal(t, report.Info{Pages: 4}, info)
	text := words(tool(t, pdf, "pdftotext", "-layout", "FILE", "-"))
	for _, want := range []string{
		"Case report", "Patient P001, visit V3", "2026-11-21T20:04:11+08:00", "2026-11-21 12:04:15.123 UTC", "42", d.SHA256, d.ID,
		"3 images, 1 not shown", "Image 1 of 3", "Image 2 of 3", "Image 3 of 3", "IMG2.jpg", "4032 × 3024 px", "3.97 MB",
		"page 1 of 4", "page 4 of 4", "This image cannot be shown", "The picture is damaged.", strings.Repeat("cd", 32), "999 bytes", "体温 36.8℃。",
	} {
		require.Contains(t, text, words(want))
	}
	require.Equal(t, 4, strings.Count(text, words("Report "+d.ID)))
}

func TestRenderIsAcceptedByOthers(t *testing.T) {
	pdf, _ := render(t, document(shown(photo(t, 40, 30, color.White), "IMG1", 40, 30)))
	require.Contains(t, tool(t, pdf, "qpdf", "--check", "FILE"), "No syntax or stream encoding errors")
}

func TestRenderEmbedsPicturesUntouched(t *testing.T) {
	jpg := photo(t, 40, 30, color.NRGBA{200, 40, 10, 255})
	pdf, info := render(t, document(shown(jpg, "IMG1", 40, 30), shown(jpg, "IMG2", 40, 30)))
	require.Equal(t, 3, info.Pages)
	require.Equal(t, 1, bytes.Count(pdf, jpg), "one copy for two uses")
}

func TestRenderNotesComeBack(t *testing.T) {
	for _, c := range []struct{ name, notes string }{
		{"chinese", "患者喆堃旻赟翀玥珺祎犇，女，34岁。主诉：右前臂皮疹三天，伴轻度瘙痒（VAS 3/10），无发热。“边界清楚”，压之褪色……建议复诊。"},
		{"laboratory", "WBC 6.2×10⁹/L, eGFR 92 mL/min/1.73 m², HbA₁c ≥ 5.4 %, CO₂, x⁻¹, µg, ±2 °C"},
		{"western", "Größe: naïve façade, señor, œuvre; αβγ Ωμ; привет"},
		{"beyond the basic plane", "𬭎𬘓 and 𬭎 again"},
		{"brackets and backslashes", `((\(a\)\\ [b] {c} <d> %e \r\n )`},
		{"many paragraphs", "one\n\n  two\r\nthree\rfour\u2028five"},
		{"long", strings.Repeat("患者喆堃旻赟，体温36.8℃，WBC 6.2×10⁹/L。", 150)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := document()
			d.Notes = c.notes
			pdf, info := render(t, d)
			require.Empty(t, info.Problems)
			require.Equal(t, words(c.notes), notesOf(t, pdf))
		})
	}
}

// notesOf returns the notes as a reader of a document without images copies them.
func notesOf(t *testing.T, pdf []byte) string {
	t.Helper()
	var notes strings.Builder
	for _, page := range strings.Split(tool(t, pdf, "pdftotext", "-layout", "FILE", "-"), "\f") {
		page, _, _ = strings.Cut(page, "Report 0192f3a1-7c55-7b1e-9a53-6f2d8c1e4b77")
		if _, after, ok := strings.Cut(page, "Notes\n"); ok {
			page = after
		}
		notes.WriteString(page)
	}
	return words(notes.String())
}

// TestRenderEveryCharacterOfTheTypefaceComesBack holds all 30,000 characters
// against what a reader copies.
func TestRenderEveryCharacterOfTheTypefaceComesBack(t *testing.T) {
	const perDocument = 8000
	var all []rune
	for r := rune('!'); r <= unicode.MaxRune; r++ {
		if font.NotoSansSC().Has(r) && !unicode.In(r, unicode.C, unicode.Z, unicode.M) {
			all = append(all, r)
		}
	}
	for part := range slices.Chunk(all, perDocument) {
		t.Run(fmt.Sprintf("U+%04X", part[0]), func(t *testing.T) {
			t.Parallel()
			d := document()
			d.Notes = string(part)
			pdf, info := render(t, d)
			require.Empty(t, info.Problems)
			require.Equal(t, d.Notes, notesOf(t, pdf))
		})
	}
}

func TestRenderShowsTheCodePointOfWhatItCannotShow(t *testing.T) {
	d := document()
	d.Notes = "ok 😀👍 a\u202eb\u200dc\x07d\ufe0f שלום \ue000 \xff end 😀"
	d.PatientID = "P\x00"
	pdf, info := render(t, d)
	require.Equal(t, []report.Problem{{Code: report.CodeCharacters, Detail: "Some characters cannot be shown by the report's typeface and are printed as their code points: " +
		"U+1F600, U+1F44D, U+202E, U+200D, U+0007, U+FE0F, U+05E9, U+05DC, U+05D5, U+05DD, U+E000, U+FFFD and 1 more."}}, info.Problems)
	text := words(tool(t, pdf, "pdftotext", "-layout", "FILE", "-"))
	require.Contains(t, text, words("ok [U+1F600][U+1F44D] a[U+202E]b[U+200D]c[U+0007]d[U+FE0F] [U+05E9][U+05DC][U+05D5][U+05DD] [U+E000] [U+FFFD] end [U+1F600]"))
	require.Contains(t, text, words("Patient P[U+0000]"))
}

func TestRenderIsTheSameEveryTime(t *testing.T) {
	var images []report.Image
	for i := range 8 { // of one width, the order of which gofpdf leaves to a map
		jpg := photo(t, 40, 20+i%3, color.Gray{uint8(20 * i)})
		images = append(images, shown(jpg, fmt.Sprint("IMG", i), 40, 20+i%3))
	}
	d := document(images...)
	d.Notes = "患者 abc 𬭎 10⁹ 😀"
	first, _ := render(t, d)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, procs := range []int{1, 7} {
		runtime.GOMAXPROCS(procs)
		var group errgroup.Group
		for range 2 {
			group.Go(func() error {
				var buf bytes.Buffer
				if _, err := report.Render(&buf, d); err != nil {
					return err
				}
				if !bytes.Equal(first, buf.Bytes()) {
					return errors.New("another PDF")
				}
				return nil
			})
		}
		require.NoError(t, group.Wait())
	}
}

func TestRenderErrors(t *testing.T) {
	jpg := photo(t, 40, 30, color.White)
	reader := func(r io.Reader) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
	}
	for _, c := range []struct {
		name   string
		change func(*report.Image)
		is     error
	}{
		{"cannot be opened", func(i *report.Image) { i.Open = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe } }, io.ErrClosedPipe},
		{"cannot be read", func(i *report.Image) { i.Open = reader(io.MultiReader(bytes.NewReader(jpg[:50]), errReader{})) }, io.ErrClosedPipe},
		{"no jpeg", func(i *report.Image) { i.Open = reader(strings.NewReader("text")) }, nil},
		{"another size", func(i *report.Image) { i.Width = 41 }, nil},
		{"neither picture nor problem", func(i *report.Image) { i.Open = nil }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := shown(jpg, "IMG1", 40, 30)
			c.change(&img)
			var buf bytes.Buffer
			_, err := report.Render(&buf, document(img))
			require.ErrorContains(t, err, "image 1")
			require.Empty(t, buf.Bytes())
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
		})
	}
	t.Run("cannot be written", func(t *testing.T) {
		r, w := io.Pipe()
		require.NoError(t, r.Close())
		_, err := report.Render(w, document())
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestRenderOddSizesAndLengths(t *testing.T) {
	for _, c := range []struct{ w, h int }{{1, 1}, {1600, 1}, {1, 1600}, {1600, 400}, {300, 300}} {
		img := shown(photo(t, c.w, c.h, color.White), strings.Repeat("W", 64), c.w, c.h)
		img.Name = strings.Repeat("很长的名字", 60) + ".jpg"
		d := document(img)
		d.VisitID, d.PatientID, d.CapturedAt = strings.Repeat("M", 64), strings.Repeat("W", 64), strings.Repeat("9", 200)
		_, info := render(t, d)
		require.Equal(t, 2, info.Pages)
	}
	var many []report.Image
	for i := range 50 {
		many = append(many, report.Image{ID: fmt.Sprint(i), Problem: "The picture is damaged.", SHA256: "x"})
	}
	_, info := render(t, document(many...))
	require.Greater(t, info.Pages, 52)
	_, info = render(t, report.Document{})
	require.Equal(t, 1, info.Pages)
}
