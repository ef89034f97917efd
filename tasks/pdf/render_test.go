package pdf_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"casepress/tasks/pdf"
)

func TestRenderSaysEverything(t *testing.T) {
	bad := pdf.Image{ID: "IMG3", Name: "kaputt.jpg", SHA256: strings.Repeat("cd", 32), Bytes: 999, Problem: "Nobody can decode it."}
	hurt := shown(photo(t, 30, 40, color.Black), "IMG2", 30, 40)
	hurt.Damaged, hurt.CapturedAt = "It ends half way.", "2026-11-20T09:41:07"
	d := document(shown(photo(t, 40, 30, color.White), "IMG1", 40, 30), hurt, bad)
	d.Notes, d.Study, d.Site, d.Status = "体温 36.8℃。", "S-7", "Site-101", "completed"
	for _, c := range []struct {
		options pdf.Options
		pages   int
		want    []string
	}{
		{pdf.Options{}, 4, []string{
			"Case report", "Patient P001 · Visit V3 · Study S-7 · Site Site-101", "Completed", "3 images, 1 not shown, 1 damaged", "Image 1 of 3", "Image 3 of 3",
			"page 1 of 4", "page 4 of 4", "This image cannot be shown", "Shown at", "40 × 30 px",
		}},
		{pdf.Options{PerPage: 2, Paper: pdf.Letter}, 3, []string{"page 3 of 3", "Image 3", "This image cannot be shown"}},
		{pdf.Options{PerPage: 4, Language: pdf.Chinese}, 2, []string{
			"病例报告", "患者 P001 · 访视 V3 · 研究 S-7 · 研究中心 Site-101", "已完成", "3 幅，1 幅未显示，1 幅有损坏", "图像 3", "第 2 页，共 2 页", "此图像无法显示",
		}},
	} {
		d.Options = c.options
		file, info := render(t, d)
		require.Equal(t, c.pages, info.Pages)
		require.Empty(t, info.Problems)
		got := read(t, file)
		require.Len(t, got.Pages, c.pages)
		require.Len(t, got.Pictures, 2)
		all := strings.Join(got.Pages, "")
		for _, want := range append(c.want, "P001", "V3", "2026-11-21 20:04:11 +08:00", "2026-11-21 12:04:15.123 UTC", "42", d.SHA256, d.ID,
			"IMG1", "IMG2.jpg", "kaputt.jpg", "4032 × 3024", "3.97 MB", "999 B", "2026-11-20 09:41:07", "Nobody can decode it.", "It ends half way.",
			strings.Repeat("ab", 32), strings.Repeat("cd", 32), "体温 36.8℃。") {
			require.Contains(t, words(all), words(want))
		}
		for _, page := range got.Pages {
			require.Contains(t, page, d.ID)
			require.Contains(t, page, "P001")
		}
	}
}

// TestRenderNamesStudyAndSite reads the cover and the head of the next page as another program copies
// them. What is empty has no label.
func TestRenderNamesStudyAndSite(t *testing.T) {
	for _, c := range []struct {
		language    pdf.Language
		study, site string
		cover, head string
	}{
		{pdf.English, "", "", "Patient Visit P001 V3 Captured", "Patient P001 · Visit V3 Case report"},
		{pdf.English, "CP-2026-017", "", "Patient Visit P001 V3 Study Site CP-2026-017 – Captured", "Patient P001 · Visit V3 · Study CP-2026-017 Case report"},
		{pdf.English, "", "101", "Patient Visit P001 V3 Study Site – 101 Captured", "Patient P001 · Visit V3 · Site 101 Case report"},
		{pdf.English, "CP-2026-017", "101", "Patient Visit P001 V3 Study Site CP-2026-017 101 Captured", "Patient P001 · Visit V3 · Study CP-2026-017 · Site 101 Case report"},
		{pdf.Chinese, "CP-2026-017", "101", "患者 访视 P001 V3 研究 研究中心 CP-2026-017 101 采集时间", "患者 P001 · 访视 V3 · 研究 CP-2026-017 · 研究中心 101 病例报告"},
	} {
		d := document(pdf.Image{ID: "IMG1", Problem: "x"})
		d.Study, d.Site, d.Options.Language = c.study, c.site, c.language
		file, info := render(t, d)
		require.Empty(t, info.Problems)
		pages := strings.Split(tool(t, file, "pdftotext", "-layout", "FILE", "-"), "\f")
		require.Contains(t, strings.Join(strings.Fields(pages[0]), " "), c.cover)
		require.Contains(t, strings.Join(strings.Fields(pages[1]), " "), c.head)
		whose, _, _ := strings.Cut(c.head, " Case report")
		whose, _, _ = strings.Cut(whose, " 病例报告")
		require.Contains(t, string(file), "<rdf:li xml:lang=\"x-default\">"+whose+"</rdf:li>")
	}
}

