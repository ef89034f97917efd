package progress

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"casepress/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Rows are what is known of visits, in a SQLite file of their own. Their methods may be called by many goroutines.
type Rows struct {
	db  *store.Database
	mu  sync.Mutex // held by who writes
	sum sums

	// Prepared once, on the one connection that writes. Their parameters have no numbers, which the driver finds faster.
	selectRevisions, insertRevision, insertSubject *sql.Stmt
}

// Open opens the database file at path, makes it if it is not there, and checks the whole of it. One that is damaged is
// moved aside, to path.damaged, and an empty one takes its place, since its content is made again from the topic; log
// says so.
func Open(ctx context.Context, path string, log *slog.Logger) (*Rows, error) {
	r, err := open(ctx, path)
	if errors.Is(err, store.ErrDamaged) {
		log.Error("the rows of trial progress are damaged; they are moved aside and made again from the events", "file", path, "aside", path+asideSuffix, "err", err)
		if err = moveAside(path); err == nil {
			r, err = open(ctx, path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open trial progress: %w", err)
	}
	return r, nil
}

func open(ctx context.Context, path string) (*Rows, error) {
	db, err := store.OpenDatabase(ctx, path, migrations)
	if err != nil {
		return nil, err
	}
	var verdict string
	err = db.Reads.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = fmt.Errorf("%w: %s: %s", store.ErrDamaged, path, verdict)
	}
	if err != nil {
		return nil, errors.Join(db.Explain(err), db.Close())
	}
	r := &Rows{db: db, sum: sums{turn: make(chan struct{}, 1)}}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(db.Explain(err), r.Close())
	}
	return r, nil
}

func (r *Rows) prepare(ctx context.Context) (err error) {
	for text, stmt := range map[string]**sql.Stmt{
		selectRevisions: &r.selectRevisions, insertRevision: &r.insertRevision, insertSubject: &r.insertSubject,
	} {
		if *stmt, err = r.db.Writes.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

const asideSuffix = ".damaged"

// moveAside keeps the latest damaged file, for whoever wants to know why.
func moveAside(path string) error {
	if err := os.Rename(path, path+asideSuffix); err != nil { // one of them may be a folder
		if err := errors.Join(os.RemoveAll(path+asideSuffix), os.Rename(path, path+asideSuffix)); err != nil {
			return err
		}
	}
	for _, companion := range []string{"-wal", "-shm"} { // of the file that is aside: they must not meet the new one
		if err := os.Remove(path + companion); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close may be called when nobody uses the rows any more.
func (r *Rows) Close() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{r.selectRevisions, r.insertRevision, r.insertSubject} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(append(errs, r.db.Close())...)
}

// Position says how far the rows have come in one partition of a topic: all before Next are in them, or are dead letters.
type Position struct {
	Topic     string
	Partition int32
	Next      uint64
	// Incarnation tells topics of one name apart: see [Rows.Reset].
	Incarnation string
}

// Positions returns those of a topic, by partition.
func (r *Rows) Positions(ctx context.Context, topic string) (map[int32]Position, error) {
	rows, err := r.db.Reads.QueryContext(ctx, "SELECT partition, next, incarnation FROM positions WHERE topic = $1", topic)
	if err != nil {
		return nil, r.explain("positions", err)
	}
	defer rows.Close()
	all := map[int32]Position{}
	for rows.Next() {
		p := Position{Topic: topic}
		if err := rows.Scan(&p.Partition, &p.Next, &p.Incarnation); err != nil {
			return nil, r.explain("positions", err)
		}
		all[p.Partition] = p
	}
	return all, r.explain("positions", rows.Err())
}

// Reset forgets everything: the rows are of another topic, and those of this one are made from its beginning.
func (r *Rows) Reset(ctx context.Context) error {
	return r.write(ctx, "reset", func(tx *sql.Tx) (undo func(), err error) {
		for _, table := range []string{"positions", "submissions", "subjects"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table); err != nil {
				return func() {}, err
			}
		}
		return func() {}, nil
	})
}

// Apply makes rows of events in one transaction, and moves to the position that move returns, which is asked for it
// in the transaction, by one at a time. If the transaction fails undo is called. errs has a [*PoisonError] for each event
// that can never be applied; the others are applied. err says that nothing was. Events may be none.
func (r *Rows) Apply(ctx context.Context, events []Event, move func(errs []error) (to Position, undo func())) (errs []error, err error) {
	errs = make([]error, len(events))
	err = r.write(ctx, "apply events", func(tx *sql.Tx) (undo func(), err error) {
		for i, e := range events {
			err := r.apply(ctx, tx, e)
			if _, isPoison := errors.AsType[*PoisonError](err); isPoison {
				errs[i] = err
			} else if err != nil {
				return func() {}, err
			}
		}
		to, undo := move(errs)
		_, err = tx.ExecContext(ctx, `INSERT INTO positions (topic, partition, next, incarnation) VALUES ($1, $2, $3, $4)
			ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next, incarnation = excluded.incarnation`,
			to.Topic, to.Partition, int64(to.Next), to.Incarnation)
		return undo, err
	})
	return errs, err
}

// write runs do in a transaction. If that fails, undo is called before anybody else writes.
func (r *Rows) write(ctx context.Context, what string, do func(*sql.Tx) (undo func(), err error)) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.change()
	defer r.sum.change()
	defer func() { err = r.explain(what, err) }()
	tx, err := r.db.Writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	undo, err := do(tx)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		undo()
	}
	return err
}

