package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"casepress/tasks"
)

// Recovered is what [Store.Recover] found.
type Recovered struct {
	// Interrupted is how many attempts ended with the process.
	Interrupted int
	// Suspects is how many submissions wait that must be worked on alone, those of earlier deaths included.
	Suspects int
	// Failed are the submissions that were given up, without Content.
	Failed []Row
}

// Recover ends the attempts that the process left behind when it died. It must be called once after
// Open, before the first Claim.
//
// Every submission in processing becomes suspect, waits again, and its attempt does not count against
// the budget. If there is exactly one, the process died while it worked on this alone, and its crashes
// count one more. So do those of one that was suspect before, if it was the only such: beside it there was only
// what waits for no suspect. Else it is not known which it was, and none is counted. A submission whose crashes
// reach maxCrashes, which must be at least 1, fails with that reason.
func (s *Store) Recover(ctx context.Context, maxCrashes int) (Recovered, error) {
	if maxCrashes < 1 {
		return Recovered{}, fmt.Errorf("recover: the most crashes of a submission are %d, must be at least 1", maxCrashes)
	}
	var r Recovered // the writer's until done
	err := s.write(ctx, func(c *change) (err error) {
		r, err = c.recover(maxCrashes, time.UnixMicro(time.Now().UnixMicro()).UTC())
		return err
	})
	if err != nil {
		return Recovered{}, s.explain(err, "recover")
	}
	return r, nil
}

const (
	interruptedQuery = `SELECT ` + rowColumns + ` FROM submissions WHERE kind = $1 AND finished_at = 0 AND status = 'processing'`
	// Not "= 0", so that the index of the few suspects is taken and not that of all unfinished.
	suspectsQuery = `SELECT COUNT(*) FROM submissions WHERE kind = $1 AND suspect = 1 AND finished_at < 1`
)

func (c *change) recover(maxCrashes int, now time.Time) (r Recovered, err error) {
	const update = `UPDATE submissions
		SET status = CASE WHEN attempts > base_attempts + 1 THEN 'retrying' ELSE 'accepted' END,
			base_attempts = base_attempts + 1, suspect = 1, started_at = 0, done = 0, total = 0, version = version + 1
		WHERE kind = $1 AND finished_at = 0 AND status = 'processing'`
	var interrupted []Row
	for _, kind := range submissionKinds() {
		rows, err := queryRows(c, kind, interruptedQuery, kind.Name)
		if err != nil {
			return r, err
		}
		interrupted = append(interrupted, rows...)
		if _, err := c.Exec(update, kind.Name); err != nil {
			return r, err
		}
	}
	r.Interrupted = len(interrupted)
	for _, row := range interrupted {
		c.refs = append(c.refs, row.Ref())
	}
	blamed := interrupted
	if len(blamed) > 1 {
		blamed = slices.DeleteFunc(slices.Clone(interrupted), func(row Row) bool { return !row.Suspect })
	}
	if len(blamed) == 1 {
		if r.Failed, err = c.countCrash(blamed[0], maxCrashes, now); err != nil {
			return r, err
		}
	}
	for _, kind := range submissionKinds() {
		n, err := c.count(suspectsQuery, kind.Name)
		if err != nil {
			return r, err
		}
		r.Suspects += n
	}
	return r, nil
}

// countCrash counts one more crash of a row that waits again, and fails it if that was one too many.
func (c *change) countCrash(row Row, maxCrashes int, now time.Time) (failed []Row, err error) {
	const read = `SELECT ` + rowColumns + ` FROM submissions WHERE kind = $1 AND id = $2`
	const count = `UPDATE submissions SET crashes = crashes + 1 WHERE kind = $1 AND id = $2`
	const fail = `UPDATE submissions SET status = 'failed', finished_at = $1, error = $2 WHERE kind = $3 AND id = $4`
	if _, err := c.Exec(count, row.Kind.Name, row.ID); err != nil {
		return nil, err
	}
	crashes := row.Crashes + 1
	if crashes < maxCrashes {
		return nil, nil
	}
	reason := fmt.Sprintf("the process died %d times while it worked on this alone", crashes)
	if _, err := c.Exec(fail, micros(now), reason, row.Kind.Name, row.ID); err != nil {
		return nil, err
	}
	return queryRows(c, row.Kind, read, row.Kind.Name, row.ID)
}

func (c *change) count(query string, args ...any) (n int, err error) {
	rows, err := c.Query(query, args...)
	if err != nil {
		return 0, err
	}
	err = tasks.EachRow(rows, func() error { return rows.Scan(&n) })
	return n, err
}

const finishedQuery = `SELECT ` + rowColumns + ` FROM submissions
	WHERE kind = $1 AND sequence > $2 AND status IN ('completed', 'failed') ORDER BY sequence LIMIT $3`

// Finished returns up to limit completed and failed submissions of the kind, with content and result, by ascending
// Sequence, and only those whose Sequence is greater than after. Begin with [FromStart], go on with the Sequence of the
// last one; fewer than limit are the last.
func (s *Store) Finished(ctx context.Context, kind *tasks.Kind, after uint64, limit int) ([]Row, error) {
	rows, err := queryRows(s.reading(ctx), kind, finishedQuery, kind.Name, int64(after), limit) // FromStart becomes -1
	if err == nil {
		err = load(s.reading(ctx), kind, rows)
	}
	if err != nil {
		return nil, s.explain(err, "finished %s", kind.Name)
	}
	return rows, nil
}

// Offsets are where the records of a submission lie.
type Offsets struct {
	// Sequence is that of the submission itself, Due that of the record whose delivery runs it.
	Sequence, Due uint64
}

// Offsets returns where the records of the submissions lie, by id, without those that are not there. There may be up to
// a few hundred ids, and must be one.
func (s *Store) Offsets(ctx context.Context, kind *tasks.Kind, ids []string) (map[string]Offsets, error) {
	in, args := tasks.InList(ids)
	rows, err := s.queries.query(ctx, `SELECT id, sequence, due_sequence FROM submissions WHERE id IN `+in+
		fmt.Sprintf(` AND kind = $%d`, len(args)+1), append(args, kind.Name)...)
	found := make(map[string]Offsets, len(ids))
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			var id string
			var o Offsets
			err := rows.Scan(&id, &o.Sequence, &o.Due)
			found[id] = o
			return err
		})
	}
	if err != nil {
		return nil, s.explain(err, "offsets of %s", kind.Name)
	}
	return found, nil
}

// Released returns the positions, from 1, of the images that case reports have released, by the report's id, without
// those that have released none. There may be up to a few hundred ids, and must be one.
func (s *Store) Released(ctx context.Context, ids []string) (map[string][]int, error) {
	released, err := tasks.ReleasedImages(s.reading(ctx), ids)
	if err != nil {
		return nil, s.explain(err, "released images")
	}
	return released, nil
}
