package tasks

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The tables of case reports are made by the store's migrations, since older data folders have them:
//
//	case_reports         content of a report, by id
//	case_report_images   its images, by report_id and n from 1
//	case_report_results  what an attempt made of it, by the sequence of the report
//	patient_images       every image that a subject has, by study, patient_id and image_id
//	finished_pictures    what earlier attempts made of images, by sha256 and options
//
// Results of versions before migration 13 stand in case_reports (pdf_sha256, pdf_bytes, pdf_pages, problems and check_sum) and in
// case_report_images (full_sha256 and what follows it). They are read there and no more written.

// A finished picture moves to its report when that is completed, and is not missed: it is looked for before.
var caseReportBlobs = []BlobColumns{
	{Table: "finished_pictures", Key: []string{"sha256", "options"}, Columns: []string{"full_sha256", "thumb_sha256"}},
	{Table: "case_report_results", Key: []string{"sequence"}, Columns: []string{"result"}, Digests: digestsOfResult},
	{Table: "case_reports", Key: []string{"id"}, Columns: []string{"pdf_sha256"}},
	{Table: "case_report_images", Key: []string{"report_id", "n"}, Columns: []string{"sha256", "full_sha256", "thumb_sha256"}},
}

// digestsOfResult are the blobs that a result names.
func digestsOfResult(text string) ([]string, error) {
	r, err := resultOf(text)
	if err != nil {
		return nil, err
	}
	digests := []string{r.PDF.SHA256}
	for _, img := range r.Images {
		digests = append(digests, img.Full.SHA256, img.Thumb.SHA256)
	}
	return digests, nil
}

func insertCaseReport(tx Tx, r Recorded) error {
	const insert = `INSERT INTO case_reports (id, notes, captured_at, images_end, images_end_check) VALUES ($1, $2, $3, $4, $5)`
	report := r.Content.(CaseReport)
	if _, err := tx.Exec(insert, report.ID, report.Notes, report.CapturedAt, int64(r.ImagesEnd), checkOf(int64(r.ImagesEnd))); err != nil {
		return err
	}
	first := 1
	for some := range slices.Chunk(report.Images, imagesTogether) {
		if err := insertImages(tx, report, first, some); err != nil {
			return err
		}
		first += len(some)
	}
	return nil
}

// imagesTogether is how many images of a report are written by one statement.
const imagesTogether = 8

// The texts that write n images together stand at n-1.
var (
	insertImagesOf      = textsOf(`INSERT INTO case_report_images (report_id, n, image_id, sha256, bytes, media_type, name) VALUES `, 7, ``)
	insertPatientImages = textsOf(`INSERT INTO patient_images (`+PatientImageColumns+`, put_end, put_end_check) VALUES `, 10,
		` ON CONFLICT (study, patient_id, image_id) DO UPDATE SET put_end = excluded.put_end, put_end_check = excluded.put_end_check
			WHERE patient_images.sha256 = excluded.sha256 AND patient_images.put_end < excluded.put_end`)
)

// textsOf are statements with one to imagesTogether rows of so many values.
func textsOf(insert string, values int, end string) []string {
	texts := make([]string, imagesTogether)
	for i := range texts {
		var b strings.Builder
		b.WriteString(insert)
		for n := range (i + 1) * values {
			switch {
			case n == 0:
				b.WriteString("(")
			case n%values == 0:
				b.WriteString("), (")
			default:
				b.WriteString(", ")
			}
			b.WriteString("$" + strconv.Itoa(n+1))
		}
		texts[i] = b.String() + ")" + end
	}
	return texts
}

