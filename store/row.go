package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casepress/tasks"
)

// Row is a submission and where it stands. All times are UTC to the microsecond, and zero if there
// is none.
type Row struct {
	Kind *tasks.Kind
	tasks.Header
	// SHA256 is the digest of the content as accepted.
	SHA256 string
	// Sequence is the offset of the submission's record in the log.
	Sequence uint64
	// ReceivedAt is when the submission was accepted, CreatedAt when this row was made.
	ReceivedAt, CreatedAt time.Time
	// StartedAt is when the latest attempt began, FinishedAt when the submission was completed or
	// failed.
	StartedAt, FinishedAt time.Time
	Status                tasks.Status
	// Attempts counts every attempt except those given back by GiveBack.
	Attempts int
	// BaseAttempts are those of Attempts that do not count against the budget: all before the latest
	// retry call, and those that ended with the process.
	BaseAttempts int
	// Crashes counts how often the process died while it worked on this submission alone, since an
	// attempt last ended by itself.
	Crashes int
	// Suspect says that the process died while it worked on this submission, perhaps beside others, and
	// that no attempt has ended by itself since. It must be worked on alone.
	Suspect bool
	// Done and Total are the progress of the latest attempt.
	Done, Total int
	// Content is what was accepted, of the kind's own type.
	Content tasks.Content
	// Result is nil until the submission is completed, then of the kind's own type.
	Result tasks.Result
	// Error is why the latest attempt failed, without patient data.
	Error string
	// NextAttempt is set while the status is retrying.
	NextAttempt time.Time
	// Version grows with every change; two reads with the same version are equal.
	Version int64
}

// Ref names the submission.
func (r Row) Ref() tasks.Ref { return tasks.Ref{Kind: r.Kind.Name, ID: r.ID} }

// progressBits is the part of Row.Version that counts progress within one claim. The rest is the
// row's own version, so that progress lost at a restart cannot make two different states look the same.
const progressBits = 20

const rowColumns = `id, sequence, sha256, study, site, patient_id, visit_id,
	received_at, created_at, started_at, finished_at, next_attempt_at, status, attempts, base_attempts,
	crashes, suspect, done, total, error, version`

// scanRow reads rowColumns. Content and result come later, from [load].
func scanRow(kind *tasks.Kind, rows *sql.Rows) (Row, error) {
	r := Row{Kind: kind}
	var received, created, started, finished, next int64
	err := rows.Scan(&r.ID, &r.Sequence, &r.SHA256, &r.Study, &r.Site, &r.PatientID, &r.VisitID,
		&received, &created, &started, &finished, &next, &r.Status, &r.Attempts, &r.BaseAttempts,
		&r.Crashes, &r.Suspect, &r.Done, &r.Total, &r.Error, &r.Version)
	if err != nil {
		return Row{}, err
	}
	if !r.Status.Valid() {
		return Row{}, fmt.Errorf("%w: the status of %s %s is %q", errInconsistent, kind.Name, r.ID, r.Status)
	}
	r.ReceivedAt, r.CreatedAt = fromMicros(received), fromMicros(created)
	r.StartedAt, r.FinishedAt, r.NextAttempt = fromMicros(started), fromMicros(finished), fromMicros(next)
	r.Version <<= progressBits
	return r, nil
}

// queryRows reads the rows that a query of rowColumns gives, without content and result.
func queryRows(tx tasks.Tx, kind *tasks.Kind, query string, args ...any) ([]Row, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	var all []Row
	err = tasks.EachRow(rows, func() error {
		r, err := scanRow(kind, rows)
		all = append(all, r)
		return err
	})
	return all, err
}

// load adds contents and results to rows of one kind. What a kind keeps of a submission never changes
// except for its result, and that counts only once the row is completed: so the reads of the row and of
// the rest need no transaction around them.
func load(tx tasks.Tx, kind *tasks.Kind, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	stored := make([]tasks.Stored, len(rows))
	for i, r := range rows {
		stored[i] = tasks.Stored{Header: r.Header, Completed: r.Status == tasks.Completed}
	}
	var loaded map[string]tasks.Loaded
	err := tasks.Guard(func() (err error) {
		loaded, err = kind.Rows.Load(tx, stored)
		return err
	})
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		l, ok := loaded[r.ID]
		if !ok {
			return fmt.Errorf("%w: %s %s has no content", errInconsistent, kind.Name, r.ID)
		}
		r.Content = l.Content
		if got := l.Content.Digest(); got != r.SHA256 {
			return fmt.Errorf("%w: the content of %s %s has the digest %s and was accepted with %s", errInconsistent, kind.Name, r.ID, got, r.SHA256)
		}
		if r.Status != tasks.Completed {
			continue
		}
		if l.Result == nil {
			return fmt.Errorf("%w: %s %s is completed and has no result", errInconsistent, kind.Name, r.ID)
		}
		r.Result = l.Result
	}
	return nil
}

// errInconsistent says that rows written in one transaction are not there together, or not as they were written.
var errInconsistent = errors.New("rows do not agree")

// submissionKind returns the kind that ref names. [ErrNotFound] if its records have no row.
func submissionKind(ref tasks.Ref) (*tasks.Kind, error) {
	kind, err := tasks.KindOf(ref.Kind)
	if err != nil {
		return nil, err
	}
	if !kind.IsSubmission() {
		return nil, fmt.Errorf("a %s is no submission: %w", kind.Name, ErrNotFound)
	}
	return kind, nil
}

// submissionKinds returns the kinds that have rows in submissions.
func submissionKinds() []*tasks.Kind {
	var all []*tasks.Kind
	for _, k := range tasks.Kinds() {
		if k.IsSubmission() {
			all = append(all, k)
		}
	}
	return all
}

// readTx is [tasks.Tx] on the read connections, which cannot write.
type readTx struct {
	ctx context.Context
	on  *statements
}

func (s *Store) reading(ctx context.Context) readTx { return readTx{ctx, s.queries} }

// readingOf is reading for a question about one submission of the kind or its key, which is quick: of adverse events it is urgent.
func (s *Store) readingOf(ctx context.Context, kind *tasks.Kind) readTx {
	if kind.Topic == tasks.TopicAdverseEvents {
		return readTx{ctx, s.urgent}
	}
	return s.reading(ctx)
}

func (t readTx) Query(query string, args ...any) (*sql.Rows, error) {
	return t.on.query(t.ctx, query, args...)
}

func (readTx) Exec(string, ...any) (int64, error) {
	return 0, errors.New("a read cannot change rows")
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
