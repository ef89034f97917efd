package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func completion(offset int, r tasks.CaseReport, attempt int, released ...int) tasks.Recorded {
	return recorded(offset, tasks.KindCompletion(), tasks.Completion{
		ID: r.ID, Attempt: attempt, StartedAt: received.Add(time.Second), FinishedAt: received.Add(2 * time.Second),
		Result: result(r), Released: released,
	})
}

// A completion of the log completes whatever the row says, but for one that is
// completed already, and comes twice without harm.
func TestCompletionFromTheLog(t *testing.T) {
	for from, move := range moves {
		t.Run(from, func(t *testing.T) {
			s := openStore(t)
			r := report(1)
			record(t, s, 1, 1)
			move(t, s, r.ID)
			before, err := get(s, r.ID)
			require.NoError(t, err)
			for range 2 {
				require.NoError(t, recordBatch(t.Context(), s, completion(0, r, 3, 1, 2), completion(1, report(99), 1, 1)))
				row, err := get(s, r.ID)
				require.NoError(t, err)
				require.Equal(t, tasks.Completed, row.Status)
				require.Equal(t, result(r), row.Result)
				if from == "completed" {
					require.Equal(t, before, row)
					continue
				}
				require.Greater(t, row.Version, before.Version)
				require.Equal(t, 3, row.Attempts)
				require.Empty(t, row.Error)
				require.Equal(t, received.Add(2*time.Second), row.FinishedAt)
				require.Equal(t, [2]int{3, 3}, [2]int{row.Done, row.Total})
			}
			require.ErrorIs(t, complete(t.Context(), s, r.ID, 3, result(r)), store.ErrStale, "a late worker")
			_, err = get(s, report(99).ID)
			require.ErrorIs(t, err, store.ErrNotFound)
		})
	}
}

