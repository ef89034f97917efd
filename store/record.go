package store

import (
	"context"
	"fmt"
	"time"

	"casepress/tasks"
)

// Recorded is a submission and the offset at which the log keeps it.
type Recorded struct {
	Offset     uint64
	Submission tasks.Submission
}

// Record turns a batch of the log into rows: all of it or nothing. A case report
// becomes a row that is accepted, and its images become known under their
// patient; an image becomes known under its patient and waits for a report; a
// retry sends a failed report back to accepted; a completion completes a report
// that is not, and releases originals. It may be given the same records again, also as part
// of another batch: the second time changes nothing. Of two records with the
// same id, or the same patient and image id, the first one counts.
func (s *Store) Record(ctx context.Context, batch []Recorded) error {
	if len(batch) == 0 {
		return nil
	}
	err := s.write(ctx, func(c *change) error {
		now := micros(time.Now())
		for _, r := range batch {
			if err := c.record(r, now); err != nil {
				return fmt.Errorf("offset %d: %w", r.Offset, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

func (c *change) record(r Recorded, now int64) error {
	switch sub := r.Submission; sub.Kind {
	case tasks.KindCaseReport:
		return c.recordReport(r, now)
	case tasks.KindImage:
		return c.recordImage(sub.Image.PatientID, sub.Image.Image, r.Offset+1)
	case tasks.KindRetry:
		return c.recordRetry(*sub.Retry)
	case tasks.KindCompletion:
		return c.recordCompletion(*sub.Completion)
	default:
		return fmt.Errorf("unknown kind %q", sub.Kind)
	}
}

func (c *change) recordReport(r Recorded, now int64) error {
	const insert = `INSERT INTO case_reports (id, sequence, sha256, patient_id, visit_id, notes, captured_at,
			received_at, created_at, images_end, status)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'accepted')
		ON CONFLICT (id) DO NOTHING`
	report := r.Submission.CaseReport
	n, err := c.affects(insert, report.ID, int64(r.Offset), r.Submission.SHA256, report.PatientID, report.VisitID,
		report.Notes, report.CapturedAt, micros(r.Submission.ReceivedAt), now, int64(r.Submission.ImagesEnd))
	if err != nil {
		return err
	}
	if n == 0 {
		return nil // recorded before, and its images with it
	}
	const insertImage = `INSERT INTO case_report_images (report_id, n, image_id, sha256, bytes, media_type, name)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	for i, img := range report.Images {
		if _, err := c.exec(insertImage, report.ID, i+1, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name); err != nil {
			return err
		}
		if err := c.recordImage(report.PatientID, img, 0); err != nil {
			return err
		}
	}
	c.rows = append(c.rows, report.ID)
	return nil
}

// recordImage makes the image known; putEnd is the offset after the record that
// put it ahead, 0 if it came with a report. Putting the same image again makes it
// wait again.
func (c *change) recordImage(patientID string, img tasks.Image, putEnd uint64) error {
	const insert = `INSERT INTO patient_images (patient_id, image_id, sha256, bytes, media_type, name, put_end)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (patient_id, image_id) DO UPDATE SET put_end = excluded.put_end
			WHERE patient_images.sha256 = excluded.sha256 AND patient_images.put_end < excluded.put_end`
	_, err := c.exec(insert, patientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name, int64(putEnd))
	return err
}

// recordRetry does nothing unless the report still stands failed at the attempt
// the retry names. Attempts go on counting, so a late worker of an attempt
// before the retry can never pass for one after it.
func (c *change) recordRetry(r tasks.Retry) error {
	const update = `UPDATE case_reports
		SET status = 'accepted', base_attempts = attempts, started_at = 0, finished_at = 0,
			done = 0, total = 0, error = '', version = version + 1
		WHERE id = $1 AND attempts = $2 AND status = 'failed'`
	n, err := c.affects(update, r.ID, r.Attempt)
	if err != nil {
		return err
	}
	if n > 0 {
		c.rows = append(c.rows, r.ID)
	}
	return nil
}
