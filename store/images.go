package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"casepress/tasks"
)

// Image returns the image that a subject has under this id, or [ErrNotFound].
func (s *Store) Image(ctx context.Context, of tasks.Subject, imageID string) (tasks.Image, error) {
	const query = `SELECT ` + tasks.PatientImageColumns + ` FROM patient_images
		WHERE study = $1 AND patient_id = $2 AND image_id = $3`
	img, err := s.oneImage(ctx, query, of.Study, of.PatientID, imageID)
	if err != nil {
		return tasks.Image{}, s.explain(err, "image %s", imageID)
	}
	return img, nil
}

const (
	// waitingQuery finds an original that waits for its report by itself.
	waitingQuery = `SELECT ` + tasks.PatientImageColumns + ` FROM patient_images
		WHERE sha256 = $1 AND (put_end <> 0 OR put_end_check <> -1) LIMIT 1`
	// reportedQuery finds one by a report that has it.
	reportedQuery = `SELECT p.study, p.patient_id, p.image_id, p.sha256, p.bytes, p.media_type, p.name, p.check_sum
		FROM case_report_images i JOIN submissions s ON s.kind = 'case-report' AND s.id = i.report_id
			JOIN patient_images p ON p.study = s.study AND p.patient_id = s.patient_id AND p.image_id = i.image_id
		WHERE i.sha256 = $1 AND p.sha256 = $1 LIMIT 1`
)

// Original returns an image with this digest as it was handed in, whoever did, or [ErrNotFound] if
// nobody has.
func (s *Store) Original(ctx context.Context, sha256 string) (tasks.Image, error) {
	img, err := s.oneImage(ctx, waitingQuery, sha256)
	if errors.Is(err, ErrNotFound) { // what stops waiting while we look is in a report already
		img, err = s.oneImage(ctx, reportedQuery, sha256)
	}
	if err != nil {
		return tasks.Image{}, s.explain(err, "original %s", sha256)
	}
	return img, nil
}

func (s *Store) oneImage(ctx context.Context, query string, args ...any) (img tasks.Image, err error) {
	rows, err := s.queries.query(ctx, query, args...)
	if err != nil {
		return tasks.Image{}, err
	}
	err = tasks.EachRow(rows, func() error {
		found, err := tasks.ScanPatientImage(rows)
		img = found.Image
		return err
	})
	if err == nil && img.SHA256 == "" {
		err = ErrNotFound
	}
	return img, err
}

const (
	// releasedQuery gives each image of a report that is this original.
	releasedQuery = `SELECT released, released_check FROM case_report_images WHERE sha256 = $1`
	// waitsQuery gives each image of a subject that is this original and waits for a report to come, and those of which it
	// is not clear.
	waitsQuery = `SELECT put_end, put_end_check FROM patient_images WHERE sha256 = $1 AND (put_end <> 0 OR put_end_check <> -1)`
)

// Unneeded returns those of the originals, named by their digest, that have served every report they
// came with. One that no row knows is not among them. The rows must be up to date. [ErrDamaged] if a number that says so
// is not as it was written: nothing is to be deleted for it.
func (s *Store) Unneeded(ctx context.Context, originals []string) (unneeded []string, err error) {
	for _, sha256 := range originals {
		yes, err := isUnneeded(s.reading(ctx), sha256)
		if err != nil {
			return nil, s.explain(err, "unneeded originals")
		}
		if yes {
			unneeded = append(unneeded, sha256)
		}
	}
	return unneeded, nil
}

// isUnneeded reports whether a report has released the original, every report with it has, and it waits for no report to come.
func isUnneeded(tx tasks.Tx, sha256 string) (bool, error) {
	released, waits := false, false
	err := eachChecked(tx, releasedQuery, sha256, func(n int64) { released, waits = released || n == 1, waits || n != 1 })
	if err != nil || !released || waits {
		return false, err
	}
	err = eachChecked(tx, waitsQuery, sha256, func(int64) { waits = true })
	return !waits, err
}

// eachChecked calls do with each number that the query gives, beside which its check stands.
func eachChecked(tx tasks.Tx, query, sha256 string, do func(n int64)) error {
	rows, err := tx.Query(query, sha256)
	if err != nil {
		return err
	}
	return tasks.EachRow(rows, func() error {
		n, err := tasks.ScanChecked(rows)
		if err == nil {
			do(n)
		}
		return err
	})
}

// FinishedPicture returns what an earlier attempt made of the original with these options, if one did and
// no report with it has been completed since.
func (s *Store) FinishedPicture(ctx context.Context, sha256, options string) (r tasks.ImageResult, ok bool, err error) {
	const query = `SELECT result, check_sum FROM finished_pictures WHERE sha256 = $1 AND options = $2`
	rows, err := s.queries.query(ctx, query, sha256, options)
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			var result string
			var sum int64
			if err := rows.Scan(&result, &sum); err != nil {
				return err
			}
			if sum != 0 && sum != tasks.CheckSum([]byte(result)) {
				return tasks.ErrChanged
			}
			ok = true
			return json.Unmarshal([]byte(result), &r)
		})
	}
	if err != nil {
		return tasks.ImageResult{}, false, s.explain(err, "finished picture of %s", sha256)
	}
	return r, ok, nil
}

// hasPictures reports whether an earlier process has left finished pictures.
func hasPictures(ctx context.Context, db *sql.DB) (has bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM finished_pictures)`).Scan(&has)
	return has, err
}

// KeepPicture keeps what an attempt made of the original with these options, for the next attempt.
func (s *Store) KeepPicture(ctx context.Context, sha256, options string, r tasks.ImageResult) error {
	const keep = `INSERT INTO finished_pictures (sha256, options, result, full_sha256, thumb_sha256, made_at, check_sum)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (sha256, options) DO UPDATE SET result = excluded.result, check_sum = excluded.check_sum,
			full_sha256 = excluded.full_sha256, thumb_sha256 = excluded.thumb_sha256, made_at = excluded.made_at`
	result, err := json.Marshal(r)
	if err == nil {
		err = s.write(ctx, func(c *change) error {
			s.pictures.Store(true)
			_, err := c.Exec(keep, sha256, options, string(result), r.Full.SHA256, r.Thumb.SHA256, micros(time.Now()), tasks.CheckSum(result))
			return err
		})
	}
	if err != nil {
		return s.explain(err, "keep picture of %s", sha256)
	}
	return nil
}