func TestUnneeded(t *testing.T) {
	s := openStore(t)
	ahead := func(offset int, img tasks.Image) {
		t.Helper()
		require.NoError(t, recordBatch(t.Context(), s, put(offset, "P001", img)))
	}
	with := func(offset int, id string, imagesEnd uint64, images ...tasks.Image) tasks.CaseReport {
		t.Helper()
		r := tasks.CaseReport{ID: id, PatientID: "P001", Images: images}
		rec := accepted(offset, r)
		rec.ImagesEnd = imagesEnd
		require.NoError(t, recordBatch(t.Context(), s, rec))
		return r
	}
	complete := func(r tasks.CaseReport, released ...int) {
		t.Helper()
		require.NoError(t, recordBatch(t.Context(), s, completion(0, r, 1, released...)))
	}
	unneeded := func(images ...tasks.Image) []string {
		t.Helper()
		var all []string
		for _, img := range images {
			all = append(all, img.SHA256)
		}
		got, err := s.Unneeded(t.Context(), all)
		require.NoError(t, err)
		return got
	}
	one, two, other := image(1), image(2), image(3)
	require.Empty(t, unneeded(one, two, other), "nobody knows them")

	first := with(1, "first", 0, one, two)
	second := with(2, "second", 0, one)
	require.Empty(t, unneeded(one, two, other))
	complete(first, 1)
	require.Empty(t, unneeded(one, two, other), "another report has it; the other was not released")
	complete(second, 1)
	require.Equal(t, []string{one.SHA256}, unneeded(one, two, other))
	complete(first, 1, 2)
	require.Equal(t, []string{one.SHA256, two.SHA256}, unneeded(one, two, other))

	waits := func(img tasks.Image) bool {
		t.Helper()
		var yes bool
		row := store.Reads(s).QueryRow("SELECT put_end > 0 FROM patient_images WHERE study = '' AND patient_id = 'P001' AND image_id = $1", img.ImageID)
		require.NoError(t, row.Scan(&yes))
		return yes
	}
	require.False(t, waits(one), "it came with a report")
	ahead(4, one)
	require.True(t, waits(one))
	require.Equal(t, []string{two.SHA256}, unneeded(one, two))
	complete(first, 1)
	require.Equal(t, []string{two.SHA256}, unneeded(one, two), "put after that report")
	third := with(3, "third", 5, one)
	ahead(4, one) // the same record again
	complete(third, 1)
	require.False(t, waits(one))
	require.Equal(t, []string{one.SHA256, two.SHA256}, unneeded(one, two))
	changed := one
	changed.SHA256 = other.SHA256
	ahead(9, changed)
	require.False(t, waits(one), "the id stands for other bytes")

	found, err := s.Original(t.Context(), two.SHA256)
	require.NoError(t, err)
	require.Equal(t, two, found)
	_, err = s.Original(t.Context(), other.SHA256)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// The same ids of another study are other images.
func TestImagesBelongToASubject(t *testing.T) {
	s := openStore(t)
	named, nameless := image(1), image(2)
	named.ImageID, nameless.ImageID = "IMG", "IMG"
	ahead := recorded(0, tasks.KindImage(), tasks.PatientImage{Study: "S1", PatientID: "P001", Image: named})
	r := tasks.CaseReport{ID: "r", Study: "S1", Site: "site", PatientID: "P001", Images: []tasks.Image{named}}
	with := accepted(1, r)
	with.ImagesEnd = 1
	require.NoError(t, s.Record(t.Context(), tasks.TopicImages, []tasks.Recorded{ahead}, store.Watermark{Next: 1}))
	require.NoError(t, recordBatch(t.Context(), s, with))
	require.NoError(t, s.Record(t.Context(), tasks.TopicImages, []tasks.Recorded{put(1, "P001", nameless)}, store.Watermark{Next: 2}))
	got, err := s.Image(t.Context(), r.Header().Subject(), "IMG")
	require.NoError(t, err)
	require.Equal(t, named, got)
	got, err = s.Image(t.Context(), tasks.Subject{PatientID: "P001"}, "IMG")
	require.NoError(t, err)
	require.Equal(t, nameless, got)
	_, err = s.Image(t.Context(), tasks.Subject{Study: "S2", PatientID: "P001"}, "IMG")
	require.ErrorIs(t, err, store.ErrNotFound)

	row, err := get(s, "r")
	require.NoError(t, err)
	require.Equal(t, r.Header(), row.Header)
	require.Equal(t, r, row.Content)
	require.NoError(t, recordBatch(t.Context(), s, completion(0, r, 1, 1)))
	unneeded, err := s.Unneeded(t.Context(), []string{named.SHA256, nameless.SHA256})
	require.NoError(t, err)
	require.Equal(t, []string{named.SHA256}, unneeded, "the image of the other study waits")
}

func TestNamedBlobs(t *testing.T) {
	s := openStore(t)
	sha := func(n int) string { return fmt.Sprintf("%064x", n) }
	named, err := s.NamedBlobs(t.Context())
	require.NoError(t, err)
	require.False(t, named.Has(sha(7)), "the empty set has nothing")
	record(t, s, 1, 1)                                                          // originals 10 and 11
	require.NoError(t, recordBatch(t.Context(), s, put(0, "P001", image(500)))) // 500
	moves["completed"](t, s, report(1).ID)                                      // PDF 7, pictures 100 and 101, 200 and 201
	kept := tasks.ImageResult{Full: tasks.Output{SHA256: sha(600)}, Thumb: tasks.Output{SHA256: sha(601)}}
	require.NoError(t, s.KeepPicture(t.Context(), sha(500), "o", kept))
	named, err = s.NamedBlobs(t.Context())
	require.NoError(t, err)
	for _, n := range []int{7, 10, 11, 100, 101, 200, 201, 500, 600, 601} {
		require.True(t, named.Has(sha(n)), n)
	}
	looks := 0
	for n := range 10_000 {
		if named.Has(sha(10_000 + n)) {
			looks++
		}
	}
	require.Less(t, looks, 100)
	require.False(t, named.Has(""))
}

// A blob that is in the set is never missed, however many there are, and few others look as if they were.
func TestBlobSet(t *testing.T) {
	const n = 1_000_000 // of four filters
	sha := func(n int) string { return fmt.Sprintf("%064x", n) }
	in := make([]string, n)
	for i := range in {
		in[i] = sha(i)
	}
	set := store.NewBlobSet(append(in, in[:1000]...)...)
	for _, digest := range in {
		if !set.Has(digest) {
			t.Fatal("missed", digest)
		}
	}
	looks := 0
	for i := range 100_000 {
		if set.Has(sha(n + i)) {
			looks++
		}
	}
	require.Less(t, looks, 1000, "one in a hundred")
}

// A picture that was kept between two attempts moves to its report while somebody reads what rows name.
func TestNamedBlobsWhileAReportIsCompleted(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 600)
	for when := range 8 {
		moved := result(report(1)).Images[0]
		moved.Full.SHA256 = fmt.Sprintf("%064x", 5000+when)
		id, n := report(1+3*when).ID, 1+3*when
		require.NoError(t, s.KeepPicture(t.Context(), image(10*n).SHA256, "o", moved))
		row, err := claim(t.Context(), s, id)
		require.NoError(t, err)
		seen, visits := false, 0
		require.NoError(t, s.EachBlob(t.Context(), func(digests []string) error {
			if visits == when {
				made := result(reportOf(row))
				made.Images[0] = moved
				require.NoError(t, complete(t.Context(), s, id, row.Attempts, made))
			}
			visits++
			seen = seen || slices.Contains(digests, moved.Full.SHA256)
			return nil
		}))
		require.Greater(t, visits, when)
		require.True(t, seen, "completed at visit %d", when)
	}
}

