package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"casepress/tasks"
)

// AdverseEventFilter says which adverse events to list. Empty fields do not filter.
type AdverseEventFilter struct {
	Filter
	// States are those in which the case may be.
	States []tasks.AdverseEventState
	// Exercises says what becomes of drills.
	Exercises Exercises
}

// Exercises says what becomes of drills in a list.
type Exercises string

// What can become of them.
const (
	WithoutExercises Exercises = ""
	WithExercises    Exercises = "include"
	OnlyExercises    Exercises = "only"
)

// where is the condition on the column of exercises; "" if all are listed.
func (e Exercises) where(table string) string {
	switch e {
	case WithExercises:
		return ""
	case OnlyExercises:
		return ` AND ` + table + `.exercise = 1`
	}
	return ` AND ` + table + `.exercise = 0`
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
	exercise := f.Exercises.where("e")
	if len(states) == 0 && exercise == "" {
		return listQuery(kind, f.Filter, before, limit)
	}
	if len(states) == 0 || f.PatientID != "" {
		query, args = listQuery(kind, f.Filter, before, limit)
		where, order, _ := strings.Cut(query, ` ORDER BY `)
		where += ` AND EXISTS (SELECT 1 FROM adverse_events e WHERE e.id = submissions.id` + exercise
		for i, state := range states {
			if i == 0 {
				where += ` AND e.state IN (`
			} else {
				where += `, `
			}
			args = append(args, string(state))
			where += `$` + strconv.Itoa(len(args))
		}
		if len(states) > 0 {
			where += `)`
		}
		return where + `) ORDER BY ` + order, args
	}
	// The condition is the same for each state, so that each gives its rows in order.
	args = []any{kind, int64(before), limit}
	where := ` AND e.sequence < $2` + exercise
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

// LatestSteps returns the last n steps of an adverse event: see [tasks.LatestAdverseEventSteps].
func (s *Store) LatestSteps(ctx context.Context, id string, n int) ([]tasks.Step, error) {
	steps, err := tasks.LatestAdverseEventSteps(s.readingOf(ctx, tasks.KindAdverseEventStep()), id, n)
	if err != nil {
		return nil, s.explain(err, "latest steps of %s", id)
	}
	return steps, nil
}

// Step returns the recorded step that has the key of the given one. [ErrNotFound] if there is none.
func (s *Store) Step(ctx context.Context, of tasks.AdverseEventStep) (tasks.Step, error) {
	step, found, err := tasks.AdverseEventStepOf(s.readingOf(ctx, tasks.KindAdverseEventStep()), of)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return tasks.Step{}, s.explain(err, "a step of %s", of.ID)
	}
	return step, nil
}

// CROSS JOIN lets SQLite begin with the few open cases, or steps, and not with all submissions.
const (
	openCasesQuery = `SELECT e.id, s.study FROM adverse_events e CROSS JOIN submissions s
		WHERE s.kind = 'adverse-event' AND s.id = e.id AND e.state IN ('open', 'notified') ORDER BY e.sequence`
	stepsAfterQuery = `SELECT steps.case_id, steps.sequence, s.study FROM adverse_event_steps steps CROSS JOIN submissions s
		WHERE s.kind = 'adverse-event' AND s.id = steps.case_id AND steps.sequence > $1 ORDER BY steps.sequence LIMIT $2`
)

// OpenCase is a case that nobody has acknowledged.
type OpenCase struct {
	ID, Study string
}

// OpenCases returns the cases that nobody has acknowledged, the oldest first, and the offset of the last step of all cases that
// there is: what comes later [Store.StepsAfter] has.
func (s *Store) OpenCases(ctx context.Context) (open []OpenCase, last int64, err error) {
	const newest = `SELECT COALESCE(MAX(sequence), -1) FROM adverse_event_steps`
	rows, err := s.queries.query(ctx, newest) // before, so that no step is missed
	if err == nil {
		err = tasks.EachRow(rows, func() error { return rows.Scan(&last) })
	}
	if err == nil {
		rows, err = s.queries.query(ctx, openCasesQuery)
	}
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			var c OpenCase
			err := rows.Scan(&c.ID, &c.Study)
			open = append(open, c)
			return err
		})
	}
	if err != nil {
		return nil, 0, s.explain(err, "open cases")
	}
	return open, last, nil
}

// StepOf says that a step was taken with a case.
type StepOf struct {
	OpenCase
	Offset int64
}

// StepsAfter returns with which cases a step was taken behind an offset, in the order of the log, up to limit.
func (s *Store) StepsAfter(ctx context.Context, offset int64, limit int) (steps []StepOf, err error) {
	rows, err := s.queries.query(ctx, stepsAfterQuery, offset, limit)
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			var one StepOf
			err := rows.Scan(&one.ID, &one.Offset, &one.Study)
			steps = append(steps, one)
			return err
		})
	}
	if err != nil {
		return nil, s.explain(err, "steps of adverse events")
	}
	return steps, nil
}

// AlertChannel is how a channel stands by which people of a study are told of cases.
type AlertChannel struct {
	// Study is the one whose ladder has it, and Channel the id of a webhook endpoint or the label of a mail address.
	Study, Channel string
	// FailingSince is the first of the attempts that have failed in a row; zero: the last one was taken. LastError is why it
	// failed, LastAt when it was.
	FailingSince, LastAt time.Time
	LastError            string
	// ToldAt is when somebody was told last, by another channel, that it fails.
	ToldAt time.Time
}

// AlertChannels returns all channels that were tried.
func (s *Store) AlertChannels(ctx context.Context) (all []AlertChannel, err error) {
	rows, err := s.queries.query(ctx, `SELECT study, channel, failing_since, last_at, last_error, told_at FROM alert_channels ORDER BY study, channel`)
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			var c AlertChannel
			var since, last, told int64
			err := rows.Scan(&c.Study, &c.Channel, &since, &last, &c.LastError, &told)
			c.FailingSince, c.LastAt, c.ToldAt = fromMicros(since), fromMicros(last), fromMicros(told)
			all = append(all, c)
			return err
		})
	}
	if err != nil {
		return nil, s.explain(err, "alert channels")
	}
	return all, nil
}

// SaveAlertChannel keeps how a channel stands.
func (s *Store) SaveAlertChannel(ctx context.Context, channel AlertChannel) error {
	const put = `INSERT INTO alert_channels (study, channel, failing_since, last_at, last_error, told_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (study, channel) DO UPDATE SET failing_since = excluded.failing_since, last_at = excluded.last_at,
			last_error = excluded.last_error, told_at = excluded.told_at`
	err := s.write(ctx, func(c *change) error {
		_, err := c.Exec(put, channel.Study, channel.Channel, micros(channel.FailingSince), micros(channel.LastAt), channel.LastError,
			micros(channel.ToldAt))
		return err
	})
	if err != nil {
		return s.explain(err, "alert channel %s", channel.Channel)
	}
	return nil
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
