package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"casepress/tasks"
)

// Row is a case report and where it stands. All times are UTC to the
// microsecond, and zero if there is none.
type Row struct {
	tasks.CaseReport
	// SHA256 is the digest of the report as accepted.
	SHA256 string
	// Sequence is the offset of the report's record in the log.
	Sequence uint64
	// ReceivedAt is when the report was accepted, CreatedAt when this row was made.
	ReceivedAt, CreatedAt time.Time
	// StartedAt is when the latest attempt began, FinishedAt when the report
	// was completed or failed.
	StartedAt, FinishedAt time.Time
	Status                tasks.Status
	// Attempts counts every attempt except those given back by Unclaim.
	Attempts int
	// BaseAttempts is what Attempts was at the latest retry call: the attempts
	// that count against the budget are Attempts - BaseAttempts.
	BaseAttempts int
	// Done and Total are the progress of the latest attempt.
	Done, Total int
	// Result is zero until the report is completed.
	Result tasks.Result
	// Error is why the latest attempt failed, without patient data.
	Error string
	// NextAttempt is set while the status is retrying.
	NextAttempt time.Time
	// Version grows with every change; two reads with the same version are equal.
	Version int64
}

// progressBits is the part of Row.Version that counts progress within one claim.
// The rest is the row's own version, so that progress lost at a restart cannot
// make two different states look the same.
const progressBits = 20

const reportColumns = `id, sequence, sha256, patient_id, visit_id, notes, captured_at,
	received_at, created_at, started_at, finished_at, next_attempt_at, status, attempts, base_attempts,
	done, total, error, pdf_sha256, pdf_bytes, pdf_pages, problems, version`

// scanReport reads reportColumns. The images come later, from [imageRow].
func scanReport(rows *sql.Rows) (Row, error) {
	var (
		r                                        Row
		received, created, started, ended, again int64
		doc                                      tasks.Document
		problems                                 string
		version                                  int64
	)
	err := rows.Scan(&r.ID, &r.Sequence, &r.SHA256, &r.PatientID, &r.VisitID, &r.Notes, &r.CapturedAt,
		&received, &created, &started, &ended, &again, &r.Status, &r.Attempts, &r.BaseAttempts,
		&r.Done, &r.Total, &r.Error, &doc.SHA256, &doc.Bytes, &doc.Pages, &problems, &version)
	if err != nil {
		return Row{}, err
	}
	r.ReceivedAt, r.CreatedAt = fromMicros(received), fromMicros(created)
	r.StartedAt, r.FinishedAt, r.NextAttempt = fromMicros(started), fromMicros(ended), fromMicros(again)
	r.Version = version << progressBits
	r.Images = []tasks.Image{}
	if r.Status == tasks.Completed {
		r.Result = tasks.Result{Images: []tasks.ImageResult{}, Report: doc}
		if err := json.Unmarshal([]byte(problems), &r.Result.Problems); err != nil {
			return Row{}, fmt.Errorf("problems of report %s: %w", r.ID, err)
		}
	}
	return r, nil
}

const imageColumns = `report_id, image_id, sha256, bytes, media_type, name,
	full_sha256, full_bytes, thumb_sha256, thumb_bytes, width, height,
	full_media_type, source_width, source_height, taken_at, removed, damaged`

// imageRow is one image of a report and what became of it.
type imageRow struct {
	reportID string
	image    tasks.Image
	result   tasks.ImageResult
}

func scanImage(rows *sql.Rows) (imageRow, error) {
	var r imageRow
	var removed string
	err := rows.Scan(&r.reportID, &r.image.ImageID, &r.image.SHA256, &r.image.Bytes, &r.image.MediaType, &r.image.Name,
		&r.result.Full.SHA256, &r.result.Full.Bytes, &r.result.Thumb.SHA256, &r.result.Thumb.Bytes,
		&r.result.Width, &r.result.Height,
		&r.result.MediaType, &r.result.SourceWidth, &r.result.SourceHeight, &r.result.CapturedAt, &removed, &r.result.Damaged)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(removed), &r.result.Removed); err != nil {
		return r, fmt.Errorf("removed tags of an image of report %s: %w", r.reportID, err)
	}
	if len(r.result.Removed) == 0 {
		r.result.Removed = nil
	}
	return r, nil
}

// add appends the next image. The images of a report never change, and their
// results only matter once it is completed: so the two reads need no
// transaction around them.
func (r *Row) add(i imageRow) {
	r.Images = append(r.Images, i.image)
	if r.Status == tasks.Completed {
		r.Result.Images = append(r.Result.Images, i.result)
	}
}

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
