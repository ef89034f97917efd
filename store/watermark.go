package store

import (
	"context"

	"casepress/tasks"
)

// Watermark is how far the rows of a topic have come. It is kept in the same transaction as the rows, so
// it cannot say more than they hold, whatever happens to the database.
type Watermark struct {
	// Next is the offset of the first record that the rows do not have.
	Next uint64
	// Check identifies the record below Next; "" if there is none. Where it does not fit the log, the rows
	// come from another log.
	Check string
}

// Watermark returns how far the rows of the topic have come. It is not known if nothing of the topic was
// ever recorded, or only by a version of the program that kept none.
func (s *Store) Watermark(ctx context.Context, topic string) (w Watermark, known bool, err error) {
	const query = `SELECT next, check_sum FROM watermarks WHERE topic = $1`
	rows, err := s.queries.query(ctx, query, topic)
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			known = true
			return rows.Scan(&w.Next, &w.Check)
		})
	}
	if err != nil {
		return Watermark{}, false, s.explain(err, "watermark of %s", topic)
	}
	return w, known, nil
}

func (c *change) moveWatermark(topic string, to Watermark) error {
	const move = `INSERT INTO watermarks (topic, next, check_sum) VALUES ($1, $2, $3)
		ON CONFLICT (topic) DO UPDATE SET next = excluded.next, check_sum = excluded.check_sum
			WHERE watermarks.next < excluded.next`
	_, err := c.Exec(move, topic, int64(to.Next), to.Check)
	return err
}

// SetWatermark puts the topic's watermark where it is told, also back. It is for topics whose records the rows do not
// need, or have in any case.
func (s *Store) SetWatermark(ctx context.Context, topic string, w Watermark) error {
	const set = `INSERT INTO watermarks (topic, next, check_sum) VALUES ($1, $2, $3)
		ON CONFLICT (topic) DO UPDATE SET next = excluded.next, check_sum = excluded.check_sum`
	err := s.write(ctx, func(c *change) error {
		_, err := c.Exec(set, topic, int64(w.Next), w.Check)
		return err
	})
	if err != nil {
		return s.explain(err, "set watermark of %s", topic)
	}
	return nil
}
