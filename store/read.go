package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"casepress/tasks"
)

// Get returns the submission, or [ErrNotFound].
func (s *Store) Get(ctx context.Context, ref tasks.Ref) (Row, error) {
	row, err := s.get(ctx, ref)
	if err != nil {
		return Row{}, s.explain(err, "%s %s", ref.Kind, ref.ID)
	}
	s.claims.showIn(&row)
	return row, nil
}

func (s *Store) get(ctx context.Context, ref tasks.Ref) (Row, error) {
	const query = `SELECT ` + rowColumns + ` FROM submissions WHERE kind = $1 AND id = $2`
	kind, err := submissionKind(ref)
	if err != nil {
		return Row{}, err
	}
	tx := s.readingOf(ctx, kind)
	rows, err := queryRows(tx, kind, query, ref.Kind, ref.ID)
	if err != nil {
		return Row{}, err
	}
	if len(rows) == 0 {
		return Row{}, ErrNotFound
	}
	return rows[0], load(tx, kind, rows)
}

// Found is what was accepted before under the key of a submission.
type Found struct {
	// SHA256 is the digest of what was accepted. Of a kind without a lane nothing else is known.
	SHA256     string
	Sequence   uint64
	ReceivedAt time.Time
	// Status is where the submission stands now.
	Status  tasks.Status
	Content tasks.Content
}

// Find looks up what was accepted before under the same key as sub: the same kind and id for a kind
// with a lane, else what the kind itself says. [ErrNotFound] if nothing was, or if the kind is not unique
// by key.
func (s *Store) Find(ctx context.Context, sub tasks.Submission) (Found, error) {
	f, err := s.find(ctx, sub)
	if err != nil {
		return Found{}, s.explain(err, "find %s", sub.Kind.Name)
	}
	return f, nil
}

func (s *Store) find(ctx context.Context, sub tasks.Submission) (Found, error) {
	if sub.Kind.IsSubmission() {
		row, err := s.get(ctx, sub.Ref())
		return Found{row.SHA256, row.Sequence, row.ReceivedAt, row.Status, row.Content}, err
	}
	if sub.Kind.Rows.Find == nil {
		return Found{}, ErrNotFound
	}
	sha256, ok, err := sub.Kind.Rows.Find(s.readingOf(ctx, sub.Kind), sub.Content)
	if err == nil && !ok {
		err = ErrNotFound
	}
	return Found{SHA256: sha256}, err
}

// countQuery counts what is unfinished and what has failed by its status, and all, whose status is empty here; and exercises, which
// do not count, by their status after a '-'. It is one statement, and so of one moment.
const countQuery = `SELECT kind, status, COUNT(*) FROM submissions WHERE finished_at = 0 GROUP BY kind, status ` +
	`UNION ALL SELECT kind, 'failed', COUNT(*) FROM submissions WHERE status = 'failed' GROUP BY kind ` +
	`UNION ALL SELECT kind, '', COUNT(*) FROM submissions GROUP BY kind ` +
	`UNION ALL SELECT s.kind, '-' || s.status, COUNT(*) FROM adverse_events e CROSS JOIN submissions s ON s.kind = 'adverse-event' AND s.id = e.id ` +
	`WHERE e.exercise = 1 GROUP BY s.kind, s.status`

// Counts returns how many submissions have each status, by the kind's name, without exercises. Every kind with a lane and
// every status is there.
func (s *Store) Counts(ctx context.Context) (map[string]map[tasks.Status]int, error) {
	counts, err := s.counts(ctx)
	if err != nil {
		return nil, s.explain(err, "counts")
	}
	return counts, nil
}

func (s *Store) counts(ctx context.Context) (map[string]map[tasks.Status]int, error) {
	counts := make(map[string]map[tasks.Status]int)
	for _, k := range submissionKinds() {
		counts[k.Name] = map[tasks.Status]int{
			tasks.Accepted: 0, tasks.Processing: 0, tasks.Retrying: 0, tasks.Completed: 0, tasks.Failed: 0,
		}
	}
	rows, err := s.queries.query(ctx, countQuery)
	if err != nil {
		return nil, err
	}
	err = tasks.EachRow(rows, func() error {
		var kind string
		var status tasks.Status
		var n int
		if err := rows.Scan(&kind, &status, &n); err != nil {
			return err
		}
		of := counts[kind]
		exercises, areExercises := strings.CutPrefix(string(status), "-")
		switch {
		case of == nil: // a kind that only a later version knows
		case areExercises:
			of[tasks.Status(exercises)] -= n
		case status == "": // all: those that are left are completed
			of[tasks.Completed] += n
		default:
			of[status] = n
			of[tasks.Completed] -= n
		}
		return nil
	})
	return counts, err
}

