package tasks_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/blob"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
	"casepress/tasks"
	"casepress/tasks/pdf"
	"casepress/tasks/picture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openBlobs(t testing.TB) (blob.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := blobdisk.Open(dir, disk.OS, blobdisk.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, dir
}

func photo(t testing.TB, w, h int, c color.Color) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	var buf bytes.Buffer
	require.NoError(t, jpeg.Encode(&buf, img, nil))
	return buf.Bytes()
}

// task returns a task whose images are stored already.
func task(t testing.TB, blobs blob.Store, images ...[]byte) tasks.ImageProcessingTask {
	t.Helper()
	r := tasks.CaseReport{ID: "R1", PatientID: "P001", VisitID: "V1", Notes: "体温 36.8℃"}
	for i, b := range images {
		key, n, err := blobs.Put(t.Context(), bytes.NewReader(b))
		require.NoError(t, err)
		r.Images = append(r.Images, tasks.Image{ImageID: fmt.Sprint("IMG", i+1), SHA256: string(key), Bytes: n})
	}
	sub := tasks.NewSubmission(tasks.KindCaseReport(), r)
	sub.ReceivedAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return tasks.ImageProcessingTask{
		Processor: &tasks.Processor{Blobs: blobs, Budget: picture.NewBudget(picture.DefaultBudget)},
		Work:      tasks.Work{Submission: sub, Sequence: 7, Attempt: 1},
		Report:    r,
	}
}

// execute does the work.
func execute(ctx context.Context, job tasks.Task) (tasks.CaseReportResult, error) {
	res, err := job.Execute(ctx)
	if err != nil {
		return tasks.CaseReportResult{}, err
	}
	return res.(tasks.CaseReportResult), nil
}

func content(t testing.TB, blobs blob.Store, o tasks.Output) []byte {
	t.Helper()
	b, err := blobs.Open(t.Context(), blob.Key(o.SHA256))
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.Equal(t, o.Bytes, b.Size())
	data := make([]byte, b.Size())
	_, err = b.ReadAt(data, 0)
	require.NoError(t, err)
	return data
}

func TestExecute(t *testing.T) {
	blobs, _ := openBlobs(t)
	job := task(t, blobs, photo(t, 300, 150, color.White), photo(t, 30, 60, color.Black))
	job.Pictures = picture.Options{MaxSide: 200, ThumbSide: 50}
	var steps [][2]int
	job.Progress = func(done, total int) { steps = append(steps, [2]int{done, total}) }
	res, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, [][2]int{{1, 3}, {2, 3}, {3, 3}}, steps)
	require.Equal(t, []tasks.Problem{}, res.Problems)
	require.Equal(t, 3, res.PDF.Pages)
	require.Equal(t, [2]int{200, 100}, [2]int{res.Images[0].Width, res.Images[0].Height})
	require.Equal(t, [2]int{30, 60}, [2]int{res.Images[1].Width, res.Images[1].Height})
	made := content(t, blobs, res.PDF.Output)
	require.True(t, bytes.HasPrefix(made, []byte("%PDF-")))
	for _, img := range res.Images {
		require.Contains(t, string(made), string(content(t, blobs, img.Full)), "embedded untouched")
		thumb, err := jpeg.DecodeConfig(bytes.NewReader(content(t, blobs, img.Thumb)))
		require.NoError(t, err)
		require.LessOrEqual(t, max(thumb.Width, thumb.Height), 50)
	}
}

func TestExecuteAgainMakesTheSame(t *testing.T) {
	blobs, dir := openBlobs(t)
	job := task(t, blobs, photo(t, 40, 30, color.White), []byte("no photo"), photo(t, 40, 30, color.Black))
	first, err := execute(t.Context(), job)
	require.NoError(t, err)
	files := countFiles(t, dir)
	job.Parallel = 1
	second, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Equal(t, files, countFiles(t, dir))
}

func countFiles(t testing.TB, dir string) (n int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	return n
}

func TestExecuteImageProblems(t *testing.T) {
	blobs, _ := openBlobs(t)
	whole := photo(t, 400, 400, color.White)
	job := task(t, blobs, []byte("no photo"), photo(t, 40, 30, color.Black), whole[:len(whole)/2])
	job.Report.Notes = "\U000F0000"
	res, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, 4, res.PDF.Pages)
	var got []string
	for _, p := range res.Problems {
		got = append(got, fmt.Sprint(p.Image, " ", p.Code))
	}
	require.Equal(t, []string{"1 image-format-unknown", "3 image-damaged", "0 text-characters-unshowable"}, got)
	require.Zero(t, res.Images[0])
	require.NotZero(t, res.Images[1].Full)
	require.False(t, res.Images[1].Damaged)
	require.NotZero(t, res.Images[2].Full)
	require.True(t, res.Images[2].Damaged)
}

