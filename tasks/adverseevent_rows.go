package tasks

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The tables of adverse events are made by the store's migrations, as those of case reports:
//
//	adverse_events       content and result of each, and where it stands as a case
//	adverse_event_steps  what was done with each, in the order of the log

func insertAdverseEvent(tx Tx, r Recorded) error {
	const insert = `INSERT INTO adverse_events (id, content, content_check_sum, sequence, exercise) VALUES ($1, $2, $3, $4, $5)`
	e := r.Content.(AdverseEvent)
	exercise := 0
	if e.Exercise {
		exercise = 1
	}
	content, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(insert, e.ID, string(content), CheckSum(content), int64(r.Offset), exercise); err != nil {
		return err
	}
	return insertStepRow(tx, receivedStep(r))
}

// receivedStep is the first step of a case.
func receivedStep(r Recorded) Step {
	return Step{Offset: r.Offset, At: r.ReceivedAt, Outcome: Received, State: StateOpen, AdverseEventStep: AdverseEventStep{ID: r.Content.Header().ID}}
}

func completeAdverseEvent(tx Tx, id string, r Result) error {
	const update = `UPDATE adverse_events SET result = $1, check_sum = $2 WHERE id = $3`
	made, ok := r.(AdverseEventResult)
	if !ok {
		return wrongResult("an adverse event", r, made)
	}
	result, err := json.Marshal(made)
	if err != nil {
		return err
	}
	_, err = tx.Exec(update, string(result), CheckSum(result), id)
	return err
}

func loadAdverseEvents(tx Tx, of []Stored) (map[string]Loaded, error) {
	in, args := InList(idsOf(of))
	stored := make(map[string]Stored, len(of))
	for _, s := range of {
		stored[s.ID] = s
	}
	rows, err := tx.Query(`SELECT id, content, content_check_sum, result, check_sum, exercise, `+standingColumns+` FROM adverse_events WHERE id IN `+in, args...)
	if err != nil {
		return nil, err
	}
	loaded := make(map[string]Loaded, len(of))
	err = EachRow(rows, func() error {
		var id, content, result string
		var contentSum, resultSum int64
		var exercise bool
		var s standingRow
		if err := rows.Scan(&id, &content, &contentSum, &result, &resultSum, &exercise, &s.state, &s.standing, &s.sum); err != nil {
			return err
		}
		if contentSum != 0 && CheckSum([]byte(content)) != contentSum || resultSum != 0 && CheckSum([]byte(result)) != resultSum {
			return fmt.Errorf("%w: content or result of %s", ErrChanged, id)
		}
		var e AdverseEvent
		if err := json.Unmarshal([]byte(content), &e); err != nil {
			return fmt.Errorf("content of %s: %w", id, err)
		}
		if e.Header() != stored[id].Header { // the digest may be of the original alone
			return fmt.Errorf("%w: whom %s is about", ErrChanged, id)
		}
		if e.Exercise != exercise {
			return fmt.Errorf("%w: whether %s is an exercise", ErrChanged, id)
		}
		standing, err := s.decode(id)
		if err != nil {
			return err
		}
		e.standing = &standing
		l := Loaded{Content: e}
		if result != "" {
			var r AdverseEventResult
			if err := json.Unmarshal([]byte(result), &r); err != nil {
				return fmt.Errorf("result of %s: %w", id, err)
			}
			l.Result = r
		}
		loaded[id] = l
		return nil
	})
	return loaded, err
}

const standingColumns = `state, standing, standing_check_sum`

// standingRow has standingColumns. Standing is JSON, and "" while nothing was done.
type standingRow struct {
	state, standing string
	sum             int64
}

func (r standingRow) decode(id string) (s Standing, err error) {
	s.State = StateOpen
	if r.standing != "" {
		if CheckSum([]byte(r.standing)) != r.sum {
			return s, fmt.Errorf("%w: where %s stands", ErrChanged, id)
		}
		if err := json.Unmarshal([]byte(r.standing), &s); err != nil {
			return s, fmt.Errorf("where %s stands: %w", id, err)
		}
	}
	if string(s.State) != r.state {
		return s, fmt.Errorf("%w: the state of %s", ErrChanged, id)
	}
	return s, nil
}

// standingOf reads where a case stands; found is false if there is none.
func standingOf(tx Tx, id string) (s Standing, found bool, err error) {
	rows, err := tx.Query(`SELECT `+standingColumns+` FROM adverse_events WHERE id = $1`, id)
	if err != nil {
		return s, false, err
	}
	var r standingRow
	err = EachRow(rows, func() error {
		found = true
		return rows.Scan(&r.state, &r.standing, &r.sum)
	})
	if err != nil || !found {
		return Standing{State: StateOpen}, found, err
	}
	s, err = r.decode(id)
	return s, true, err
}