// TestRenderPrintsNotes reads the captions as another program copies them: each note begins a line, below
// the damage if there is some. One of a picture that is not shown is not printed.
func TestRenderPrintsNotes(t *testing.T) {
	noted := shown(photo(t, 40, 30, color.White), "IMG1", 40, 30)
	noted.Notes = []string{"Only a part\nis shown.", "Its colours \u202emay be off."}
	hurt := noted
	hurt.Damaged = "It ends half way."
	gone := pdf.Image{ID: "IMG3", Problem: "Nobody can decode it.", Notes: []string{"Nothing to be said."}}
	for _, perPage := range []int{1, 2, 4} {
		d := document(noted, hurt, gone)
		d.Options.PerPage = perPage
		file, info := render(t, d)
		require.Len(t, info.Problems, 1, "the character that cannot be shown")
		lines := map[string]int{}
		for line := range strings.Lines(tool(t, file, "pdftotext", "-layout", "FILE", "-")) {
			for _, column := range regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1) {
				lines[column]++
			}
		}
		require.Equal(t, 4, lines["Only a part is shown."], "of two images, in the table and at the picture: %v", lines)
		require.Equal(t, 4, lines["Its colours [U+202E]may be off."], "%v", lines)
		require.Equal(t, []int{1, 1}, []int{lines["3 images, 1 not shown, 1 damaged,"], lines["1 with a remark"]}, "a line is broken there: %v", lines)
		require.Equal(t, 2, lines["Damaged · It ends half way."], "in the table and at the picture: %v", lines)
		require.Zero(t, lines["Nothing to be said."])
		require.Equal(t, []string{"Only a part\nis shown.", "Its colours \u202emay be off."}, d.Images[0].Notes, "the caller's stay as they are")
	}
}

func TestRenderIsAcceptedByOthers(t *testing.T) {
	d := document(shown(photo(t, 40, 30, color.White), "IMG1", 40, 30), shown(grey(t, 20, 10), "IMG2", 20, 10))
	d.Notes = "患者 č ő 김 ไทย 😀 x\u0302 𬭎"
	file, _ := render(t, d)
	t.Run("qpdf", func(t *testing.T) {
		require.Contains(t, tool(t, file, "qpdf", "--check", "FILE"), "No syntax or stream encoding errors")
	})
	t.Run("mutool", func(t *testing.T) { require.Empty(t, tool(t, file, "mutool", "clean", "FILE", "FILE.clean")) })
	t.Run("pdfinfo", func(t *testing.T) {
		meta := tool(t, file, "pdfinfo", "-isodates", "FILE")
		for _, want := range []string{"Case report " + d.ID, "Patient P001 · Visit V3", "casepress", "2026-11-21T12:04:15Z", "595.28 x 841.89"} {
			require.Contains(t, meta, want)
		}
	})
	t.Run("pdftotext", func(t *testing.T) {
		require.Contains(t, words(tool(t, file, "pdftotext", "-raw", "FILE", "-")), words(d.Notes))
	})
	t.Run("verapdf", func(t *testing.T) {
		if os.Getenv("CASEPRESS_VERAPDF") == "" {
			t.Skip("CASEPRESS_VERAPDF is not set: it takes seconds to start")
		}
		require.Contains(t, tool(t, file, "verapdf", "-f", "2b", "--format", "text", "FILE"), "PASS")
	})
}

func TestRenderTitlesBeyondTheBasicPlane(t *testing.T) {
	d := document(pdf.Image{ID: "𬭎😀", Problem: "x"})
	d.Title, d.PatientID = "报告𬭎", "喆\x00"
	file, info := render(t, d)
	require.Len(t, info.Problems, 1)
	require.Contains(t, read(t, file).Pages[0], "喆[U+0000]")
	require.Contains(t, string(file), "<rdf:li xml:lang=\"x-default\">报告𬭎 "+d.ID)
	require.Contains(t, string(file), "\xd8\x72\xdf\x4e\xd8\x3d\xde\x00", "the bookmark, as UTF-16")
}

func TestRenderEmbedsPicturesUntouched(t *testing.T) {
	jpg := photo(t, 40, 30, color.NRGBA{200, 40, 10, 255})
	one, two, other := shown(jpg, "IMG1", 40, 30), shown(jpg, "IMG2", 40, 30), shown(jpg, "IMG3", 40, 30)
	one.Key, two.Key = "same", "same"
	two.Open = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe } // is not called
	file, info := render(t, document(one, two, other))
	require.Equal(t, 4, info.Pages)
	got := read(t, file)
	require.Len(t, got.Pictures, 2, "one copy for two uses, another where nobody says that it is the same")
	for _, p := range got.Pictures {
		require.Equal(t, jpg, file[p.At:p.At+p.Bytes])
	}
	require.Equal(t, []int{3, 1, 1, 1}, got.Shown, "small in the table, large on their pages")
}

