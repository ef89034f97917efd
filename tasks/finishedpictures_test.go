package tasks_test

import (
	"context"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/picture"
)

// counting counts how often each original is opened; failing makes one fail to open.
type counting struct {
	blob.Store
	opened  atomic.Int32
	failing blob.Key
}

func (c *counting) Open(ctx context.Context, k blob.Key) (blob.Blob, error) {
	if k == c.failing {
		return nil, errors.New("the disk does not answer")
	}
	c.opened.Add(1)
	return c.Store.Open(ctx, k)
}

// An attempt goes on where the last one ended.
func TestFinishedPicturesAreKeptBetweenAttempts(t *testing.T) {
	blobs, _ := openBlobs(t)
	rows, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "rows.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	job := task(t, blobs, photo(t, 40, 30, color.White), photo(t, 40, 30, color.Black), []byte("no photo"), photo(t, 20, 30, color.Black))
	want, err := execute(t.Context(), job)
	require.NoError(t, err)

	broken := &counting{Store: blobs, failing: blob.Key(job.Report.Images[3].SHA256)}
	job.Blobs, job.PictureCache, job.Parallel = broken, rows, 1
	_, err = execute(t.Context(), job)
	require.ErrorContains(t, err, "does not answer")
	require.EqualValues(t, 3, broken.opened.Load())

	// Of the three that were opened, the two that nothing had to be said of are not opened again.
	broken.failing = ""
	broken.opened.Store(0)
	again, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, want, again)
	const intoThePDF = 3
	require.EqualValues(t, 2+2*2+intoThePDF, broken.opened.Load(), "the broken one, the one that failed, two kept ones to verify them, and the pictures for the PDF")

	// Other options make another picture.
	_, found, err := rows.FinishedPicture(t.Context(), job.Report.Images[0].SHA256, picture.Options{MaxSide: 20}.Key())
	require.NoError(t, err)
	require.False(t, found)
	kept, found, err := rows.FinishedPicture(t.Context(), job.Report.Images[0].SHA256, job.Pictures.Key())
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, want.Images[0], kept)
}

// A kept picture whose bytes are gone is made again.
func TestFinishedPictureWithoutItsBytes(t *testing.T) {
	blobs, _ := openBlobs(t)
	rows, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "rows.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	job := task(t, blobs, photo(t, 40, 30, color.White))
	job.PictureCache = rows
	want, err := execute(t.Context(), job)
	require.NoError(t, err)
	lost := want.Images[0]
	lost.Thumb.SHA256 = "0000000000000000000000000000000000000000000000000000000000000000"
	require.NoError(t, rows.KeepPicture(t.Context(), job.Report.Images[0].SHA256, job.Pictures.Key(), lost))
	again, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, want, again)
}

// The same picture twice in a report is worked on once, and said of both.
func TestSamePictureTwice(t *testing.T) {
	blobs, _ := openBlobs(t)
	whole := photo(t, 400, 400, color.White)
	job := task(t, blobs, whole, whole[:len(whole)/2], whole, whole[:len(whole)/2])
	counted := &counting{Store: blobs}
	job.Blobs = counted
	var steps int
	job.Progress = func(done, total int) { steps = done; require.Equal(t, 5, total) }
	res, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.EqualValues(t, 2+2, counted.opened.Load(), "two originals, and two pictures for the PDF")
	require.Equal(t, 5, steps)
	require.Equal(t, res.Images[0], res.Images[2])
	require.Equal(t, res.Images[1], res.Images[3])
	var of []int
	for _, p := range res.Problems {
		require.Equal(t, picture.CodeDamaged, p.Code)
		of = append(of, p.Image)
	}
	require.Equal(t, []int{2, 4}, of)
	require.Equal(t, tasks.Problem{Image: 4, Code: res.Problems[0].Code, Detail: res.Problems[0].Detail}, res.Problems[1])
}

// Rot in a kept picture costs no more than making it again, which mends it.
func TestRotOfAFinishedPicture(t *testing.T) {
	blobs, dir := openBlobs(t)
	rows, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "rows.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	job := task(t, blobs, photo(t, 40, 30, color.White))
	job.PictureCache, job.Pictures.MaxSide = rows, 20 // so that it is not the original itself
	want, err := execute(t.Context(), job)
	require.NoError(t, err)
	require.NoError(t, rows.KeepPicture(t.Context(), job.Report.Images[0].SHA256, job.Pictures.Key(), want.Images[0]))
	for _, out := range []tasks.Output{want.Images[0].Full, want.Images[0].Thumb} {
		files, err := filepath.Glob(filepath.Join(dir, "*", out.SHA256))
		require.NoError(t, err)
		require.Len(t, files, 1)
		content, err := os.ReadFile(files[0])
		require.NoError(t, err)
		content[len(content)/2] ^= 1
		require.NoError(t, os.WriteFile(files[0], content, 0o600))
		again, err := execute(t.Context(), job)
		require.NoError(t, err)
		require.Equal(t, want, again)
		content[len(content)/2] ^= 1
		mended, err := os.ReadFile(files[0])
		require.NoError(t, err)
		require.Equal(t, content, mended)
	}
}

// A PDF that cannot be made costs no picture.
func TestFinishedPicturesOutliveTheirPDF(t *testing.T) {
	blobs, _ := openBlobs(t)
	rows, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "rows.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	job := task(t, blobs, photo(t, 40, 30, color.White))
	job.PictureCache, job.Pictures.MaxSide = rows, 20 // so that it is not the original itself
	want, err := execute(t.Context(), job)
	require.NoError(t, err)

	job.Blobs = &counting{Store: blobs, failing: blob.Key(want.Images[0].Full.SHA256)} // the PDF cannot be made of it
	_, err = execute(t.Context(), job)
	require.ErrorContains(t, err, "does not answer")
	_, found, err := rows.FinishedPicture(t.Context(), job.Report.Images[0].SHA256, job.Pictures.Key())
	require.NoError(t, err)
	require.True(t, found)
}
