package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"casepress/tasks"
)

// Claim gives the caller the report's next attempt: Attempts of the row it
// returns is the attempt number that every later call must name. A report that
// is processing is taken over, because its delivery only comes again when the
// earlier holder lost its lock or died; what that holder still does is refused
// with [ErrStale]. [ErrFinal] comes with the row as it stands, [ErrNotFound]
// without one.
func (s *Store) Claim(ctx context.Context, id string) (Row, error) {
	var row Row // the writer's until done
	err := s.write(ctx, func(c *change) (err error) {
		row, err = c.claim(id, time.Now())
		if err != nil {
			return err
		}
		held := claim{attempt: row.Attempts, version: row.Version}
		c.rows = append(c.rows, id)
		c.follow = append(c.follow, func() { s.claims.begin(id, held) })
		return nil
	})
	if refusal(err) {
		return row, fmt.Errorf("claim %s: %w", id, err)
	}
	if err != nil {
		return Row{}, fmt.Errorf("claim %s: %w", id, err)
	}
	return row, nil
}

func (c *change) claim(id string, now time.Time) (Row, error) {
	const update = `UPDATE case_reports
		SET status = 'processing', attempts = attempts + 1, started_at = $1, finished_at = 0,
			next_attempt_at = 0, done = 0, total = 0, version = version + 1
		WHERE id = $2 AND status IN ('accepted', 'retrying', 'processing')`
	n, err := c.affects(update, micros(now), id)
	if err != nil {
		return Row{}, err
	}
	row, err := readReport(context.Background(), c.stmts, id)
	if err == nil && n == 0 {
		err = ErrFinal
	}
	return row, err
}

// Unclaim gives an attempt back that was ended by a shutdown, as if it had never
// begun: the report waits again with one attempt less. [ErrStale] if the attempt
// no longer holds it.
func (s *Store) Unclaim(ctx context.Context, id string, attempt int) error {
	const update = `UPDATE case_reports
		SET status = CASE WHEN attempts - 1 > base_attempts THEN 'retrying' ELSE 'accepted' END,
			attempts = attempts - 1, started_at = 0, done = 0, total = 0, version = version + 1
		WHERE id = $1 AND attempts = $2 AND status = 'processing'`
	return s.end(ctx, "unclaim", id, func(c *change) (int64, error) {
		return c.affects(update, id, attempt)
	})
}

// Complete stores what the attempt made of the report. [ErrStale] if the attempt
// no longer holds it. It may be called again after an error whose outcome is
// unknown; ErrStale then also says that the first call had succeeded.
func (s *Store) Complete(ctx context.Context, id string, attempt int, r tasks.Result) error {
	return s.end(ctx, "complete", id, func(c *change) (int64, error) {
		done, total := s.claims.progress(id, attempt)
		return c.complete(id, attempt, time.Now(), done, total, r)
	})
}

// complete returns how many rows it changed: 0 if the attempt does not hold the
// report.
func (c *change) complete(id string, attempt int, finished time.Time, done, total int, r tasks.Result) (int64, error) {
	const update = `UPDATE case_reports
		SET status = 'completed', finished_at = $1, error = '', done = $2, total = $3,
			pdf_sha256 = $4, pdf_bytes = $5, pdf_pages = $6, problems = $7, version = version + 1
		WHERE id = $8 AND attempts = $9 AND status = 'processing'`
	problems, err := json.Marshal(append([]tasks.Problem{}, r.Problems...))
	if err != nil {
		return 0, err
	}
	n, err := c.affects(update, micros(finished), done, total,
		r.Report.SHA256, r.Report.Bytes, r.Report.Pages, string(problems), id, attempt)
	if err != nil || n == 0 {
		return n, err
	}
	return n, c.completeImages(id, r.Images)
}

func (c *change) completeImages(id string, images []tasks.ImageResult) error {
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
		n, err := c.affects(update, img.Full.SHA256, img.Full.Bytes, img.Thumb.SHA256, img.Thumb.Bytes, img.Width, img.Height,
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

// Retrying says that the attempt failed for the reason and another is due at
// next. [ErrStale] if the attempt no longer holds the report.
func (s *Store) Retrying(ctx context.Context, id string, attempt int, reason string, next time.Time) error {
	const update = `UPDATE case_reports
		SET status = 'retrying', next_attempt_at = $1, done = $2, total = $3, error = $4, version = version + 1
		WHERE id = $5 AND attempts = $6 AND status = 'processing'`
	return s.end(ctx, "retrying", id, func(c *change) (int64, error) {
		done, total := s.claims.progress(id, attempt)
		return c.affects(update, micros(next), done, total, reason, id, attempt)
	})
}

// Fail says that the attempt failed for the reason and was the last, until
// somebody asks for a retry. [ErrStale] if the attempt no longer holds the report.
func (s *Store) Fail(ctx context.Context, id string, attempt int, reason string) error {
	const update = `UPDATE case_reports
		SET status = 'failed', finished_at = $1, done = $2, total = $3, error = $4, version = version + 1
		WHERE id = $5 AND attempts = $6 AND status = 'processing'`
	return s.end(ctx, "fail", id, func(c *change) (int64, error) {
		done, total := s.claims.progress(id, attempt)
		return c.affects(update, micros(time.Now()), done, total, reason, id, attempt)
	})
}

// end runs an update that ends the holder's attempt if it changes a row.
func (s *Store) end(ctx context.Context, name, id string, update func(*change) (int64, error)) error {
	err := s.write(ctx, func(c *change) error {
		n, err := update(c)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrStale
		}
		c.rows = append(c.rows, id)
		c.follow = append(c.follow, func() { s.claims.end(id) })
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", name, id, err)
	}
	return nil
}