func grey(t testing.TB, w, h int) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = uint8(7 * i)
	}
	return encodePNG(t, img)
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, img))
	return buf.Bytes()
}

func TestRenderPNG(t *testing.T) {
	rgb := image.NewRGBA(image.Rect(0, 0, 31, 17))
	for y := range 17 {
		for x := range 31 {
			rgb.Set(x, y, color.RGBA{uint8(8 * x), uint8(15 * y), 99, 255})
		}
	}
	for _, picture := range [][]byte{encodePNG(t, rgb), grey(t, 31, 17)} {
		file, _ := render(t, document(shown(picture, "IMG1", 31, 17)))
		want, err := png.Decode(bytes.NewReader(picture))
		require.NoError(t, err)
		ppm := tool(t, file, "sh", "-c", "pdfimages -png FILE FILE.image && cat FILE.image-000.png")
		got, err := png.Decode(strings.NewReader(ppm))
		require.NoError(t, err)
		require.Equal(t, want.Bounds(), got.Bounds())
		for y := range 17 {
			for x := range 31 {
				r, g, b, _ := want.At(x, y).RGBA()
				r2, g2, b2, _ := got.At(x, y).RGBA()
				require.Equal(t, []uint32{r, g, b}, []uint32{r2, g2, b2})
			}
		}
	}
}