// Due is a submission that is not finished.
type Due struct {
	tasks.Ref
	// Sequence is the offset of its own record.
	Sequence uint64
	// DueSequence is the offset of the record whose delivery runs it: its own, or that of the latest
	// retry call.
	DueSequence uint64
	Attempts    int
}

// FromStart is the value of after with which [Store.Unfinished] begins.
const FromStart = ^uint64(0)

const unfinishedQuery = `SELECT id, sequence, due_sequence, attempts FROM submissions
	WHERE kind = $1 AND finished_at = 0 AND sequence > $2 ORDER BY sequence LIMIT $3`

// Unfinished returns up to limit submissions of the kind that are neither completed nor failed, by
// ascending Sequence, and only those whose Sequence is greater than after. Begin with
// [FromStart], go on with the Sequence of the last one; fewer than limit are the last.
func (s *Store) Unfinished(ctx context.Context, kind *tasks.Kind, after uint64, limit int) ([]Due, error) {
	var due []Due
	rows, err := s.queries.query(ctx, unfinishedQuery, kind.Name, int64(after), limit) // FromStart becomes -1
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			d := Due{Ref: tasks.Ref{Kind: kind.Name}}
			err := rows.Scan(&d.ID, &d.Sequence, &d.DueSequence, &d.Attempts)
			due = append(due, d)
			return err
		})
	}
	if err != nil {
		return nil, s.explain(err, "unfinished %s", kind.Name)
	}
	return due, nil
}

// compareTogether bounds the parameters of one query of [Store.Compare].
const compareTogether = 256

// Compare looks whether the rows have what the topic's records say, which were all given to [Store.Record] before:
// [ErrDamaged] if a row is gone or another, as does every later Ping. Of several submissions with one id only the
// first is compared, and of records of a kind without a lane only that there is something under their key.
func (s *Store) Compare(ctx context.Context, batch []tasks.Recorded) error {
	for some := range slices.Chunk(batch, compareTogether) {
		if err := s.compare(ctx, some); err != nil {
			return s.explain(err, "compare")
		}
	}
	return nil
}

func (s *Store) compare(ctx context.Context, batch []tasks.Recorded) error {
	ids := map[*tasks.Kind][]string{}
	for _, r := range batch {
		switch {
		case r.Kind.IsSubmission():
			ids[r.Kind] = append(ids[r.Kind], r.Content.Header().ID)
		case r.Kind.Rows.Find != nil:
			_, found, err := r.Kind.Rows.Find(s.reading(ctx), r.Content)
			if err == nil && !found {
				err = fmt.Errorf("%w: the %s of record %d is gone", errInconsistent, r.Kind.Name, r.Offset)
			}
			if err != nil {
				return err
			}
		}
	}
	rows := map[tasks.Ref]Row{}
	for kind, ids := range ids {
		in, args := tasks.InList(ids)
		found, err := queryRows(s.reading(ctx), kind, `SELECT `+rowColumns+` FROM submissions WHERE id IN `+in+
			fmt.Sprintf(` AND kind = $%d`, len(args)+1), append(args, kind.Name)...)
		if err == nil {
			err = load(s.reading(ctx), kind, found)
		}
		if err != nil {
			return err
		}
		for _, row := range found {
			rows[row.Ref()] = row
		}
	}
	for _, r := range batch {
		if !r.Kind.IsSubmission() {
			continue
		}
		row, found := rows[r.Ref()]
		same := row.SHA256 == r.SHA256 && row.ReceivedAt.Equal(r.ReceivedAt.Truncate(time.Microsecond))
		if !found || row.Sequence > r.Offset || row.Sequence == r.Offset && !same {
			return fmt.Errorf("%w: the row of %s %s is not what record %d of the log says", errInconsistent, r.Kind.Name, r.Ref().ID, r.Offset)
		}
	}
	return nil
}