// The tables are read by their keys, a few rows at a time and without sorting.
func TestBlobsAreReadByKey(t *testing.T) {
	s := openStore(t)
	n := 0
	for _, kind := range tasks.Kinds() {
		for _, in := range kind.Rows.Blobs {
			plan := explain(t, s, store.BlobsQuery(in, true), []any{"a", "b", "c", 9}[:len(in.Key)+1])
			require.Contains(t, plan, "SEARCH "+in.Table+" USING", "%v", in)
			for _, plan := range []string{plan, explain(t, s, store.BlobsQuery(in, false), []any{9})} {
				require.NotContains(t, plan, "TEMP B-TREE", "%v", in)
			}
			n += len(in.Columns)
		}
	}
	require.Equal(t, 8, n)
}

func TestFinishedPictures(t *testing.T) {
	s := openStore(t)
	r := report(1)
	record(t, s, 1, 1)
	sha, made := r.Images[0].SHA256, result(r).Images[1]
	none := func(sha256, options string) {
		t.Helper()
		_, ok, err := s.FinishedPicture(t.Context(), sha256, options)
		require.NoError(t, err)
		require.False(t, ok)
	}
	none(sha, "small")
	require.NoError(t, s.KeepPicture(t.Context(), sha, "small", tasks.ImageResult{}))
	require.NoError(t, s.KeepPicture(t.Context(), sha, "small", made))
	require.NoError(t, s.KeepPicture(t.Context(), image(99).SHA256, "small", made))
	got, ok, err := s.FinishedPicture(t.Context(), sha, "small")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, made, got)
	none(sha, "large")

	moves["completed"](t, s, r.ID)
	none(sha, "small")
	_, ok, err = s.FinishedPicture(t.Context(), image(99).SHA256, "small")
	require.NoError(t, err)
	require.True(t, ok, "of another report")
}

// What an earlier process has kept is deleted as well, and also when the log says that the report was completed.
func TestFinishedPicturesOfAnEarlierProcess(t *testing.T) {
	for name, finish := range map[string]func(*store.Store, tasks.CaseReport) error{
		"of an attempt": func(s *store.Store, r tasks.CaseReport) error { return complete(t.Context(), s, r.ID, 1, result(r)) },
		"of the log": func(s *store.Store, r tasks.CaseReport) error {
			return recordBatch(t.Context(), s, completion(0, r, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			r := report(1)
			s, err := store.Open(t.Context(), path)
			require.NoError(t, err)
			record(t, s, 1, 1)
			require.NoError(t, s.KeepPicture(t.Context(), r.Images[0].SHA256, "small", result(r).Images[0]))
			require.NoError(t, s.Close())

			s = openAt(t, path)
			_, err = claim(t.Context(), s, r.ID)
			require.NoError(t, err)
			require.NoError(t, finish(s, r))
			_, ok, err := s.FinishedPicture(t.Context(), r.Images[0].SHA256, "small")
			require.NoError(t, err)
			require.False(t, ok)
		})
	}
}

// With 100,000 rows nothing may walk a table.
func TestUnneededUsesIndexes(t *testing.T) {
	for _, query := range store.UnneededQueries {
		plan := explain(t, openStore(t), query, []any{"aa"})
		require.Regexp(t, "case_report_images_sha256|patient_images_waiting", plan)
		require.NotContains(t, plan, "SCAN")
	}
}
