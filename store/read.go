package store

import (
	"context"
	"database/sql"
	"fmt"

	"casepress/tasks"
)

// CaseReport returns the report with this id, or [ErrNotFound].
func (s *Store) CaseReport(ctx context.Context, id string) (Row, error) {
	row, err := readReport(ctx, s.queries, id)
	if err != nil {
		return Row{}, fmt.Errorf("case report %s: %w", id, err)
	}
	s.claims.showIn(&row)
	return row, nil
}

func readReport(ctx context.Context, on *statements, id string) (Row, error) {
	const report = `SELECT ` + reportColumns + ` FROM case_reports WHERE id = $1`
	const images = `SELECT ` + imageColumns + ` FROM case_report_images WHERE report_id = $1 ORDER BY n`
	rows, err := on.query(ctx, report, id)
	if err != nil {
		return Row{}, err
	}
	found, err := collect(rows, scanReport)
	if err != nil {
		return Row{}, err
	}
	if len(found) == 0 {
		return Row{}, ErrNotFound
	}
	row := found[0]
	if rows, err = on.query(ctx, images, id); err != nil {
		return Row{}, err
	}
	parts, err := collect(rows, scanImage)
	if err != nil {
		return Row{}, err
	}
	for _, part := range parts {
		row.add(part)
	}
	return row, nil
}

// Image returns the image that a patient has under this id, or [ErrNotFound].
func (s *Store) Image(ctx context.Context, patientID, imageID string) (tasks.Image, error) {
	const query = `SELECT image_id, sha256, bytes, media_type, name FROM patient_images
		WHERE patient_id = $1 AND image_id = $2`
	img, err := s.oneImage(ctx, query, patientID, imageID)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("image %s: %w", imageID, err)
	}
	return img, nil
}

func (s *Store) oneImage(ctx context.Context, query string, args ...any) (tasks.Image, error) {
	rows, err := s.queries.query(ctx, query, args...)
	if err != nil {
		return tasks.Image{}, err
	}
	found, err := collect(rows, func(rows *sql.Rows) (img tasks.Image, err error) {
		err = rows.Scan(&img.ImageID, &img.SHA256, &img.Bytes, &img.MediaType, &img.Name)
		return img, err
	})
	if err != nil {
		return tasks.Image{}, err
	}
	if len(found) == 0 {
		return tasks.Image{}, ErrNotFound
	}
	return found[0], nil
}

const anyQuery = `SELECT 1 FROM case_reports UNION ALL SELECT 1 FROM patient_images LIMIT 1`

// Empty reports whether there is no row at all: nothing was ever recorded, or the
// database was lost.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	found, err := s.any(ctx, anyQuery)
	if err != nil {
		return false, fmt.Errorf("empty: %w", err)
	}
	return !found, nil
}

const countQuery = `SELECT status, COUNT(*) FROM case_reports GROUP BY status`

// Counts returns how many reports have each status; every status is there.
func (s *Store) Counts(ctx context.Context) (map[tasks.Status]int, error) {
	counts := map[tasks.Status]int{
		tasks.Accepted: 0, tasks.Processing: 0, tasks.Retrying: 0, tasks.Completed: 0, tasks.Failed: 0,
	}
	rows, err := s.queries.query(ctx, countQuery)
	if err != nil {
		return nil, fmt.Errorf("counts: %w", err)
	}
	_, err = collect(rows, func(rows *sql.Rows) (status tasks.Status, err error) {
		var n int
		err = rows.Scan(&status, &n)
		counts[status] = n
		return status, err
	})
	if err != nil {
		return nil, fmt.Errorf("counts: %w", err)
	}
	return counts, nil
}