// insertImages adds some of a report's images, the first of which stands at the position first, and makes them known under
// its subject.
func insertImages(tx Tx, report CaseReport, first int, images []Image) error {
	args := make([]any, 0, 7*len(images))
	for i, img := range images {
		args = append(args, report.ID, int64(first+i), img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name)
	}
	if _, err := tx.Exec(insertImagesOf[len(images)-1], args...); err != nil {
		return err
	}
	of := report.Header().Subject()
	args = make([]any, 0, 10*len(images))
	for _, img := range images {
		args = appendPatientImage(args, PatientImage{Study: of.Study, PatientID: of.PatientID, Image: img}, 0)
	}
	_, err := tx.Exec(insertPatientImages[len(images)-1], args...)
	return err
}

// insertPatientImage makes an image known that was put ahead of its report.
func insertPatientImage(tx Tx, r Recorded) error {
	_, err := tx.Exec(insertPatientImages[0], appendPatientImage(nil, r.Content.(PatientImage), r.Offset+1)...)
	return err
}

// appendPatientImage adds the values of a row that makes the image known under its subject; putEnd is the offset after the
// record that put it ahead, 0 if it came with a report. Putting the same image again makes it wait for a report again. Of two
// images with one id the first counts.
func appendPatientImage(args []any, img PatientImage, putEnd uint64) []any {
	return append(args, img.Study, img.PatientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name, img.checkSum(),
		int64(putEnd), checkOf(int64(putEnd)))
}

// checkOf is kept beside a number by which an original is found to be needed no more, so that a change of either is noticed.
func checkOf(n int64) int64 { return -1 - n }

// ScanChecked reads a number and the check that stands beside it. ErrChanged if one of them is not as it was written.
func ScanChecked(rows *sql.Rows) (n int64, err error) {
	var check int64
	if err := rows.Scan(&n, &check); err != nil {
		return 0, err
	}
	return n, verifyNumber(n, check)
}

func verifyNumber(n, check int64) error {
	if n < 0 || check != checkOf(n) {
		return fmt.Errorf("%w: a number by which an original is found to be needed no more is %d, and its check %d", ErrChanged, n, check)
	}
	return nil
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
	result, ok := r.(CaseReportResult)
	if !ok {
		return wrongResult("a case report", r, result)
	}
	return keepCaseReport(tx, id, result, len(result.Images))
}

// keepCaseReport keeps the result of a report that has as many images as the result, or more than those, up to most. Of a record in
// the log it takes one with fewer images, as earlier versions may have kept it: to refuse it would stop all records behind it.
func keepCaseReport(tx Tx, id string, result CaseReportResult, most int) error {
	const insert = `INSERT INTO case_report_results (sequence, result, check_sum)
		SELECT sequence, $1, $2 FROM submissions WHERE kind = 'case-report' AND id = $3
			AND EXISTS (SELECT 1 FROM case_reports WHERE id = $3)
			AND (SELECT COUNT(*) FROM case_report_images WHERE report_id = $3) BETWEEN $4 AND $5
		ON CONFLICT (sequence) DO UPDATE SET result = excluded.result, check_sum = excluded.check_sum`
	// No list is null, so that a result comes back as it was kept.
	result.Images, result.Problems = append([]ImageResult{}, result.Images...), append([]Problem{}, result.Problems...)
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	n, err := tx.Exec(insert, string(text), checkSumOfResult(id, string(text)), id, len(result.Images), most)
	if err != nil {
		return err
	}
	if n == 0 {
		return notKept(tx, id, len(result.Images))
	}
	return nil
}

// forgetFinishedPictures deletes the pictures that were kept between attempts at a report, which is completed: they have served.
func forgetFinishedPictures(tx Tx, id string) error {
	const forget = `DELETE FROM finished_pictures WHERE sha256 IN (SELECT sha256 FROM case_report_images WHERE report_id = $1)`
	_, err := tx.Exec(forget, id)
	return err
}

// notKept says why no row took a result with so many images.
func notKept(tx Tx, id string, images int) error {
	rows, err := tx.Query(`SELECT (SELECT COUNT(*) FROM case_report_images WHERE report_id = $1) FROM case_reports WHERE id = $1`, id)
	if err != nil {
		return err
	}
	there, has := false, 0
	if err := EachRow(rows, func() error { there = true; return rows.Scan(&has) }); err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%w: the row of report %s is gone", ErrChanged, id)
	}
	return fmt.Errorf("the result has %d images, the report has %d: there must be one for each", images, has)
}