func (r *Rows) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("trial progress: %s: %w", what, r.db.Explain(err))
}

// revision is a row of submissions.
type revision struct {
	Event
	counts      bool
	since       int64
	completedAt sql.NullInt64
}

// apply makes rows of one event. All that it writes is made of the set of events, so that neither their order nor a repeat
// makes a difference:
//
//   - Of several attempts on a revision the last one counts.
//   - Of several revisions of a submission the last one that is completed counts, or the last one if none is; it says at
//     which visit, and what. The day is that of the first revision that is completed: an amendment does not make late
//     what was in time.
func (r *Rows) apply(ctx context.Context, tx *sql.Tx, e Event) error {
	known, err := r.revisionsOf(ctx, tx, e)
	if err != nil {
		return err
	}
	for _, k := range known {
		if k.Study != e.Study || k.PatientID != e.PatientID {
			return poison("submissionId: %s %s is known of another patient or study", e.Kind, e.SubmissionID)
		}
	}
	at := slices.IndexFunc(known, func(k revision) bool { return k.Revision == e.Revision })
	switch {
	case at < 0:
		known = append(known, revision{Event: e})
	case known[at].Attempt < e.Attempt:
		known[at].Event = e
	default:
		return nil // a repeat, or an attempt that another one followed
	}
	count(known)
	for _, k := range known {
		if err := r.writeRevision(ctx, tx, k); err != nil {
			return err
		}
	}
	return r.writeSubject(ctx, tx, e)
}

const selectRevisions = `SELECT revision, study, patient_id, visit_id, item, attempt, event_id, completed, occurred_at, finished_at, url
	FROM submissions WHERE kind = ? AND id = ?`

func (r *Rows) revisionsOf(ctx context.Context, tx *sql.Tx, e Event) (all []revision, err error) {
	rows, err := tx.StmtContext(ctx, r.selectRevisions).QueryContext(ctx, e.Kind, e.SubmissionID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		k := revision{Event: Event{Kind: e.Kind, SubmissionID: e.SubmissionID}}
		var occurred, finished int64
		if err := rows.Scan(&k.Revision, &k.Study, &k.PatientID, &k.VisitID, &k.Item, &k.Attempt, &k.ID, &k.Completed, &occurred, &finished, &k.URL); err != nil {
			return nil, err
		}
		k.OccurredAt, k.FinishedAt = time.UnixMicro(occurred).UTC(), time.UnixMicro(finished).UTC()
		all = append(all, k)
	}
	return all, rows.Err()
}

// count says which of the revisions of a submission counts.
func count(all []revision) {
	best := 0
	var since int64
	var completedAt sql.NullInt64
	for i, k := range all {
		at := k.OccurredAt.UnixMicro()
		if i == 0 || at < since {
			since = at
		}
		if k.Completed && (!completedAt.Valid || at < completedAt.Int64) {
			completedAt = sql.NullInt64{Int64: at, Valid: true}
		}
		b := all[best]
		if k.Completed != b.Completed && k.Completed || k.Completed == b.Completed && k.Revision > b.Revision {
			best = i
		}
	}
	for i := range all {
		all[i].counts, all[i].since, all[i].completedAt = i == best, since, completedAt
	}
}

const insertRevision = `INSERT INTO submissions (kind, id, revision, study, patient_id, visit_id, item, attempt, event_id, completed,
		occurred_at, finished_at, url, counts, since, completed_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (kind, id, revision) DO UPDATE SET visit_id = excluded.visit_id, item = excluded.item, attempt = excluded.attempt,
		event_id = excluded.event_id, completed = excluded.completed, occurred_at = excluded.occurred_at, finished_at = excluded.finished_at,
		url = excluded.url, counts = excluded.counts, since = excluded.since, completed_at = excluded.completed_at`

func (r *Rows) writeRevision(ctx context.Context, tx *sql.Tx, k revision) error {
	_, err := tx.StmtContext(ctx, r.insertRevision).ExecContext(ctx,
		k.Kind, k.SubmissionID, k.Revision, k.Study, k.PatientID, k.VisitID, k.Item, k.Attempt, k.ID, number(k.Completed),
		k.OccurredAt.UnixMicro(), k.FinishedAt.UnixMicro(), k.URL, number(k.counts), k.since, k.completedAt)
	return err
}

// The site that an event names is taken over if the event is the latest that names one.
const insertSubject = `INSERT INTO subjects (study, patient_id, site, site_at) VALUES (?, ?, ?, ?)
	ON CONFLICT (study, patient_id) DO UPDATE SET site = excluded.site, site_at = excluded.site_at
	WHERE excluded.site_at > subjects.site_at OR excluded.site_at = subjects.site_at AND excluded.site > subjects.site`

func (r *Rows) writeSubject(ctx context.Context, tx *sql.Tx, e Event) error {
	at := e.FinishedAt.UnixMicro()
	if e.Site == "" {
		at = math.MinInt64
	}
	_, err := tx.StmtContext(ctx, r.insertSubject).ExecContext(ctx, e.Study, e.PatientID, e.Site, at)
	return err
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
