package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/jsonfile"
	"casepress/store"
	"casepress/tasks"
)

// maxSteps bounds what people do with one case. Calls that come at the same moment, and what brings the case to its end, may go a
// little beyond.
const maxSteps = 1000

// latestSteps is how many entries of the timeline the answer to a step shows: a whole one may have megabytes, and each step of a
// long case would send it again.
const latestSteps = 50

// takeStep answers POST of a step with an adverse event. The order of the log decides whether it counts: so the record is
// written first, and the answer tells what came of it. What was recorded is on the timeline, also if it is refused.
func (a *API) takeStep(kind tasks.StepKind, status int) gin.HandlerFunc {
	return func(c *gin.Context) {
		replayed, shown, err := a.recordStep(c, kind)
		if err != nil {
			a.fail(c, err)
			return
		}
		if replayed {
			c.Header("Idempotency-Replayed", "true")
		}
		c.Header("Location", adverseEventURL(shown.ID))
		body := encodeJSON(shown)
		release, err := a.holdAnswer(c, len(body))
		if err != nil { // the step is recorded, so only what makes the answer long is left out
			shown.Timeline, shown.TimelineCut = shown.Timeline[max(0, len(shown.Timeline)-1):], true
			body, release = encodeJSON(shown), func() {}
		}
		defer release()
		writeBytes(c, status, "application/json", body)
	}
}

func (a *API) recordStep(c *gin.Context, kind tasks.StepKind) (replayed bool, shown adverseEventAnswer, err error) {
	s, err := a.readStep(c.Request, kind, c.Param("id"))
	if err != nil {
		return false, shown, err
	}
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	row, err := a.findRow(ctx, adverseEventRef(c.Param("id")))
	if err != nil {
		return false, shown, err
	}
	if !s.Fresh {
		_, err = a.rows.Find(ctx, s)
	}
	if s.Fresh || errors.Is(err, store.ErrNotFound) {
		err = a.checkStep(ctx, row, s.Content.(tasks.AdverseEventStep))
	}
	if err != nil {
		return false, shown, err
	}
	got, err := a.work.Accept(ctx, s)
	if e, conflict := errors.AsType[*dispatcher.ConflictError](err); conflict {
		id := s.Content.(tasks.AdverseEventStep).FollowUpID
		return false, shown, &fault{code: codeIDConflict, args: []any{id}, extras: extras{ID: id, StoredSHA256: e.Stored, OfferedSHA256: e.Offered}}
	}
	if err != nil {
		return false, shown, acceptFault(err, textStepUnknown)
	}
	shown, err = a.afterStep(ctx, row, s.Content.(tasks.AdverseEventStep))
	if err != nil { // it is stored, whatever the answer is
		f := asFault(err)
		f.stored = true
		return false, shown, f
	}
	return got.Replayed, shown, nil
}

// readStep reads and checks the body.
func (a *API) readStep(r *http.Request, kind tasks.StepKind, id string) (s tasks.Submission, err error) {
	if checkPathID("id", id) != nil {
		return s, noSubmission(adverseEventRef(id)) // none can have this id
	}
	document, err := readJSON(r, tasks.MaxStepBytes)
	if err != nil {
		return s, err
	}
	step, err := parsed(a, r, a.urgentParsing, func() (tasks.AdverseEventStep, []jsonfile.Problem) {
		return tasks.ReadStep(document, kind, id)
	})
	if err != nil {
		return s, err
	}
	fresh := false
	if kind == tasks.StepFollowUp {
		key, wrong := idempotencyKey(r.Header)
		switch {
		case wrong != nil:
			return s, &fault{code: codeInvalidInput, fields: []fieldFault{*wrong}}
		case key != "" && step.FollowUpID != "" && key != step.FollowUpID:
			return s, invalid("/id", textIDsDiffer)
		case key != "":
			step.FollowUpID = key
		case step.FollowUpID == "":
			fresh = true
			if step.FollowUpID, err = newID(); err != nil {
				return s, err
			}
		}
	}
	s = tasks.NewSubmission(tasks.KindAdverseEventStep(), step)
	s.Fresh = fresh
	return s, nil
}

// idempotencyKey returns the header of that name, bare or quoted as its draft wants it; "" if there is none.
func idempotencyKey(header http.Header) (string, *fieldFault) {
	keys := header.Values("Idempotency-Key")
	switch {
	case len(keys) > 1:
		return "", &fieldFault{field: "Idempotency-Key", detail: textRepeated}
	case len(keys) == 0:
		return "", nil
	}
	key := strings.TrimSpace(keys[0])
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	return key, checkPathID("Idempotency-Key", key)
}

