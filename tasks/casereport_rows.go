package tasks

import (
	"encoding/json"
	"fmt"
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
	const insert = `INSERT INTO patient_images (study, patient_id, image_id, sha256, bytes, media_type, name, put_end)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (study, patient_id, image_id) DO UPDATE SET put_end = excluded.put_end
			WHERE patient_images.sha256 = excluded.sha256 AND patient_images.put_end < excluded.put_end`
	_, err := tx.Exec(insert, s.Study, s.PatientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name, int64(putEnd))
	return err
}

func findPatientImage(tx Tx, c Content) (sha256 string, found bool, err error) {
	const query = `SELECT sha256 FROM patient_images WHERE study = $1 AND patient_id = $2 AND image_id = $3`
	img := c.(PatientImage)
	rows, err := tx.Query(query, img.Study, img.PatientID, img.ImageID)
	if err != nil {
		return "", false, err
	}
	err = EachRow(rows, func() error {
		found = true
		return rows.Scan(&sha256)
	})
	return sha256, found, err
}

func completeCaseReport(tx Tx, id string, r Result) error {
	const update = `UPDATE case_reports SET pdf_sha256 = $1, pdf_bytes = $2, pdf_pages = $3, problems = $4 WHERE id = $5`
	result, ok := r.(CaseReportResult)
	if !ok {
		return fmt.Errorf("result of a case report is a %T", r)
	}
	problems, err := json.Marshal(append([]Problem{}, result.Problems...))
	if err != nil {
		return err
	}
	if _, err := tx.Exec(update, result.PDF.SHA256, result.PDF.Bytes, result.PDF.Pages, string(problems), id); err != nil {
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
			return fmt.Errorf("result has %d images, the report has %d", len(images), i)
		}
	}
	return nil
}

// loadCaseReports reads the reports and their images in two queries. The images of a report never change, and
// the results are written together with the status completed, so the two need no transaction around them.
func loadCaseReports(tx Tx, of []Stored) (map[string]Loaded, error) {
	in, args := InList(idsOf(of))
	stored := make(map[string]Stored, len(of))
	for _, s := range of {
		stored[s.ID] = s
	}
	reports, results := map[string]CaseReport{}, map[string]CaseReportResult{}
	rows, err := tx.Query(`SELECT id, notes, captured_at, pdf_sha256, pdf_bytes, pdf_pages, problems
		FROM case_reports WHERE id IN `+in, args...)
	if err != nil {
		return nil, err
	}
	err = EachRow(rows, func() error {
		r := CaseReport{Images: []Image{}}
		made := CaseReportResult{Images: []ImageResult{}}
		var problems string
		if err := rows.Scan(&r.ID, &r.Notes, &r.CapturedAt,
			&made.PDF.SHA256, &made.PDF.Bytes, &made.PDF.Pages, &problems); err != nil {
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
		results[r.ID] = made
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
			l.Result = made
		}
		loaded[id] = l
	}
	return loaded, nil
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
		if err := completeCaseReport(tx, done.ID, done.Result); err != nil {
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
