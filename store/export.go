package store

import (
	"context"
	"fmt"
	"strconv"

	"casepress/tasks"
)

// exportTogether is how many responses an export has in memory.
const exportTogether = 50

// EachResponse calls do for every questionnaire response that the filter lets through, by patient and then in the order in which they were
// accepted. Status, Limit and Cursor of the filter must be empty.
//
// Which responses there are, and in which revision, is what the rows showed when it was called: what is accepted or amended
// meanwhile neither skips nor repeats one. How a response stands, and its scores, are those of the moment in which it is read. No
// transaction is held, so it may take as long as do does. It ends with the first error.
func (s *Store) EachResponse(ctx context.Context, f ResponseFilter, do func(Row) error) error {
	if f.Status != "" || f.Limit != 0 || f.Cursor != "" {
		return fmt.Errorf("%w: an export has neither status, limit nor cursor", ErrBadLimit)
	}
	kind := tasks.KindQuestionnaireResponse()
	tx := s.reading(ctx)
	end, err := endOf(tx, kind)
	if err != nil {
		return s.explain(err, "export of %s", kind.Name)
	}
	patient, after := "", int64(-1)
	for {
		query, args := f.exportQuery(kind.Name, end, patient, after)
		rows, err := queryRows(tx, kind, query, args...)
		if err == nil {
			err = load(tx, kind, rows)
		}
		if err != nil {
			return s.explain(err, "export of %s", kind.Name)
		}
		for i := range rows {
			s.claims.showIn(&rows[i])
			if err := do(rows[i]); err != nil {
				return err
			}
		}
		if len(rows) < exportTogether {
			return nil
		}
		last := rows[len(rows)-1]
		patient, after = last.PatientID, int64(last.Sequence)
	}
}

// endOf returns the sequence after that of the last submission of the kind.
func endOf(tx tasks.Tx, kind *tasks.Kind) (end int64, err error) {
	rows, err := tx.Query(`SELECT COALESCE(MAX(sequence), -1) + 1 FROM submissions WHERE kind = $1`, kind.Name)
	if err == nil {
		err = tasks.EachRow(rows, func() error { return rows.Scan(&end) })
	}
	return end, err
}

// exportQuery walks the index by patient; every other condition is made an expression, as in listQuery. A response that was
// amended at or after end counts as it was before.
func (f ResponseFilter) exportQuery(kind string, end int64, patient string, after int64) (query string, args []any) {
	query = `SELECT ` + rowColumns + ` FROM submissions WHERE kind = $1 AND sequence < $2 AND (patient_id, sequence) > ($3, $4)`
	args = []any{kind, end, patient, after}
	and := func(condition string, value any) {
		args = append(args, value)
		query += ` AND ` + condition + ` $` + strconv.Itoa(len(args))
	}
	for _, c := range []struct{ condition, value string }{
		{`patient_id =`, f.PatientID}, {`study || '' =`, f.Study}, {`site || '' =`, f.Site}, {`visit_id || '' =`, f.VisitID},
	} {
		if c.value != "" {
			and(c.condition, c.value)
		}
	}
	query += ` AND EXISTS (SELECT 1 FROM questionnaire_responses q WHERE q.id = submissions.id AND (q.superseded = 0 OR NOT EXISTS (` +
		`SELECT 1 FROM submissions later WHERE later.kind = $1 AND later.id = q.response_id || '~' || (q.revision + 1) AND later.sequence < $2))`
	f.narrow(and)
	args = append(args, exportTogether)
	return query + `) ORDER BY patient_id, sequence LIMIT $` + strconv.Itoa(len(args)), args
}
