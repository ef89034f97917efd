package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// damageable opens a store whose rows are not checked when the test ends.
func damageable(t *testing.T) (s *store.Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, path
}

func TestCompare(t *testing.T) {
	again := accepted(9, report(1)) // as a log of an earlier version may have it
	other := report(1)
	other.Notes = "other"
	later := accepted(2, report(2))
	later.ReceivedAt = received.Add(1)
	log := []tasks.Recorded{
		accepted(0, report(0)), accepted(1, report(1)), later, put(3, "P001", image(7)), retry(4, report(1).ID, 1),
		again, accepted(10, other),
	}
	for name, tc := range map[string]struct {
		change string
		sound  bool
	}{
		"sound":    {`UPDATE submissions SET status = 'failed', attempts = 3, error = 'x'`, true},
		"row gone": {`DELETE FROM submissions WHERE id = 'report-000002'`, false},
		"digest":   {`UPDATE submissions SET sha256 = 'aa' WHERE id = 'report-000000'`, false},
		"sequence": {`UPDATE submissions SET sequence = 5 WHERE id = 'report-000000'`, false},
		"received": {`UPDATE submissions SET received_at = 1 WHERE id = 'report-000000'`, false},
		"notes":    {`UPDATE case_reports SET notes = 'x' WHERE id = 'report-000000'`, false},
		"images":   {`DELETE FROM case_report_images WHERE report_id = 'report-000001' AND n = 2`, false},
		"ahead":    {`DELETE FROM patient_images WHERE image_id = 'IMG7'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := damageable(t)
			require.NoError(t, recordBatch(t.Context(), s, log...))
			require.NoError(t, store.ExecOnWriter(s, tc.change))
			err := s.Compare(t.Context(), log)
			if tc.sound {
				require.NoError(t, err)
				require.NoError(t, s.Ping(t.Context()))
				return
			}
			requireTells(t, err, path)
			requireTells(t, s.Ping(t.Context()), path)
		})
	}
}

// One letter or number that a disk has changed in a row, which SQLite cannot notice: somebody who reads the row, or one of
// the two looks through all rows, tells.
func TestAChangedLetterIsTold(t *testing.T) {
	log := []tasks.Recorded{accepted(0, report(0)), accepted(1, report(1)), put(2, "P001", image(7))}
	check := func(s *store.Store) error { return s.Check(t.Context()) }
	compare := func(s *store.Store) error { return s.Compare(t.Context(), log) }
	reportRow := func(s *store.Store) error { _, err := get(s, report(1).ID); return err }
	imageRow := func(s *store.Store) error {
		_, err := s.Image(t.Context(), tasks.Subject{PatientID: "P001"}, "IMG7")
		return err
	}
	again := func(s *store.Store) error { _, err := s.Find(t.Context(), log[2].Submission); return err }
	picture := func(s *store.Store) error {
		_, _, err := s.FinishedPicture(t.Context(), "aa", "o")
		return err
	}
	type reads []func(*store.Store) error
	for change, tells := range map[string]reads{
		`UPDATE patient_images SET sha256 = 'b' || substr(sha256, 2) WHERE image_id = 'IMG7'`: {check, compare, imageRow, again},
		`UPDATE patient_images SET bytes = bytes + 64 WHERE image_id = 'IMG7'`:                {check, compare, imageRow, again},
		`UPDATE patient_images SET media_type = 'image/kpeg' WHERE image_id = 'IMG7'`:         {check, imageRow},
		`UPDATE patient_images SET name = 'qhoto.jpg' WHERE image_id = 'IMG7'`:                {check, imageRow},
		`UPDATE patient_images SET patient_id = 'P011' WHERE image_id = 'IMG7'`:               {check, compare},
		`UPDATE patient_images SET image_id = 'IMG14' WHERE image_id = 'IMG10'`:               {check}, // of a report
		`UPDATE patient_images SET check_sum = check_sum + 1 WHERE image_id = 'IMG7'`:         {check, imageRow},
		`UPDATE case_report_results SET result = replace(result, '1600', '1601')`:             {compare, reportRow},
		`UPDATE case_report_results SET result = substr(result, 2)`:                           {compare, reportRow},
		`UPDATE case_report_results SET check_sum = check_sum + 1`:                            {compare, reportRow},
		`UPDATE case_report_results SET sequence = 0`:                                         {compare, reportRow},
		`UPDATE submissions SET sequence = 1000 - sequence`:                                   {compare, reportRow},
		`DELETE FROM case_report_results`:                                                     {compare, reportRow},
		`UPDATE submissions SET status = 'bompleted' WHERE id = 'report-000001'`:              {compare, reportRow},
		`UPDATE finished_pictures SET result = replace(result, '1600', '1700')`:               {picture},
	} {
		for i, tell := range tells {
			t.Run(fmt.Sprintf("%s/%d", change, i), func(t *testing.T) {
				s, path := damageable(t)
				require.NoError(t, recordBatch(t.Context(), s, log...))
				_, err := claim(t.Context(), s, report(1).ID)
				require.NoError(t, err)
				require.NoError(t, complete(t.Context(), s, report(1).ID, 1, result(report(1))))
				require.NoError(t, s.KeepPicture(t.Context(), "aa", "o", result(report(0)).Images[0]))
				require.NoError(t, errors.Join(check(s), compare(s), reportRow(s), imageRow(s), again(s), picture(s)))
				require.NoError(t, store.ExecOnWriter(s, change))
				requireTells(t, tell(s), path)
				requireTells(t, s.Ping(t.Context()), path)
			})
		}
	}
}

// keepEarlier moves the result of a report to where versions before migration 13 have kept it.
func keepEarlier(t *testing.T, s *store.Store, id string, made tasks.CaseReportResult) {
	t.Helper()
	text, err := json.Marshal(made)
	require.NoError(t, err)
	problems, err := json.Marshal(made.Problems)
	require.NoError(t, err)
	require.NoError(t, store.Transact(s, func(tx tasks.Tx) error {
		_, err := tx.Exec(`DELETE FROM case_report_results WHERE sequence = (SELECT sequence FROM submissions WHERE id = $1)`, id)
		require.NoError(t, err)
		_, err = tx.Exec(`UPDATE case_reports SET pdf_sha256 = $1, pdf_bytes = $2, pdf_pages = $3, problems = $4, check_sum = $5 WHERE id = $6`,
			made.PDF.SHA256, made.PDF.Bytes, made.PDF.Pages, string(problems), tasks.CheckSum(text), id)
		require.NoError(t, err)
		for i, img := range made.Images {
			removed, err := json.Marshal(img.Removed)
			require.NoError(t, err)
			_, err = tx.Exec(`UPDATE case_report_images SET full_sha256 = $1, full_bytes = $2, thumb_sha256 = $3, thumb_bytes = $4, width = $5, height = $6,
					full_media_type = $7, source_width = $8, source_height = $9, taken_at = $10, removed = $11, damaged = $12
				WHERE report_id = $13 AND n = $14`,
				img.Full.SHA256, img.Full.Bytes, img.Thumb.SHA256, img.Thumb.Bytes, img.Width, img.Height,
				img.MediaType, img.SourceWidth, img.SourceHeight, img.CapturedAt, string(removed), img.Damaged, id, i+1)
			require.NoError(t, err)
		}
		return nil
	}))
}

// One letter or number that a disk has changed in a result that an earlier version has kept.
func TestAChangedLetterOfAnEarlierResultIsTold(t *testing.T) {
	log := []tasks.Recorded{accepted(0, report(0)), accepted(1, report(1))}
	for _, change := range []string{
		`UPDATE case_reports SET pdf_pages = 7 WHERE id = 'report-000001'`,
		`UPDATE case_reports SET pdf_bytes = pdf_bytes + 1 WHERE id = 'report-000001'`,
		`UPDATE case_reports SET pdf_sha256 = 'aa' WHERE id = 'report-000001'`,
		`UPDATE case_reports SET problems = '[]' WHERE id = 'report-000001'`,
		`UPDATE case_report_images SET width = 1601 WHERE report_id = 'report-000001'`,
		`UPDATE case_report_images SET full_sha256 = 'aa' WHERE report_id = 'report-000001'`,
		`UPDATE case_report_images SET thumb_bytes = 1 WHERE report_id = 'report-000001'`,
		`UPDATE case_report_images SET removed = '["GPS"]' WHERE report_id = 'report-000001'`,
		`UPDATE case_report_images SET taken_at = '2027' WHERE report_id = 'report-000001'`,
		`UPDATE case_report_images SET damaged = 1 - damaged WHERE report_id = 'report-000001' AND n = 1`,
	} {
		t.Run(change, func(t *testing.T) {
			s, path := damageable(t)
			require.NoError(t, recordBatch(t.Context(), s, log...))
			_, err := claim(t.Context(), s, report(1).ID)
			require.NoError(t, err)
			require.NoError(t, complete(t.Context(), s, report(1).ID, 1, result(report(1))))
			before, err := get(s, report(1).ID)
			require.NoError(t, err)
			keepEarlier(t, s, report(1).ID, result(report(1)))
			row, err := get(s, report(1).ID)
			require.NoError(t, err)
			require.Equal(t, before, row)
			require.NoError(t, s.Compare(t.Context(), log))
			require.NoError(t, store.ExecOnWriter(s, change))
			_, err = get(s, report(1).ID)
			requireTells(t, err, path)
			requireTells(t, s.Compare(t.Context(), log), path)
		})
	}
}

// What says that an original is needed no more is not obeyed if the disk has changed it: whoever asks what may be dropped is told
// of the damage, and so is a completion that would release more, and whoever looks through all rows.
func TestAChangedReleaseIsTold(t *testing.T) {
	r := report(1)
	released, kept, ahead := r.Images[0].SHA256, r.Images[1].SHA256, image(7)
	with := accepted(1, r)
	with.ImagesEnd = 5
	again := r.Images[0] // put once more after the report
	for change, asked := range map[string][]string{
		`UPDATE case_report_images SET released = 1 WHERE report_id = 'report-000001' AND n = 2`:        {kept},
		`UPDATE case_report_images SET released = 64 WHERE report_id = 'report-000001' AND n = 2`:       {kept},
		`UPDATE case_report_images SET released = 0 WHERE report_id = 'report-000001' AND n = 1`:        {released},
		`UPDATE case_report_images SET released_check = -2 WHERE report_id = 'report-000001' AND n = 2`: {kept},
		`UPDATE patient_images SET put_end = 0 WHERE image_id = 'IMG10'`:                                {released},
		`UPDATE patient_images SET put_end = 2 WHERE image_id = 'IMG10'`:                                {released},
		`UPDATE patient_images SET put_end_check = -1 WHERE image_id = 'IMG10'`:                         {released},
		`UPDATE patient_images SET put_end = -9, put_end_check = 8 WHERE image_id = 'IMG10'`:            {released},
		`UPDATE case_reports SET images_end = 500 WHERE id = 'report-000001'`:                           nil,
		`UPDATE case_reports SET images_end_check = -7 WHERE id = 'report-000001'`:                      nil,
	} {
		t.Run(change, func(t *testing.T) {
			s, path := damageable(t)
			require.NoError(t, recordBatch(t.Context(), s, accepted(0, report(2)), with, put(0, "P001", ahead)))
			require.NoError(t, recordBatch(t.Context(), s, completion(0, r, 1, 1)))
			unneeded := func() ([]string, error) { return s.Unneeded(t.Context(), []string{released, kept, ahead.SHA256}) }
			got, err := unneeded()
			require.NoError(t, err)
			require.Equal(t, []string{released}, got)
			require.NoError(t, recordBatch(t.Context(), s, put(99, "P001", again)))
			got, err = unneeded()
			require.NoError(t, err)
			require.Empty(t, got)
			require.NoError(t, s.Check(t.Context()))

			require.NoError(t, store.ExecOnWriter(s, change))
			if asked == nil {
				// Were it obeyed, the image would not wait any more.
				requireTells(t, recordBatch(t.Context(), s, completion(1, r, 1, 1)), path)
				got, err = unneeded()
				require.NoError(t, err)
				require.Empty(t, got)
			} else {
				got, err = s.Unneeded(t.Context(), asked)
				require.Empty(t, got)
				requireTells(t, err, path)
			}
			requireTells(t, s.Ping(t.Context()), path)
			requireTells(t, s.Check(t.Context()), path)
		})
	}
}

// A completion does not end the wait of an image whose wait has changed.
func TestAChangedWaitIsNotEnded(t *testing.T) {
	r := report(1)
	with := accepted(1, r)
	with.ImagesEnd = 5
	s, path := damageable(t)
	require.NoError(t, recordBatch(t.Context(), s, with))
	require.NoError(t, recordBatch(t.Context(), s, put(99, "P001", r.Images[0])))
	require.NoError(t, store.ExecOnWriter(s, `UPDATE patient_images SET put_end = 4 WHERE image_id = 'IMG10'`))
	require.NoError(t, recordBatch(t.Context(), s, completion(0, r, 1, 1)))
	got, err := s.Unneeded(t.Context(), []string{r.Images[0].SHA256})
	require.Empty(t, got)
	requireTells(t, err, path)
}

// A report whose row is gone keeps no result, and it is not the images that are said to be wrong.
func TestAResultWithoutARowIsTold(t *testing.T) {
	r := report(1)
	for name, finish := range map[string]func(*testing.T, *store.Store) error{
		"of an attempt": func(t *testing.T, s *store.Store) error { return complete(t.Context(), s, r.ID, 1, result(r)) },
		"of the log":    func(t *testing.T, s *store.Store) error { return recordBatch(t.Context(), s, completion(0, r, 1, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			s, path := damageable(t)
			record(t, s, 1, 1)
			_, err := claim(t.Context(), s, r.ID)
			require.NoError(t, err)
			require.NoError(t, store.ExecOnWriter(s, `DELETE FROM case_report_images`))
			require.NoError(t, store.ExecOnWriter(s, `DELETE FROM case_reports`))
			err = finish(t, s)
			requireTells(t, err, path)
			require.ErrorContains(t, err, "the row of report "+r.ID+" is gone")
		})
	}
}

// Once damage is known, what is not found may have been lost.
func TestNotFoundInDamagedRows(t *testing.T) {
	s, path := damageable(t)
	record(t, s, 0, 2)
	_, err := get(s, "none")
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, store.ExecOnWriter(s, `UPDATE case_reports SET notes = 'other' WHERE id = 'report-000000'`))
	_, err = get(s, report(0).ID)
	requireTells(t, err, path)
	_, err = get(s, "none")
	requireTells(t, err, path)
	_, err = s.Find(t.Context(), accepted(7, report(7)).Submission)
	requireTells(t, err, path)
	_, err = s.Image(t.Context(), tasks.Subject{PatientID: "P001"}, "none")
	requireTells(t, err, path)
	_, err = s.Original(t.Context(), "none")
	requireTells(t, err, path)
	row, err := get(s, report(1).ID)
	require.NoError(t, err, "what can be read is served")
	require.Equal(t, report(1), row.Content)
}

// Tables that are gone, or there although nothing says that they were made, are damage and no bug.
func TestOpenTellsOfADamagedSchema(t *testing.T) {
	for name, change := range map[string]string{
		"steps forgotten": `DELETE FROM schema_migrations`,
		"table gone":      `DROP TABLE watermarks`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			s, err := store.Open(t.Context(), path)
			require.NoError(t, err)
			require.NoError(t, store.ExecOnWriter(s, change))
			require.NoError(t, s.Close())
			s, err = store.Open(t.Context(), path)
			if err == nil {
				_, _, err = s.Watermark(t.Context(), tasks.TopicImages)
				require.NoError(t, s.Close())
			}
			requireTells(t, err, path)
		})
	}
}

func TestEachBlob(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 600)
	row, err := claim(t.Context(), s, report(1).ID)
	require.NoError(t, err)
	made := result(reportOf(row))
	require.NoError(t, complete(t.Context(), s, report(1).ID, 1, made))
	require.NoError(t, recordBatch(t.Context(), s, put(600, "P009", image(99_999))))
	want := map[string]bool{made.PDF.SHA256: true, image(99_999).SHA256: true}
	for n := range 600 {
		for _, img := range report(n).Images {
			want[img.SHA256] = true
		}
	}
	for _, img := range made.Images {
		want[img.Full.SHA256], want[img.Thumb.SHA256] = true, true
	}
	got := map[string]bool{}
	require.NoError(t, s.EachBlob(t.Context(), func(digests []string) error {
		for _, d := range digests {
			got[d] = true
		}
		return nil
	}))
	require.Equal(t, want, got)
	stop := errors.New("stop")
	calls := 0
	require.ErrorIs(t, s.EachBlob(t.Context(), func([]string) error { calls++; return stop }), stop)
	require.Equal(t, 1, calls)
}