// insertStep decides what comes of a step: the rows have all steps before it, in the order of the log.
func insertStep(tx Tx, r Recorded) error {
	const update = `UPDATE adverse_events SET state = $1, standing = $2, standing_check_sum = $3 WHERE id = $4`
	step := r.Content.(AdverseEventStep)
	if _, found, err := findStep(tx, step); err != nil || found {
		return err
	}
	standing, found, err := standingOf(tx, step.ID)
	if err != nil {
		return err
	}
	duplicate := false
	if step.Of != "" {
		of, _, err := standingOf(tx, step.Of)
		if err != nil {
			return err
		}
		duplicate = of.IsDuplicate()
	}
	standing, outcome := standing.after(step, r.ReceivedAt, duplicate)
	if err := insertStepRow(tx, Step{r.Offset, r.ReceivedAt, outcome, standing.State, step}); err != nil || !found {
		return err
	}
	text, err := json.Marshal(standing)
	if err != nil {
		return err
	}
	_, err = tx.Exec(update, string(standing.State), string(text), CheckSum(text), step.ID)
	return err
}

func insertStepRow(tx Tx, s Step) error {
	const insert = `INSERT INTO adverse_event_steps (case_id, sequence, step_key, at, outcome, state, content, check_sum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	content, err := json.Marshal(s.AdverseEventStep)
	if err != nil {
		return err
	}
	_, err = tx.Exec(insert, s.ID, int64(s.Offset), s.key(), micros(s.At), string(s.Outcome), string(s.State), string(content), s.checkSum(content))
	return err
}

// checkSum is that of all columns of the step's row.
func (s Step) checkSum(content []byte) int64 {
	text := strconv.FormatUint(s.Offset, 10) + " " + strconv.FormatInt(micros(s.At), 10) + " " + string(s.Outcome) + " " + string(s.State) + " "
	return CheckSum(append([]byte(text), content...))
}

func findStep(tx Tx, c Content) (sha256 string, found bool, err error) {
	const query = `SELECT content FROM adverse_event_steps WHERE case_id = $1 AND step_key = $2`
	step := c.(AdverseEventStep)
	rows, err := tx.Query(query, step.ID, step.key())
	if err != nil {
		return "", false, err
	}
	err = EachRow(rows, func() error {
		var content []byte
		if err := rows.Scan(&content); err != nil {
			return err
		}
		var stored AdverseEventStep
		if err := json.Unmarshal(content, &stored); err != nil {
			return fmt.Errorf("step of %s: %w", step.ID, err)
		}
		sha256, found = stored.Digest(), true
		return nil
	})
	return sha256, found, err
}

const stepColumns = `case_id, sequence, step_key, at, outcome, state, content, check_sum`

// scanStep reads stepColumns and verifies them.
func scanStep(scan func(...any) error, more ...any) (s Step, err error) {
	var id, key, content string
	var offset, at, sum int64
	if err := scan(append([]any{&id, &offset, &key, &at, &s.Outcome, &s.State, &content, &sum}, more...)...); err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(content), &s.AdverseEventStep); err != nil {
		return s, fmt.Errorf("step of %s: %w", id, err)
	}
	s.Offset, s.At = uint64(offset), fromMicros(at)
	// 0 is in rows that were made of those of earlier versions: of these there is no more than the submission's row has.
	if s.ID != id || s.key() != key || sum != 0 && s.checkSum([]byte(content)) != sum {
		return s, fmt.Errorf("%w: a step of %s", ErrChanged, id)
	}
	return s, nil
}

// AdverseEventSteps returns what was done with an adverse event, in the order of the log: first that it was received.
func AdverseEventSteps(tx Tx, id string) (steps []Step, err error) {
	rows, err := tx.Query(`SELECT `+stepColumns+` FROM adverse_event_steps WHERE case_id = $1 ORDER BY sequence`, id)
	if err != nil {
		return nil, err
	}
	return readSteps(rows)
}

// LatestAdverseEventSteps returns the last n steps of an adverse event, and before them, if they are not among these, that it was
// received and handed over: without them nobody could tell whether it was ever [Queued].
func LatestAdverseEventSteps(tx Tx, id string, n int) (steps []Step, err error) {
	rows, err := tx.Query(`SELECT `+stepColumns+` FROM adverse_event_steps WHERE case_id = $1 AND (step_key IN ('`+string(Received)+`', '`+string(StepHandOver)+`')
		OR sequence IN (SELECT sequence FROM adverse_event_steps WHERE case_id = $1 ORDER BY sequence DESC LIMIT $2)) ORDER BY sequence`, id, n)
	if err != nil {
		return nil, err
	}
	return readSteps(rows)
}

// AdverseEventStepOf returns the step with the key of the given one, if there is one.
func AdverseEventStepOf(tx Tx, of AdverseEventStep) (step Step, found bool, err error) {
	rows, err := tx.Query(`SELECT `+stepColumns+` FROM adverse_event_steps WHERE case_id = $1 AND step_key = $2`, of.ID, of.key())
	if err != nil {
		return Step{}, false, err
	}
	steps, err := readSteps(rows)
	if err != nil || len(steps) == 0 {
		return Step{}, false, err
	}
	return steps[0], true, nil
}

func readSteps(rows *sql.Rows) (steps []Step, err error) {
	err = EachRow(rows, func() error {
		s, err := scanStep(rows.Scan)
		steps = append(steps, s)
		return err
	})
	return steps, err
}

// verifySteps reads the steps of all cases and compares what they come to with where the cases stand.
func verifySteps(tx Tx) error {
	const query = `SELECT steps.case_id, steps.sequence, steps.step_key, steps.at, steps.outcome, steps.state, steps.content, steps.check_sum, e.standing
		FROM adverse_event_steps steps JOIN adverse_events e ON e.id = steps.case_id ORDER BY steps.case_id, steps.sequence`
	rows, err := tx.Query(query)
	if err != nil {
		return err
	}
	var of, stored string
	standing := Standing{State: StateOpen}
	check := func() error {
		if text, err := json.Marshal(standing); err != nil || string(text) != stored && (stored != "" || standing.Steps > 0) {
			return fmt.Errorf("%w: where %s stands is not what its steps come to", ErrChanged, of)
		}
		return nil
	}
	err = EachRow(rows, func() error {
		var now string
		s, err := scanStep(rows.Scan, &now)
		if err != nil {
			return err
		}
		if s.ID != of {
			if err := check(); err != nil {
				return err
			}
			of, standing = s.ID, Standing{State: StateOpen}
		}
		stored = now
		outcome := Received
		if s.Outcome != Received {
			// That another case was a duplicate then is seen in the outcome alone.
			standing, outcome = standing.after(s.AdverseEventStep, s.At, s.Outcome == AcknowledgementRefused)
		}
		if outcome != s.Outcome || standing.State != s.State {
			return fmt.Errorf("%w: what came of a step of %s", ErrChanged, s.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return check()
}

// CaseEvent is the event of a step that was taken with an adverse event. It is thin on purpose, as [Update] is.
type CaseEvent struct {
	// ID is the same for every repeat of the same event.
	ID           string    `json:"id"`
	Type         string    `json:"type"` // always "adverse-event"
	Time         time.Time `json:"time"` // when the step was recorded
	Kind         string    `json:"kind"` // always "adverse-event"
	SubmissionID string    `json:"submissionId"`
	Study        string    `json:"study,omitempty"`
	Site         string    `json:"site,omitempty"`
	PatientID    string    `json:"patientId"`
	VisitID      string    `json:"visitId,omitempty"`
	// Step is what came of it, and State where the case stood then.
	Step  Outcome           `json:"step"`
	State AdverseEventState `json:"state"`
	URL   string            `json:"url"` // path of the case
	// Channel is by what somebody was told, or was to be, where that is the step.
	Channel string `json:"channel,omitempty"`
	// Exercise says that it is a drill, and no patient is concerned.
	Exercise bool `json:"exercise,omitempty"`
}

// TypeAdverseEvent is the type of events of [CaseEvent].
const TypeAdverseEvent = "adverse-event"

// adverseEventEvents returns the event of every step, but for what only says that a worker of casepress has a case. CROSS JOIN lets
// SQLite begin with the steps, of which it needs few, and not with all cases.
func adverseEventEvents(tx Tx, after int64, limit int) ([]RecordEvent, error) {
	const query = `SELECT steps.case_id, steps.sequence, steps.step_key, steps.at, steps.outcome, steps.state, steps.content, steps.check_sum,
			s.study, s.site, s.patient_id, s.visit_id, e.exercise
		FROM adverse_event_steps steps CROSS JOIN submissions s CROSS JOIN adverse_events e
		WHERE s.kind = 'adverse-event' AND s.id = steps.case_id AND e.id = steps.case_id
			AND steps.sequence > $1 AND steps.outcome <> 'handed-over' ORDER BY steps.sequence LIMIT $2`
	rows, err := tx.Query(query, after, limit)
	if err != nil {
		return nil, err
	}
	var all []RecordEvent
	err = EachRow(rows, func() error {
		var h Header
		var exercise bool
		s, err := scanStep(rows.Scan, &h.Study, &h.Site, &h.PatientID, &h.VisitID, &exercise)
		if err != nil {
			return err
		}
		e, err := eventOfStep(s, h, exercise)
		all = append(all, RecordEvent{s.Offset, e})
		return err
	})
	return all, err
}

// adverseEventReceived is the event of the first step, which a case has as soon as its record is there.
func adverseEventReceived(r Recorded) (Event, error) {
	return eventOfStep(receivedStep(r), r.Content.Header(), r.Content.(AdverseEvent).Exercise)
}

// eventOfStep is the event of a step that was taken with the adverse event of the header, which may be an exercise.
func eventOfStep(s Step, h Header, exercise bool) (Event, error) {
	e := CaseEvent{
		ID:   kindAdverseEvent + "/" + s.ID + "/step/" + strconv.FormatUint(s.Offset, 10),
		Type: TypeAdverseEvent, Time: s.At, Kind: kindAdverseEvent, SubmissionID: s.ID,
		Study: h.Study, Site: h.Site, PatientID: h.PatientID, VisitID: h.VisitID,
		Step: s.Outcome, State: s.State, URL: pathAdverseEvents + "/" + s.ID, Channel: s.Channel, Exercise: exercise,
	}
	payload, err := json.Marshal(e)
	return Event{ID: e.ID, Topic: TopicUpdates, Key: h.Subject().Key(), Payload: payload}, err
}