func TestRenderIsTheSameEveryTime(t *testing.T) {
	var images []pdf.Image
	for i := range 8 { // of one width, the order of which gofpdf would leave to a map
		jpg := photo(t, 40, 20+i%3, color.Gray{uint8(20 * i)})
		images = append(images, shown(jpg, fmt.Sprint("IMG", i), 40, 20+i%3))
	}
	d := document(images...)
	d.Notes = "患者 abc 𬭎 10⁹ 😀 č ไทย"
	first, _ := render(t, d)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		var group errgroup.Group
		group.SetLimit(4)
		for range 25 {
			group.Go(func() error {
				var buf bytes.Buffer
				if _, err := pdf.Render(&buf, d); err != nil {
					return err
				}
				if !bytes.Equal(first, buf.Bytes()) {
					return fmt.Errorf("another PDF")
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
	file := func(b []byte) func() (io.ReadCloser, error) { return reader(bytes.NewReader(b)) }
	flipped := grey(t, 40, 30)
	flipped[len(flipped)-30] ^= 1
	sof := bytes.Index(jpg, []byte{0xff, 0xc0})
	changed := func(at int, v byte) []byte {
		b := bytes.Clone(jpg)
		b[sof+at] = v
		return b
	}
	for _, c := range []struct {
		name   string
		change func(*pdf.Image)
		is     error
	}{
		{"cannot be opened", func(i *pdf.Image) { i.Open = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe } }, io.ErrClosedPipe},
		{"cannot be read", func(i *pdf.Image) { i.Open = reader(io.MultiReader(bytes.NewReader(jpg[:50]), errReader{})) }, io.ErrClosedPipe},
		{"cannot be read to its end", func(i *pdf.Image) {
			i.Open = reader(io.MultiReader(bytes.NewReader(jpg[:len(jpg)-5]), errReader{}))
		}, io.ErrClosedPipe},
		{"cannot be closed", func(i *pdf.Image) {
			i.Open = func() (io.ReadCloser, error) { return badCloser{bytes.NewReader(jpg)}, nil }
		}, io.ErrNoProgress},
		{"neither jpeg nor png", func(i *pdf.Image) { i.Open = file([]byte("text")) }, nil},
		{"empty", func(i *pdf.Image) { i.Open = file(nil) }, nil},
		{"cut before its size", func(i *pdf.Image) { i.Open = file(jpg[:40]) }, nil},
		{"broken segments", func(i *pdf.Image) { i.Open = file([]byte("\xff\xd8\xff\xe0\x00\x01xxxxxx")) }, nil},
		{"another size", func(i *pdf.Image) { i.Width = 41 }, nil},
		{"12 bits", func(i *pdf.Image) { i.Open = file(changed(4, 12)) }, nil},
		{"cmyk", func(i *pdf.Image) { i.Open = file(changed(9, 4)) }, nil},
		{"lossless", func(i *pdf.Image) { i.Open = file(changed(1, 0xc3)) }, nil},
		{"png with transparency", func(i *pdf.Image) { i.Open = file(encodePNG(t, image.NewNRGBA(image.Rect(0, 0, 40, 30)))) }, nil},
		{"broken png", func(i *pdf.Image) { i.Open = file(flipped) }, nil},
		{"cut png", func(i *pdf.Image) { i.Open = file(flipped[:60]) }, nil},
		{"neither picture nor problem", func(i *pdf.Image) { i.Open = nil }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := shown(jpg, "IMG1", 40, 30)
			c.change(&img)
			_, err := pdf.Render(io.Discard, document(img))
			require.ErrorContains(t, err, "render pdf: image 1: ")
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
		})
	}
	t.Run("cannot be written", func(t *testing.T) {
		r, w := io.Pipe()
		require.NoError(t, r.Close())
		_, err := pdf.Render(w, document(shown(jpg, "IMG1", 40, 30)))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
	for _, o := range []pdf.Options{{PerPage: 3}, {Paper: "A5"}, {Language: "de"}} {
		_, err := pdf.Render(io.Discard, pdf.Document{Options: o})
		require.ErrorContains(t, err, "render pdf: ")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

type badCloser struct{ io.Reader }

func (badCloser) Close() error { return io.ErrNoProgress }

func TestRenderOddSizesAndLengths(t *testing.T) {
	for _, perPage := range []int{1, 2, 4} {
		for _, c := range []struct{ w, h int }{{1, 1}, {1600, 1}, {1, 1600}, {1600, 400}, {300, 300}} {
			img := shown(photo(t, c.w, c.h, color.White), strings.Repeat("W", 64), c.w, c.h)
			img.Name = strings.Repeat("很长的名字", 51) + ".jpg"
			img.Damaged = strings.Repeat("damaged ", 20)
			d := document(img)
			d.VisitID, d.PatientID, d.CapturedAt = strings.Repeat("M", 64), strings.Repeat("W", 64), strings.Repeat("9", 200)
			d.Study, d.Site = strings.Repeat("S", 64), strings.Repeat("Q", 64)
			d.Options.PerPage = perPage
			file, info := render(t, d)
			require.LessOrEqual(t, info.Pages, 4)
			pages := strings.Join(read(t, file).Pages, "")
			require.Equal(t, 2, strings.Count(pages, img.Name), "whole in the table and at the image")
			require.Equal(t, 2, strings.Count(pages, img.ID)-1, "and the patient's is as long")
			require.Contains(t, pages, d.Study, "whole on the cover")
			require.Contains(t, pages, d.Site)
		}
	}
	var many []pdf.Image
	for i := range 50 {
		many = append(many, pdf.Image{ID: fmt.Sprint(i), Problem: "The picture is damaged.", SHA256: "x"})
	}
	_, info := render(t, document(many...))
	require.Greater(t, info.Pages, 52)
	file, info := render(t, pdf.Document{})
	require.Equal(t, 1, info.Pages)
	require.Contains(t, string(file), "1970-01-01T00:00:00Z", "no clock is asked")
}

// FuzzRender requires that any text makes a document, which Render reads back, and
// that this is the same every time.
func FuzzRender(f *testing.F) {
	f.Add("P1", "V\x00", "患者，“好”\r\n😀 e\u0301", "a.jpg", uint8(0))
	f.Add("\xff", "\ufffe<&>()\\\r", strings.Repeat("长", 2000), strings.Repeat("W", 300), uint8(5))
	jpg := photo(f, 1, 1, color.White)
	f.Fuzz(func(t *testing.T, patient, visit, notes, name string, how uint8) {
		noted := shown(jpg, name, 1, 1)
		noted.Notes = []string{notes, visit}
		d := pdf.Document{ID: visit, PatientID: patient, VisitID: visit, Study: name, Site: patient, Notes: notes, CapturedAt: name, Status: name, Images: []pdf.Image{
			{ID: name, Name: notes, CapturedAt: visit, Problem: "x"}, {ID: patient, Name: name, Problem: notes + "x"}, noted,
		}}
		d.Options.PerPage = []int{1, 2, 4}[how%3]
		if how&8 != 0 {
			d.Options.Language = pdf.Chinese
		}
		first, _ := render(t, d)
		second, _ := render(t, d)
		require.True(t, bytes.Equal(first, second))
	})
}

// TestRenderHoldsNoPictures makes a document of 200 MB and counts what was
// allocated on the way.
func TestRenderHoldsNoPictures(t *testing.T) {
	jpg := photo(t, 1600, 1200, color.White)
	var images []pdf.Image
	for i := range 100 {
		img := shown(nil, fmt.Sprint("IMG", i), 1600, 1200)
		img.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(jpg), io.LimitReader(zeros{}, 2<<20))), nil
		}
		images = append(images, img)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	info, err := pdf.Render(io.Discard, document(images...))
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.Greater(t, info.Bytes, int64(200<<20))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20))
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
