package store

import (
	"context"
	"database/sql"
	"fmt"

	"casepress/tasks"
)

// recordCompletion completes a report that is not completed: its row was lost and
// made again. A completed one keeps its row. Either way the originals that the
// completion names are released, and so are images put ahead for this report.
func (c *change) recordCompletion(done tasks.Completion) error {
	const take = `UPDATE case_reports
		SET status = 'processing', attempts = $1, started_at = $2, next_attempt_at = 0, version = version + 1
		WHERE id = $3 AND status <> 'completed'`
	n, err := c.affects(take, done.Attempt, micros(done.StartedAt), done.ID)
	if err != nil {
		return err
	}
	if n > 0 {
		steps := len(done.Result.Images) + 1
		if _, err := c.complete(done.ID, done.Attempt, done.FinishedAt, steps, steps, done.Result); err != nil {
			return err
		}
		c.rows = append(c.rows, done.ID)
	}
	return c.release(done.ID, done.Released)
}

func (c *change) release(id string, images []int) error {
	const mine = `UPDATE case_report_images SET released = 1 WHERE report_id = $1 AND n = $2`
	const ahead = `UPDATE patient_images SET put_end = 0
		WHERE (patient_id, image_id) IN (
			SELECT r.patient_id, i.image_id FROM case_reports r JOIN case_report_images i ON i.report_id = r.id
			WHERE r.id = $1 AND i.n = $2)
		AND put_end <= (SELECT images_end FROM case_reports WHERE id = $1)`
	for _, n := range images {
		for _, query := range []string{mine, ahead} {
			if _, err := c.exec(query, id, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// unneededQuery asks of one original whether a report has released it, every
// report with it has, and it waits for no report to come.
const unneededQuery = `SELECT 1
	WHERE EXISTS (SELECT 1 FROM case_report_images WHERE sha256 = $1 AND released = 1)
	AND NOT EXISTS (SELECT 1 FROM case_report_images WHERE sha256 = $1 AND released = 0)
	AND NOT EXISTS (SELECT 1 FROM patient_images WHERE sha256 = $1 AND put_end > 0)`

// Unneeded returns those of the originals, named by their digest, that have
// served every report they came with. One that no row knows is not among them.
// The rows must be up to date.
func (s *Store) Unneeded(ctx context.Context, originals []string) (unneeded []string, err error) {
	for _, sha256 := range originals {
		found, err := s.any(ctx, unneededQuery, sha256)
		if err != nil {
			return nil, fmt.Errorf("unneeded originals: %w", err)
		}
		if found {
			unneeded = append(unneeded, sha256)
		}
	}
	return unneeded, nil
}

func (s *Store) any(ctx context.Context, query string, args ...any) (bool, error) {
	rows, err := s.queries.query(ctx, query, args...)
	if err != nil {
		return false, err
	}
	found, err := collect(rows, func(rows *sql.Rows) (one int, err error) { return one, rows.Scan(&one) })
	return len(found) > 0, err
}

// Original returns an image with this digest as it was handed in, whoever did,
// or [ErrNotFound] if nobody has.
func (s *Store) Original(ctx context.Context, sha256 string) (tasks.Image, error) {
	const query = `SELECT image_id, sha256, bytes, media_type, name FROM patient_images WHERE sha256 = $1 LIMIT 1`
	img, err := s.oneImage(ctx, query, sha256)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("original: %w", err)
	}
	return img, nil
}

// Waits reports whether the patient's image was put ahead and no report with it
// has released it since.
func (s *Store) Waits(ctx context.Context, patientID, imageID string) (bool, error) {
	const query = `SELECT 1 FROM patient_images WHERE patient_id = $1 AND image_id = $2 AND put_end > 0`
	waits, err := s.any(ctx, query, patientID, imageID)
	if err != nil {
		return false, fmt.Errorf("waiting image: %w", err)
	}
	return waits, nil
}
