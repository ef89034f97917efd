package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"casepress/tasks"
)

// ResponseFilter says which questionnaire responses to list. Empty fields do not filter.
type ResponseFilter struct {
	Filter
	// Instrument is the id of the instrument.
	Instrument string
	// From and To bound when the answers were given, as the client said: from From on, before To.
	From, To time.Time
}

// ListResponses lists questionnaire responses, each in its latest revision, as [Store.List] does: in the order in which
// the revisions were accepted, the newest first.
func (s *Store) ListResponses(ctx context.Context, f ResponseFilter) (rows []Row, next string, err error) {
	return s.listBy(ctx, tasks.KindQuestionnaireResponse(), f.Filter, f.query)
}

// query adds to the query of the submissions what only responses have.
func (f ResponseFilter) query(kind string, before uint64, limit int) (query string, args []any) {
	query, args = listQuery(kind, f.Filter, before, limit)
	where, order, _ := strings.Cut(query, ` ORDER BY `)
	where += ` AND EXISTS (SELECT 1 FROM questionnaire_responses q WHERE q.id = submissions.id AND q.superseded = 0`
	and := func(condition string, value any) {
		args = append(args, value)
		where += ` AND ` + condition + ` $` + strconv.Itoa(len(args))
	}
	f.narrow(and)
	return where + `) ORDER BY ` + order, args
}

// narrow adds the conditions that only responses have, q being their table.
func (f ResponseFilter) narrow(and func(condition string, value any)) {
	if f.Instrument != "" {
		and(`q.instrument =`, f.Instrument)
	}
	if !f.From.IsZero() {
		and(`q.authored_at >=`, micros(f.From))
	}
	if !f.To.IsZero() {
		and(`q.authored_at <`, micros(f.To))
	}
}

// LatestRevision returns the number of the latest revision of a response, or [ErrNotFound].
func (s *Store) LatestRevision(ctx context.Context, id string) (int, error) {
	const query = `SELECT latest FROM questionnaire_responses WHERE id = $1`
	latest := 0
	rows, err := s.queries.query(ctx, query, id)
	if err == nil {
		err = tasks.EachRow(rows, func() error { return rows.Scan(&latest) })
	}
	if err == nil && latest == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return 0, s.explain(err, "latest revision of %s", id)
	}
	return latest, nil
}

// listBy is [Store.List] with another query.
func (s *Store) listBy(ctx context.Context, kind *tasks.Kind, f Filter, query func(kind string, before uint64, limit int) (string, []any)) (rows []Row, next string, err error) {
	if f.Limit == 0 {
		f.Limit = DefaultLimit
	}
	if f.Limit < 0 || f.Limit > MaxLimit {
		return nil, "", fmt.Errorf("%w: %d, must be 1 to %d", ErrBadLimit, f.Limit, MaxLimit)
	}
	before, err := decodeCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	text, args := query(kind.Name, before, f.Limit+1)
	tx := s.reading(ctx)
	rows, err = queryRows(tx, kind, text, args...)
	if err == nil && len(rows) > f.Limit {
		rows = rows[:f.Limit]
		next = encodeCursor(rows[f.Limit-1].Sequence)
	}
	if err == nil {
		err = load(tx, kind, rows)
	}
	if err != nil {
		return nil, "", s.explain(err, "list %s", kind.Name)
	}
	for i := range rows {
		s.claims.showIn(&rows[i])
	}
	return rows, next, nil
}