// checkStep returns a fault where it is plain before the record is written that a new step is none.
func (a *API) checkStep(ctx context.Context, row store.Row, step tasks.AdverseEventStep) error {
	standing := row.Content.(tasks.AdverseEvent).Standing()
	// What brings the case on is never one too many: nobody could end it else.
	bringsOn := step.Step == tasks.StepAcknowledgement && standing.Acknowledged == nil || step.Step == tasks.StepClosing && standing.Closed == nil
	switch {
	case standing.Steps-standing.Notifications >= maxSteps && !bringsOn: // what casepress did takes no room from people
		return &fault{code: codeTooManySteps, args: []any{maxSteps}, extras: extras{ID: row.ID, Limit: maxSteps}}
	case step.Step == tasks.StepClosing && standing.Acknowledged == nil:
		// The row may be behind an acknowledgement that was answered a moment ago.
		again, err := a.caseNow(ctx, row.ID)
		if err != nil {
			return err
		}
		if again.Content.(tasks.AdverseEvent).Standing().Acknowledged == nil {
			return &fault{code: codeCaseNotAcknowledged, args: []any{row.ID}, extras: extras{ID: row.ID}}
		}
	case step.Of != "" && standing.Acknowledged == nil:
		return a.checkOriginalCase(ctx, row, step.Of)
	}
	return nil
}

// caseNow reads a case once its rows show every step so far.
func (a *API) caseNow(ctx context.Context, id string) (store.Row, error) {
	if err := a.work.CaughtUp(ctx, tasks.TopicAdverseEvents); err != nil {
		return store.Row{}, err
	}
	return a.findKnown(ctx, adverseEventRef(id))
}

// checkOriginalCase returns a fault unless a case can be a duplicate of the one with the id of.
func (a *API) checkOriginalCase(ctx context.Context, row store.Row, of string) error {
	original, err := dispatcher.Lookup(ctx, a.work, func(ctx context.Context) (store.Row, error) { return a.rows.Get(ctx, adverseEventRef(of)) },
		topicsOf(tasks.KindAdverseEvent().Name)...)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return invalid("/of", textNoSuchCase, of)
	case err != nil:
		return err
	case original.Study != row.Study:
		return invalid("/of", textOtherStudy, of)
	case original.PatientID != row.PatientID:
		return invalid("/of", textOtherPatient, of, original.PatientID, row.PatientID)
	}
	switch exercise := row.Content.(tasks.AdverseEvent).Exercise; {
	case exercise == original.Content.(tasks.AdverseEvent).Exercise:
	case exercise:
		return invalid("/of", textNoExercise, of)
	default:
		return invalid("/of", textIsExercise, of)
	}
	if standing := original.Content.(tasks.AdverseEvent).Standing(); standing.IsDuplicate() {
		return invalid("/of", textIsDuplicate, of, standing.Acknowledged.Of)
	}
	return nil
}

// afterStep shows the case after a step that is on stable storage, or returns a fault if it was refused.
func (a *API) afterStep(ctx context.Context, row store.Row, step tasks.AdverseEventStep) (shown adverseEventAnswer, err error) {
	row, err = a.caseNow(ctx, row.ID)
	if err != nil {
		return shown, err
	}
	taken, err := a.rows.Step(ctx, step)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return shown, err
	}
	standing := row.Content.(tasks.AdverseEvent).Standing()
	switch first := standing.Acknowledged; {
	case taken.Outcome == tasks.AcknowledgementRefused && first == nil:
		return shown, &fault{code: codeOriginalIsDuplicate, args: []any{step.Of}, extras: extras{ID: row.ID}}
	case taken.Outcome == tasks.AcknowledgementRefused:
		return shown, &fault{
			code: codeCaseAcknowledged, args: []any{first.Name, shownTime(first.At), first.Decision},
			extras: extras{ID: row.ID, Acknowledgement: showAcknowledgement(first)},
		}
	case taken.Outcome == tasks.ClosingRefused:
		closing := standing.Closed
		if closing == nil { // only where the log has lost what was before
			return shown, &fault{code: codeCaseNotAcknowledged, args: []any{row.ID}, extras: extras{ID: row.ID}}
		}
		return shown, &fault{
			code: codeCaseClosed, args: []any{closing.Name, shownTime(closing.At)},
			extras: extras{ID: row.ID, Closing: showClosing(closing)},
		}
	}
	// One more than is shown, for the time between.
	steps, err := a.rows.LatestSteps(ctx, row.ID, latestSteps+1)
	if err != nil {
		return shown, err
	}
	entries := timelineOf(row, steps)
	shown = showCase(row, entries[max(0, len(entries)-latestSteps):])
	shown.TimelineCut = len(entries) > latestSteps
	return shown, nil
}