// checkSumOfResult is also of the id, so that the result of another report is not taken for it where a sequence has changed.
func checkSumOfResult(id, text string) int64 { return CheckSum([]byte(id + "\n" + text)) }

func resultOf(text string) (r CaseReportResult, err error) {
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return CaseReportResult{}, fmt.Errorf("%w: a result that is no JSON: %w", ErrChanged, err)
	}
	return r, nil
}

// loadCaseReports reads contents and results one after the other. Neither ever changes, and a result is written together with the
// status completed, so the reads need no transaction around them.
func loadCaseReports(tx Tx, of []Stored) (map[string]Loaded, error) {
	loaded, err := loadContents(tx, of)
	if err != nil {
		return nil, err
	}
	var completed []string
	for _, s := range of {
		if _, ok := loaded[s.ID]; ok && s.Completed {
			completed = append(completed, s.ID)
		}
	}
	for _, load := range []func(Tx, []string) (map[string]CaseReportResult, error){loadResults, loadEarlierResults} {
		if len(completed) == 0 {
			break
		}
		results, err := load(tx, completed)
		if err != nil {
			return nil, err
		}
		completed = slices.DeleteFunc(completed, func(id string) bool {
			made, ok := results[id]
			if ok {
				loaded[id] = Loaded{loaded[id].Content, made}
			}
			return ok
		})
	}
	return loaded, nil
}

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

// loadResults reads what stands in case_report_results of the reports.
func loadResults(tx Tx, ids []string) (map[string]CaseReportResult, error) {
	in, args := InList(ids)
	rows, err := tx.Query(`SELECT s.id, r.result, r.check_sum FROM submissions s JOIN case_report_results r ON r.sequence = s.sequence
		WHERE s.id IN `+in+` AND s.kind = 'case-report'`, args...)
	if err != nil {
		return nil, err
	}
	results := make(map[string]CaseReportResult, len(ids))
	err = EachRow(rows, func() error {
		var id, text string
		var sum int64
		if err := rows.Scan(&id, &text, &sum); err != nil {
			return err
		}
		if sum != checkSumOfResult(id, text) {
			return fmt.Errorf("result of report %s: %w", id, ErrChanged)
		}
		made, err := resultOf(text)
		if err != nil {
			return fmt.Errorf("result of report %s: %w", id, err)
		}
		results[id] = made
		return nil
	})
	return results, err
}

// loadEarlierResults reads the results that versions before migration 13 have kept.
func loadEarlierResults(tx Tx, ids []string) (map[string]CaseReportResult, error) {
	in, args := InList(ids)
	results, sums := map[string]CaseReportResult{}, map[string]int64{}
	// Each has a PDF. Without this condition a report whose result is lost would have an empty one.
	rows, err := tx.Query(`SELECT id, pdf_sha256, pdf_bytes, pdf_pages, problems, check_sum
		FROM case_reports WHERE id IN `+in+` AND (pdf_sha256 <> '' OR check_sum <> 0)`, args...)
	if err != nil {
		return nil, err
	}
	err = EachRow(rows, func() error {
		made := CaseReportResult{Images: []ImageResult{}}
		var id, problems string
		var sum int64
		if err := rows.Scan(&id, &made.PDF.SHA256, &made.PDF.Bytes, &made.PDF.Pages, &problems, &sum); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(problems), &made.Problems); err != nil {
			return fmt.Errorf("problems of report %s: %w", id, err)
		}
		results[id], sums[id] = made, sum
		return nil
	})
	if err == nil {
		err = loadEarlierImages(tx, in, args, results)
	}
	if err != nil {
		return nil, err
	}
	for id, made := range results {
		if err := made.verify(sums[id]); err != nil {
			return nil, fmt.Errorf("result of report %s: %w", id, err)
		}
	}
	return results, nil
}

