package store

import (
	"context"
	"encoding/json"
	"slices"
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

// Original returns an image with this digest as it was handed in, whoever did, or [ErrNotFound] if
// nobody has.
func (s *Store) Original(ctx context.Context, sha256 string) (tasks.Image, error) {
	const query = `SELECT ` + tasks.PatientImageColumns + ` FROM patient_images WHERE sha256 = $1 LIMIT 1`
	img, err := s.oneImage(ctx, query, sha256)
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

// unneededQuery asks of one original whether a report has released it, every report with it has, and it
// waits for no report to come.
const unneededQuery = `SELECT 1
	WHERE EXISTS (SELECT 1 FROM case_report_images WHERE sha256 = $1 AND released = 1)
	AND NOT EXISTS (SELECT 1 FROM case_report_images WHERE sha256 = $1 AND released = 0)
	AND NOT EXISTS (SELECT 1 FROM patient_images WHERE sha256 = $1 AND put_end > 0)`

// Unneeded returns those of the originals, named by their digest, that have served every report they
// came with. One that no row knows is not among them. The rows must be up to date.
func (s *Store) Unneeded(ctx context.Context, originals []string) (unneeded []string, err error) {
	for _, sha256 := range originals {
		yes, err := exists(s.reading(ctx), unneededQuery, sha256)
		if err != nil {
			return nil, s.explain(err, "unneeded originals")
		}
		if yes {
			unneeded = append(unneeded, sha256)
		}
	}
	return unneeded, nil
}

// maxBlobsAtOnce bounds the parameters of one query of [Store.Unknown].
const maxBlobsAtOnce = 256

// Unknown returns those of the blobs, named by their digest, that no row names at all, in no column that
// a kind has for them ([tasks.Rows]). A blob that was just stored and waits to be named is among them, and
// the rows must be up to date.
func (s *Store) Unknown(ctx context.Context, blobs []string) (unknown []string, err error) {
	for some := range slices.Chunk(blobs, maxBlobsAtOnce) {
		named := make(map[string]bool)
		for _, kind := range tasks.Kinds() {
			for _, column := range kind.Rows.Blobs {
				if err := s.named(ctx, column, some, named); err != nil {
					return nil, s.explain(err, "unknown blobs")
				}
			}
		}
		for _, sha256 := range some {
			if !named[sha256] {
				unknown = append(unknown, sha256)
			}
		}
	}
	return unknown, nil
}

// named adds those of the blobs that the column names.
func (s *Store) named(ctx context.Context, column tasks.Column, blobs []string, named map[string]bool) error {
	query, args := namedQuery(column, blobs)
	rows, err := s.queries.query(ctx, query, args...)
	if err != nil {
		return err
	}
	return tasks.EachRow(rows, func() error {
		var sha256 string
		err := rows.Scan(&sha256)
		named[sha256] = true
		return err
	})
}

// EachBlob calls visit with the digest of every blob that a row names, some at a time, until it has seen all or visit
// returns an error. One that rows of several kinds or columns name comes more than once.
func (s *Store) EachBlob(ctx context.Context, visit func(digests []string) error) error {
	for _, kind := range tasks.Kinds() {
		for _, column := range kind.Rows.Blobs {
			for after := ""; ; {
				digests, err := s.blobsAfter(ctx, column, after)
				if err != nil {
					return s.explain(err, "blobs of %s", column.Table)
				}
				if len(digests) == 0 {
					break
				}
				if err := visit(digests); err != nil {
					return err
				}
				after = digests[len(digests)-1]
			}
		}
	}
	return nil
}

// blobsAfter are the next blobs that a column names, in order.
func (s *Store) blobsAfter(ctx context.Context, column tasks.Column, after string) (digests []string, err error) {
	rows, err := s.queries.query(ctx, blobsAfterQuery(column), after, maxBlobsAtOnce)
	if err != nil {
		return nil, err
	}
	err = tasks.EachRow(rows, func() error {
		var sha256 string
		err := rows.Scan(&sha256)
		digests = append(digests, sha256)
		return err
	})
	return digests, err
}

// blobsAfterQuery excludes the empty text so that an index without it can be used.
func blobsAfterQuery(column tasks.Column) string {
	return `SELECT DISTINCT ` + column.Name + ` FROM ` + column.Table +
		` WHERE ` + column.Name + ` <> '' AND ` + column.Name + ` > $1 ORDER BY ` + column.Name + ` LIMIT $2`
}

// namedQuery excludes the empty text, so that an index without it can be used.
func namedQuery(column tasks.Column, blobs []string) (query string, args []any) {
	in, args := tasks.InList(blobs)
	return `SELECT ` + column.Name + ` FROM ` + column.Table +
		` WHERE ` + column.Name + ` <> '' AND ` + column.Name + ` IN ` + in, args
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

// KeepPicture keeps what an attempt made of the original with these options, for the next attempt.
func (s *Store) KeepPicture(ctx context.Context, sha256, options string, r tasks.ImageResult) error {
	const keep = `INSERT INTO finished_pictures (sha256, options, result, full_sha256, thumb_sha256, made_at, check_sum)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (sha256, options) DO UPDATE SET result = excluded.result, check_sum = excluded.check_sum,
			full_sha256 = excluded.full_sha256, thumb_sha256 = excluded.thumb_sha256, made_at = excluded.made_at`
	result, err := json.Marshal(r)
	if err == nil {
		err = s.write(ctx, func(c *change) error {
			_, err := c.Exec(keep, sha256, options, string(result), r.Full.SHA256, r.Thumb.SHA256, micros(time.Now()), tasks.CheckSum(result))
			return err
		})
	}
	if err != nil {
		return s.explain(err, "keep picture of %s", sha256)
	}
	return nil
}