func TestExecuteKeepsWhatIsKnownOfAPicture(t *testing.T) {
	blobs, _ := openBlobs(t)
	drawing := image.NewGray(image.Rect(0, 0, 300, 200))
	var asPNG bytes.Buffer
	require.NoError(t, png.Encode(&asPNG, drawing))
	job := task(t, blobs, photo(t, 300, 150, color.White), asPNG.Bytes(), asPNG.Bytes()[:24])
	job.Pictures = picture.Options{MaxSide: 100, MaxPixels: 200 * 300}
	res, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, "image/jpeg", res.Images[0].MediaType)
	require.Equal(t, [2]int{300, 150}, [2]int{res.Images[0].SourceWidth, res.Images[0].SourceHeight})
	require.Equal(t, "image/png", res.Images[1].MediaType)
	require.True(t, bytes.HasPrefix(content(t, blobs, res.Images[1].Full), []byte("\x89PNG")))
	require.True(t, bytes.HasPrefix(content(t, blobs, res.Images[1].Thumb), []byte("\xff\xd8")))
	require.Zero(t, res.Images[2].Full)
	require.Empty(t, res.Images[2].MediaType)
}

func TestExecuteLaysTheReportOut(t *testing.T) {
	blobs, _ := openBlobs(t)
	job := task(t, blobs, photo(t, 40, 30, color.White), photo(t, 40, 30, color.Black), photo(t, 30, 40, color.White))
	one, err := execute(t.Context(), job)
	require.NoError(t, err)
	job.Layout = pdf.Options{PerPage: 4, Paper: pdf.Letter}
	four, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, one.PDF.Pages-2, four.PDF.Pages)
	job.Layout.PerPage = 3
	_, err = execute(t.Context(), job)
	require.ErrorContains(t, err, "3 images a page")
}

func TestExecuteErrorsAreWorthAnotherAttempt(t *testing.T) {
	blobs, _ := openBlobs(t)
	job := task(t, blobs, photo(t, 40, 30, color.White))
	t.Run("original gone", func(t *testing.T) {
		job := job
		job.Report.Images = []tasks.Image{{ImageID: "IMG1", SHA256: fmt.Sprintf("%064x", 1)}}
		_, err := execute(t.Context(), job)
		require.ErrorIs(t, err, blob.ErrNotFound)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("shutting down")
		cancel(why)
		_, err := execute(ctx, job)
		require.Error(t, err)
	})
	t.Run("cancelled while others use the budget", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release, err := job.Budget.Acquire(ctx, picture.DefaultBudget)
		require.NoError(t, err)
		defer release()
		result := make(chan error)
		go func() {
			_, err := execute(ctx, job)
			result <- err
		}()
		cancel()
		require.ErrorIs(t, <-result, context.Canceled)
	})
}

func TestExecuteContainsPanicsOfProgress(t *testing.T) {
	blobs, _ := openBlobs(t)
	job := task(t, blobs, photo(t, 40, 30, color.White))
	job.Progress = func(int, int) { panic("a bug") }
	_, err := execute(t.Context(), job)
	require.ErrorContains(t, err, "tell progress: it panicked with a value of type string")
}

func TestExecuteWithoutImages(t *testing.T) {
	blobs, _ := openBlobs(t)
	res, err := execute(t.Context(), task(t, blobs))
	require.NoError(t, err)
	require.Equal(t, 1, res.PDF.Pages)
	require.Equal(t, []tasks.ImageResult{}, res.Images)
}

func TestExecuteManyAtOnce(t *testing.T) {
	blobs, _ := openBlobs(t)
	var images [][]byte
	for i := range 12 {
		images = append(images, photo(t, 60, 40, color.Gray{uint8(20 * i)}))
	}
	job := task(t, blobs, images...)
	job.Parallel = 4
	job.Budget = picture.NewBudget(1) // every image alone
	res, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Empty(t, res.Problems)
	require.Equal(t, 2+12, res.PDF.Pages, "the table takes two pages")
}

