package store

import (
	"context"
	"fmt"
	"time"

	"casepress/tasks"
)

// Record turns a batch of the topic's records into rows and moves the topic's watermark to upTo, in one
// transaction: all of it or nothing. A submission becomes a row that is accepted; a record of a kind
// without a lane changes rows as its kind says. The same records may be given again, also as part of
// another batch: the second time changes nothing, and a watermark never moves back. Of two submissions of
// one kind with the same id the first one counts. The batch may be empty.
func (s *Store) Record(ctx context.Context, topic string, batch []tasks.Recorded, upTo Watermark) error {
	err := s.write(ctx, func(c *change) error {
		now := micros(time.Now())
		for _, r := range batch {
			if err := c.record(r, now); err != nil {
				return fmt.Errorf("offset %d: %w", r.Offset, err)
			}
		}
		return c.moveWatermark(topic, upTo)
	})
	if err != nil {
		return s.explain(err, "record %s", topic)
	}
	return nil
}

func (c *change) record(r tasks.Recorded, now int64) error {
	if r.Kind.IsSubmission() {
		return c.recordSubmission(r, now)
	}
	before := c.changed
	if err := r.Kind.Rows.Insert(c, r); err != nil {
		return err
	}
	if r.Kind.Rows.Changed != nil && c.changed > before {
		c.refs = append(c.refs, r.Kind.Rows.Changed(r.Content))
	}
	return nil
}

func (c *change) recordSubmission(r tasks.Recorded, now int64) error {
	const insert = `INSERT INTO submissions (kind, id, sequence, due_sequence, sha256, study, site, patient_id, visit_id,
			received_at, created_at, status)
		VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, 'accepted')
		ON CONFLICT (kind, id) DO NOTHING`
	h := r.Content.Header()
	n, err := c.Exec(insert, r.Kind.Name, h.ID, int64(r.Offset), r.SHA256, h.Study, h.Site, h.PatientID, h.VisitID,
		micros(r.ReceivedAt), now)
	if err != nil {
		return err
	}
	if n == 0 {
		return nil // recorded before, with all that belongs to it
	}
	if err := r.Kind.Rows.Insert(c, r); err != nil {
		return err
	}
	c.refs = append(c.refs, r.Ref())
	return nil
}
