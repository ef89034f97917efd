package tasks

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The tables of case reports are made by the store's migrations, since older data folders have them:
//
//	case_reports        content and result of a report, by id
//	case_report_images  its images and what became of each, by report_id and n from 1
//	patient_images      every image that a subject has, by study, patient_id and image_id
//	finished_pictures   what earlier attempts made of images, by sha256 and options

var caseReportBlobs = []Column{
	{"case_reports", "pdf_sha256"},
	{"case_report_images", "sha256"}, {"case_report_images", "full_sha256"}, {"case_report_images", "thumb_sha256"},
	{"finished_pictures", "full_sha256"}, {"finished_pictures", "thumb_sha256"},
}

func insertCaseReport(tx Tx, r Recorded) error {
	const insert = `INSERT INTO case_reports (id, notes, captured_at, images_end) VALUES ($1, $2, $3, $4)`
	const insertImage = `INSERT INTO case_report_images (report_id, n, image_id, sha256, bytes, media_type, name)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	report := r.Content.(CaseReport)
	if _, err := tx.Exec(insert, report.ID, report.Notes, report.CapturedAt, int64(r.ImagesEnd)); err != nil {
		return err
	}
	for i, img := range report.Images {
		if _, err := tx.Exec(insertImage, report.ID, i+1, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name); err != nil {
			return err
		}
		if err := insertImageOf(tx, report.Header().Subject(), img, 0); err != nil {
			return err
		}
	}
	return nil
}

// insertPatientImage makes an image known that was put ahead of its report.
func insertPatientImage(tx Tx, r Recorded) error {
	img := r.Content.(PatientImage)
	return insertImageOf(tx, img.Header().Subject(), img.Image, r.Offset+1)
}

// insertImageOf makes the image known under its subject; putEnd is the offset after the record that put it
// ahead, 0 if it came with a report. Putting the same image again makes it wait for a report again. Of two
// images with one id the first counts.
func insertImageOf(tx Tx, s Subject, img Image, putEnd uint64) error {
	const insert = `INSERT INTO patient_images (` + PatientImageColumns + `, put_end)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (study, patient_id, image_id) DO UPDATE SET put_end = excluded.put_end
			WHERE patient_images.sha256 = excluded.sha256 AND patient_images.put_end < excluded.put_end`
	sum := PatientImage{Study: s.Study, PatientID: s.PatientID, Image: img}.checkSum()
	_, err := tx.Exec(insert, s.Study, s.PatientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name, sum, int64(putEnd))
	return err
}

func findPatientImage(tx Tx, c Content) (sha256 string, found bool, err error) {
	const query = `SELECT ` + PatientImageColumns + ` FROM patient_images WHERE study = $1 AND patient_id = $2 AND image_id = $3`
	img := c.(PatientImage)
	rows, err := tx.Query(query, img.Study, img.PatientID, img.ImageID)
	if err != nil {
		return "", false, err
	}
	err = EachRow(rows, func() error {
		found = true
		img, err := ScanPatientImage(rows)
		sha256 = img.SHA256
		return err
	})
	return sha256, found, err
}

// completeCaseReport keeps what an attempt made. It refuses a result that leaves images out: nobody would notice.
func completeCaseReport(tx Tx, id string, r Result) error {
	const next = `SELECT 1 FROM case_report_images WHERE report_id = $1 AND n = $2`
	result, ok := r.(CaseReportResult)
	if !ok {
		return wrongResult("a case report", r, result)
	}
	rows, err := tx.Query(next, id, len(result.Images)+1)
	if err != nil {
		return err
	}
	more := false
	if err := EachRow(rows, func() error { more = true; return nil }); err != nil {
		return err
	}
	if more {
		return fmt.Errorf("the result has %d images, the report has more: there must be one for each", len(result.Images))
	}
	return keepCaseReport(tx, id, result)
}

// keepCaseReport writes a result into the tables of a report. Of a record in the log it takes one with fewer images, as
// earlier versions may have kept it: to refuse it would stop all records behind it.
func keepCaseReport(tx Tx, id string, result CaseReportResult) error {
	const update = `UPDATE case_reports SET pdf_sha256 = $1, pdf_bytes = $2, pdf_pages = $3, problems = $4, check_sum = $5 WHERE id = $6`
	problems, err := json.Marshal(append([]Problem{}, result.Problems...))
	if err != nil {
		return err
	}
	sum, err := result.checkSum()
	if err != nil {
		return err
	}
	if _, err := tx.Exec(update, result.PDF.SHA256, result.PDF.Bytes, result.PDF.Pages, string(problems), sum, id); err != nil {
		return err
	}
	if err := completeImages(tx, id, result.Images); err != nil {
		return err
	}
	// Pictures that were kept between attempts have served.
	const forget = `DELETE FROM finished_pictures WHERE sha256 IN (SELECT sha256 FROM case_report_images WHERE report_id = $1)`
	_, err = tx.Exec(forget, id)
	return err
}

// checkSum is the same for a result as it was made and as the rows give it back.
func (r CaseReportResult) checkSum() (int64, error) {
	r.Images, r.Problems = append([]ImageResult{}, r.Images...), append([]Problem{}, r.Problems...)
	text, err := json.Marshal(r)
	return CheckSum(text), err
}

func completeImages(tx Tx, id string, images []ImageResult) error {
	const update = `UPDATE case_report_images
		SET full_sha256 = $1, full_bytes = $2, thumb_sha256 = $3, thumb_bytes = $4, width = $5, height = $6,
			full_media_type = $7, source_width = $8, source_height = $9, taken_at = $10, removed = $11, damaged = $12
		WHERE report_id = $13 AND n = $14`
	for i, img := range images {
		removed, err := json.Marshal(append([]string{}, img.Removed...))
		if err != nil {
			return err
		}
		damaged := 0
		if img.Damaged {
			damaged = 1
		}
		n, err := tx.Exec(update, img.Full.SHA256, img.Full.Bytes, img.Thumb.SHA256, img.Thumb.Bytes, img.Width, img.Height,
			img.MediaType, img.SourceWidth, img.SourceHeight, img.CapturedAt, string(removed), damaged, id, i+1)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the result has %d images, the report has %d: there must be one for each", len(images), i)
		}
	}
	return nil
}

// loadContents reads reports without their results, which is all that the work on them needs.
func loadContents(tx Tx, of []Stored) (map[string]Loaded, error) {
	in, args := InList(idsOf(of))
	rows, err := tx.Query(`SELECT r.id, r.notes, r.captured_at, COALESCE(i.image_id, ''), COALESCE(i.sha256, ''),
			COALESCE(i.bytes, 0), COALESCE(i.media_type, ''), COALESCE(i.name, '')
		FROM case_reports r LEFT JOIN case_report_images i ON i.report_id = r.id
		WHERE r.id IN `+in+` ORDER BY r.id, i.n`, args...)
	if err != nil {
		return nil, err
	}
	reports := make(map[string]CaseReport, len(of))
	err = EachRow(rows, func() error {
		var one CaseReport
		var img Image
		if err := rows.Scan(&one.ID, &one.Notes, &one.CapturedAt, &img.ImageID, &img.SHA256, &img.Bytes, &img.MediaType, &img.Name); err != nil {
			return err
		}
		r, ok := reports[one.ID]
		if !ok {
			r = one
			r.Images = []Image{}
		}
		if img.ImageID != "" {
			r.Images = append(r.Images, img)
		}
		reports[one.ID] = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	loaded := make(map[string]Loaded, len(reports))
	for _, s := range of {
		if r, ok := reports[s.ID]; ok {
			r.Study, r.Site, r.PatientID, r.VisitID = s.Study, s.Site, s.PatientID, s.VisitID
			loaded[s.ID] = Loaded{Content: r}
		}
	}
	return loaded, nil
}

// loadCaseReports reads the reports and their images in two queries. The images of a report never change, and
// the results are written together with the status completed, so the two need no transaction around them.
func loadCaseReports(tx Tx, of []Stored) (map[string]Loaded, error) {
	if !slices.ContainsFunc(of, func(s Stored) bool { return s.Completed }) {
		return loadContents(tx, of)
	}
	in, args := InList(idsOf(of))
	stored := make(map[string]Stored, len(of))
	for _, s := range of {
		stored[s.ID] = s
	}
	reports, results, sums := map[string]CaseReport{}, map[string]CaseReportResult{}, map[string]int64{}
	rows, err := tx.Query(`SELECT id, notes, captured_at, pdf_sha256, pdf_bytes, pdf_pages, problems, check_sum
		FROM case_reports WHERE id IN `+in, args...)
	if err != nil {
		return nil, err
	}
	err = EachRow(rows, func() error {
		r := CaseReport{Images: []Image{}}
		made := CaseReportResult{Images: []ImageResult{}}
		var problems string
		var sum int64
		if err := rows.Scan(&r.ID, &r.Notes, &r.CapturedAt,
			&made.PDF.SHA256, &made.PDF.Bytes, &made.PDF.Pages, &problems, &sum); err != nil {
			return err
		}
		s := stored[r.ID]
		r.Study, r.Site, r.PatientID, r.VisitID = s.Study, s.Site, s.PatientID, s.VisitID
		reports[r.ID] = r
		if !s.Completed {
			return nil
		}
		if err := json.Unmarshal([]byte(problems), &made.Problems); err != nil {
			return fmt.Errorf("problems of report %s: %w", r.ID, err)
		}
		results[r.ID], sums[r.ID] = made, sum
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := loadImages(tx, in, args, reports, results); err != nil {
		return nil, err
	}
	loaded := make(map[string]Loaded, len(reports))
	for id, r := range reports {
		l := Loaded{Content: r}
		if made, ok := results[id]; ok {
			if err := made.verify(sums[id]); err != nil {
				return nil, fmt.Errorf("result of report %s: %w", id, err)
			}
			l.Result = made
		}
		loaded[id] = l
	}
	return loaded, nil
}

// verify returns ErrChanged if the result is not the one that the sum was made of.
func (r CaseReportResult) verify(sum int64) error {
	if sum == 0 {
		return nil
	}
	now, err := r.checkSum()
	if err == nil && now != sum {
		err = ErrChanged
	}
	return err
}

func loadImages(tx Tx, in string, args []any, reports map[string]CaseReport, results map[string]CaseReportResult) error {
	rows, err := tx.Query(`SELECT report_id, image_id, sha256, bytes, media_type, name,
			full_sha256, full_bytes, thumb_sha256, thumb_bytes, width, height,
			full_media_type, source_width, source_height, taken_at, removed, damaged
		FROM case_report_images WHERE report_id IN `+in+` ORDER BY report_id, n`, args...)
	if err != nil {
		return err
	}
	return EachRow(rows, func() error {
		var (
			id, removed string
			img         Image
			made        ImageResult
		)
		if err := rows.Scan(&id, &img.ImageID, &img.SHA256, &img.Bytes, &img.MediaType, &img.Name,
			&made.Full.SHA256, &made.Full.Bytes, &made.Thumb.SHA256, &made.Thumb.Bytes, &made.Width, &made.Height,
			&made.MediaType, &made.SourceWidth, &made.SourceHeight, &made.CapturedAt, &removed, &made.Damaged); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(removed), &made.Removed); err != nil {
			return fmt.Errorf("removed tags of an image of report %s: %w", id, err)
		}
		if len(made.Removed) == 0 {
			made.Removed = nil
		}
		r, ok := reports[id]
		if !ok {
			return nil
		}
		r.Images = append(r.Images, img)
		reports[id] = r
		if result, ok := results[id]; ok {
			result.Images = append(result.Images, made)
			results[id] = result
		}
		return nil
	})
}

// insertCompletion completes a report that is not completed: its row was lost and made again. A completed
// one keeps its row. Either way the originals that the completion names are released, and so are images put
// ahead for this report.
func insertCompletion(tx Tx, r Recorded) error {
	const update = `UPDATE submissions
		SET status = 'completed', attempts = $1, base_attempts = CASE WHEN base_attempts > $1 THEN $1 ELSE base_attempts END,
			started_at = $2, finished_at = $3, next_attempt_at = 0, crashes = 0, suspect = 0,
			done = $4, total = $4, error = '', version = version + 1
		WHERE kind = 'case-report' AND id = $5 AND status <> 'completed'`
	done := r.Content.(Completion)
	steps := len(done.Result.Images) + 1
	n, err := tx.Exec(update, done.Attempt, micros(done.StartedAt), micros(done.FinishedAt), steps, done.ID)
	if err != nil {
		return err
	}
	if n > 0 {
		if err := keepCaseReport(tx, done.ID, done.Result); err != nil {
			return err
		}
	}
	return release(tx, done.ID, done.Released)
}

func release(tx Tx, id string, images []int) error {
	const mine = `UPDATE case_report_images SET released = 1 WHERE report_id = $1 AND n = $2`
	const ahead = `UPDATE patient_images SET put_end = 0
		WHERE (study, patient_id, image_id) IN (
			SELECT s.study, s.patient_id, i.image_id FROM submissions s JOIN case_report_images i ON i.report_id = s.id
			WHERE s.kind = 'case-report' AND s.id = $1 AND i.n = $2)
		AND put_end <= (SELECT images_end FROM case_reports WHERE id = $1)`
	for _, n := range images {
		for _, query := range []string{mine, ahead} {
			if _, err := tx.Exec(query, id, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// fromMicros reads what micros has written.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// micros is how times are kept in rows: microseconds since 1970 in UTC, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
