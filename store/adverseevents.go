package store

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"casepress/tasks"
)

// AdverseEventFilter says which adverse events to list. Empty fields do not filter.
type AdverseEventFilter struct {
	Filter
	// States are those in which the case may be.
	States []tasks.AdverseEventState
}

// ListAdverseEvents lists adverse events as [Store.List] does.
func (s *Store) ListAdverseEvents(ctx context.Context, f AdverseEventFilter) (rows []Row, next string, err error) {
	return s.listBy(ctx, tasks.KindAdverseEvent(), f.Filter, f.query)
}

// query walks the index of states where no patient is named: few cases are not closed. Else it adds the states to the query of
// the submissions.
func (f AdverseEventFilter) query(kind string, before uint64, limit int) (query string, args []any) {
	states := slices.Clone(f.States)
	slices.Sort(states)
	states = slices.Compact(states)
	if len(states) == 0 {
		return listQuery(kind, f.Filter, before, limit)
	}
	if f.PatientID != "" {
		query, args = listQuery(kind, f.Filter, before, limit)
		where, order, _ := strings.Cut(query, ` ORDER BY `)
		where += ` AND EXISTS (SELECT 1 FROM adverse_events e WHERE e.id = submissions.id AND e.state IN (`
		for i, state := range states {
			if i > 0 {
				where += `, `
			}
			args = append(args, string(state))
			where += `$` + strconv.Itoa(len(args))
		}
		return where + `)) ORDER BY ` + order, args
	}
	// The condition is the same for each state, so that each gives its rows in order.
	args = []any{kind, int64(before), limit}
	where := ` AND e.sequence < $2`
	for _, c := range []struct{ column, value string }{{"study", f.Study}, {"site", f.Site}, {"status", f.Status}, {"visit_id", f.VisitID}} {
		if c.value == "" {
			continue
		}
		args = append(args, c.value)
		where += ` AND s.` + c.column + ` || '' = $` + strconv.Itoa(len(args))
	}
	var parts []string
	for _, state := range states {
		args = append(args, string(state))
		parts = append(parts, `SELECT * FROM (SELECT e.id AS id, e.sequence AS sequence FROM adverse_events e CROSS JOIN submissions s ON s.kind = $1 AND s.id = e.id`+
			` WHERE e.state = $`+strconv.Itoa(len(args))+where+` ORDER BY e.sequence DESC LIMIT $3) AS of_`+string(state))
	}
	return `SELECT ` + rowColumns + ` FROM submissions WHERE kind = $1 AND id IN (SELECT id FROM (` + strings.Join(parts, ` UNION ALL `) +
		`) AS all_states ORDER BY sequence DESC LIMIT $3) ORDER BY sequence DESC LIMIT $3`, args
}

// Steps returns what was done with an adverse event, in the order of the log, none if there is no such.
func (s *Store) Steps(ctx context.Context, id string) ([]tasks.Step, error) {
	steps, err := tasks.AdverseEventSteps(s.reading(ctx), id)
	if err != nil {
		return nil, s.explain(err, "steps of %s", id)
	}
	return steps, nil
}

// Events returns the events of records of the kind's topic: see [tasks.Rows]. after is an offset, or [FromStart].
func (s *Store) Events(ctx context.Context, kind *tasks.Kind, after uint64, limit int) (events []tasks.RecordEvent, err error) {
	err = tasks.Guard(func() error {
		events, err = kind.Rows.Events(s.reading(ctx), int64(after), limit) // FromStart becomes -1
		return err
	})
	if err != nil {
		return nil, s.explain(err, "events of %s", kind.Name)
	}
	return events, nil
}