// verify returns ErrChanged if the result is not the one that the sum was made of: of its JSON, whose lists are never null.
func (r CaseReportResult) verify(sum int64) error {
	if sum == 0 {
		return nil
	}
	r.Images, r.Problems = append([]ImageResult{}, r.Images...), append([]Problem{}, r.Problems...)
	text, err := json.Marshal(r)
	if err == nil && CheckSum(text) != sum {
		err = ErrChanged
	}
	return err
}

func loadEarlierImages(tx Tx, in string, args []any, results map[string]CaseReportResult) error {
	rows, err := tx.Query(`SELECT report_id, full_sha256, full_bytes, thumb_sha256, thumb_bytes, width, height,
			full_media_type, source_width, source_height, taken_at, removed, damaged
		FROM case_report_images WHERE report_id IN `+in+` ORDER BY report_id, n`, args...)
	if err != nil {
		return err
	}
	return EachRow(rows, func() error {
		var id, removed string
		var made ImageResult
		if err := rows.Scan(&id, &made.Full.SHA256, &made.Full.Bytes, &made.Thumb.SHA256, &made.Thumb.Bytes, &made.Width, &made.Height,
			&made.MediaType, &made.SourceWidth, &made.SourceHeight, &made.CapturedAt, &removed, &made.Damaged); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(removed), &made.Removed); err != nil {
			return fmt.Errorf("removed tags of an image of report %s: %w", id, err)
		}
		if len(made.Removed) == 0 {
			made.Removed = nil
		}
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
		if err := keepCaseReport(tx, done.ID, done.Result, math.MaxInt); err != nil {
			return err
		}
		if err := forgetFinishedPictures(tx, done.ID); err != nil {
			return err
		}
	}
	return release(tx, done.ID, done.Released)
}

func release(tx Tx, id string, images []int) error {
	const end = `SELECT images_end, images_end_check FROM case_reports WHERE id = $1`
	const mine = `UPDATE case_report_images SET released = 1, released_check = -2 WHERE report_id = $1 AND n = $2`
	// What the id stands for may be another image than that of the report: it waits for its own.
	const ahead = `UPDATE patient_images SET put_end = 0, put_end_check = -1
		WHERE (study, patient_id, image_id, sha256) IN (
			SELECT s.study, s.patient_id, i.image_id, i.sha256 FROM submissions s JOIN case_report_images i ON i.report_id = s.id
			WHERE s.kind = 'case-report' AND s.id = $1 AND i.n = $2)
		AND put_end > 0 AND put_end <= $3 AND put_end + put_end_check = -1`
	rows, err := tx.Query(end, id)
	if err != nil {
		return err
	}
	var imagesEnd int64
	if err := EachRow(rows, func() (err error) { imagesEnd, err = ScanChecked(rows); return err }); err != nil {
		return fmt.Errorf("report %s: %w", id, err)
	}
	for _, n := range images {
		if _, err := tx.Exec(mine, id, n); err != nil {
			return err
		}
		if _, err := tx.Exec(ahead, id, n, imagesEnd); err != nil {
			return err
		}
	}
	return nil
}

// verifyReleases looks at the numbers by which originals are found to be needed no more.
func verifyReleases(tx Tx) error {
	for _, query := range []string{
		`SELECT images_end, images_end_check FROM case_reports WHERE images_end + images_end_check <> -1 OR images_end < 0 LIMIT 1`,
		`SELECT released, released_check FROM case_report_images WHERE released + released_check <> -1 OR released < 0 LIMIT 1`,
		`SELECT put_end, put_end_check FROM patient_images WHERE put_end + put_end_check <> -1 OR put_end < 0 LIMIT 1`,
	} {
		rows, err := tx.Query(query)
		if err != nil {
			return err
		}
		if err := EachRow(rows, func() error { _, err := ScanChecked(rows); return err }); err != nil {
			return err
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