// TestExecutePrintsNotes: the PDF prints the sentences that the API tells, each at its own picture, on every
// layout. That of damage it shortens, and says it once.
func TestExecutePrintsNotes(t *testing.T) {
	blobs, _ := openBlobs(t)
	three, cut := pages(3), photo(t, 400, 400, color.White)
	job := task(t, blobs, photo(t, 40, 30, color.White), three, pages(1), cut[:len(cut)/2], three)
	for _, perPage := range []int{1, 2, 4} {
		job.Layout = pdf.Options{PerPage: perPage}
		res, err := execute(t.Context(), job)
		require.NoError(t, err)
		require.Len(t, res.Problems, 3)
		first, damage, again := res.Problems[0], res.Problems[1], res.Problems[2]
		require.Equal(t, []string{picture.CodeFirstPage, picture.CodeDamaged, picture.CodeFirstPage}, []string{first.Code, damage.Code, again.Code})
		require.Equal(t, []int{2, 4, 5}, []int{first.Image, damage.Image, again.Image})
		made := content(t, blobs, res.PDF.Output)
		read, err := pdf.Read(bytes.NewReader(made), int64(len(made)))
		require.NoError(t, err)
		onPage := map[int]int{0: 2} // in the table
		for _, p := range []tasks.Problem{first, again} {
			onPage[1+(p.Image-1)/perPage]++
		}
		for i, text := range read.Pages {
			require.Equal(t, onPage[i], strings.Count(text, first.Detail), "page %d: %s", i+1, text)
			require.NotContains(t, text, damage.Detail)
		}
	}
}

// TestExecutePrintsProblemsInChinese: a Chinese PDF says in Chinese what is wrong, at the picture and in the table, and
// its typefaces have every character of that. The API says it in English.
func TestExecutePrintsProblemsInChinese(t *testing.T) {
	blobs, _ := openBlobs(t)
	cut := photo(t, 400, 400, color.White)
	job := task(t, blobs, []byte("no photo"), pages(3), cut[:len(cut)/2])
	job.Report.Notes = "\U000F0000 \U000F0001"
	job.Layout = pdf.Options{Language: pdf.Chinese}
	res, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Len(t, res.Problems, 4)
	made := content(t, blobs, res.PDF.Output)
	read, err := pdf.Read(bytes.NewReader(made), int64(len(made)))
	require.NoError(t, err)
	text := strings.Join(strings.Fields(strings.Join(read.Pages, "")), "")
	for sentence, times := range map[string]int{
		"文件不是已知的图像格式；原始文件已保留。": 2, "文件含有多页或多幅图像，仅显示第一页或主图。": 2, "有损坏·仅显示能够读取的部分。": 2,
		"部分字符无法用报告的字体显示，以字符编码代替：U+F0000、U+F0001。": 1, "3幅，1幅未显示，1幅有损坏，1幅有说明": 1,
	} {
		require.Equal(t, times, strings.Count(text, sentence), "%s in %s", sentence, text)
	}
	for _, p := range res.Problems {
		require.Regexp(t, "^[A-Z][a-z]", p.Detail)
		require.NotContains(t, text, strings.Join(strings.Fields(p.Detail)[:4], ""))
	}
}

// pages returns a TIFF of n grey pages of 16 x 8 pixels, each in one strip.
func pages(n int) []byte {
	const width, height = 16, 8
	b := []byte("II*\x00\x00\x00\x00\x00")
	next := 4 // where the offset of the next directory belongs
	for i := range n {
		strip := len(b)
		b = append(b, bytes.Repeat([]byte{byte(60 * i)}, width*height)...)
		binary.LittleEndian.PutUint32(b[next:], uint32(len(b)))
		tags := [][2]int{{0x100, width}, {0x101, height}, {0x102, 8}, {0x103, 1}, {0x106, 1}, {0x111, strip}, {0x115, 1}, {0x116, height}, {0x117, width * height}}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(tags)))
		for _, t := range tags {
			b = binary.LittleEndian.AppendUint16(b, uint16(t[0]))
			b = binary.LittleEndian.AppendUint16(b, 4) // LONG
			b = binary.LittleEndian.AppendUint32(b, 1)
			b = binary.LittleEndian.AppendUint32(b, uint32(t[1]))
		}
		next = len(b)
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// TestImagesAreCalledByTheirNames: an imageId made up from the digest tells a reader
// nothing that the digest does not.
func TestImagesAreCalledByTheirNames(t *testing.T) {
	for name, c := range map[string]struct {
		id, file string
		want     bool // that the id is printed
	}{
		"given":               {"WOUND-1", "wound.jpg", true},
		"derived":             {"", "wound.jpg", false},
		"derived and no name": {"", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			blobs, _ := openBlobs(t)
			job := task(t, blobs, photo(t, 40, 30, color.White))
			img := &job.Report.Images[0]
			img.Name = c.file
			if img.ImageID = c.id; c.id == "" {
				img.ImageID = tasks.DerivedImageID(img.SHA256)
			}
			res, err := execute(t.Context(), job)
			require.NoError(t, err)
			made := content(t, blobs, res.PDF.Output)
			read, err := pdf.Read(bytes.NewReader(made), int64(len(made)))
			require.NoError(t, err)
			text := strings.ReplaceAll(read.Pages[1], "\n", "")
			require.Equal(t, c.want, strings.Contains(text, img.ImageID), text)
			require.Contains(t, text, c.file)
		})
	}
}
