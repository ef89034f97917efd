package handlers

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/jsonfile"
	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// acceptedAdverseEvent is the answer to an adverse event that was reported.
type acceptedAdverseEvent struct {
	ID        string       `json:"id"`
	Status    tasks.Status `json:"status"`
	Message   string       `json:"message"`
	StatusURL string       `json:"statusUrl"`
	Receipt   receipt      `json:"receipt"`
	// State is where it stands as a case.
	State tasks.AdverseEventState `json:"state"`
	Clock clockAnswer             `json:"clock"`
	// HandedOver says that an urgent worker has taken it over. If not, it is queued.
	HandedOver bool            `json:"handedOver"`
	Warnings   []tasks.Warning `json:"warnings"`
}

// adverseEventAnswer is an adverse event as answers show it. Pointers are null when unset.
type adverseEventAnswer struct {
	ID        string       `json:"id"`
	Study     *string      `json:"study"`
	Site      *string      `json:"site"`
	PatientID string       `json:"patientId"`
	VisitID   *string      `json:"visitId"`
	Status    tasks.Status `json:"status"`
	// State is where the case stands: open as long as nobody has acknowledged it.
	State           tasks.AdverseEventState `json:"state"`
	Clock           clockAnswer             `json:"clock"`
	HandedOverAt    *timestamp              `json:"handedOverAt"`
	NotifiedAt      *timestamp              `json:"notifiedAt"`
	Acknowledgement *acknowledgementAnswer  `json:"acknowledgement"`
	Closing         *closingAnswer          `json:"closing"`
	// Exercise says that it is a drill, and no patient is concerned.
	Exercise bool `json:"exercise"`
	// What was reported; null if it follows from a flag.
	Description *string             `json:"description"`
	KnownAt     *string             `json:"knownAt"`
	OnsetAt     *string             `json:"onsetAt"`
	Seriousness []string            `json:"seriousness"`
	Reporter    *string             `json:"reporter"`
	DeviceTime  *string             `json:"deviceTime"`
	Images      []adverseEventImage `json:"images"`
	Warnings    []tasks.Warning     `json:"warnings"`
	StudyFile   *tasks.StudyFile    `json:"studyFile"`
	// What it follows from; null if it was reported.
	Source     *adverseEventSource    `json:"source"`
	Instrument *string                `json:"instrument"`
	Version    *string                `json:"version"`
	Flag       *instrument.FlagResult `json:"flag"`
	Authored   *string                `json:"authored"`
	Receipt    receipt                `json:"receipt"`
	CreatedAt  *timestamp             `json:"createdAt"`
	FinishedAt *timestamp             `json:"finishedAt"`
	Error      *string                `json:"error"`
	Timeline   []timelineEntryAnswer  `json:"timeline,omitempty"` // not in lists
	// TimelineCut says that earlier entries are left out, as in the answer to a step of a long case.
	TimelineCut bool `json:"timelineCut,omitempty"`
}

type adverseEventSource struct {
	tasks.Source
	URL string `json:"url"`
}

// adverseEventImage is an image of the patient that the report names.
type adverseEventImage struct {
	ImageID   string `json:"imageId"`
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"mediaType"`
}

// clockAnswer says how long there is to acknowledge an adverse event. Limit is a duration as ISO 8601 writes it, in hours.
type clockAnswer struct {
	From  *timestamp `json:"from"`
	Limit string     `json:"limit"`
	DueAt *timestamp `json:"dueAt"`
}

// acknowledgementAnswer is the acknowledgement that counts.
type acknowledgementAnswer struct {
	At       *timestamp     `json:"at"`
	Name     string         `json:"name"`
	Decision tasks.Decision `json:"decision"`
	Of       *string        `json:"of"`
	Note     *string        `json:"note"`
}

type closingAnswer struct {
	At     *timestamp `json:"at"`
	Name   string     `json:"name"`
	Reason string     `json:"reason"`
}

// timelineEntryAnswer is one step of the timeline. Who and Channel are null where nobody did it by himself and nobody was told
// of it; the members after ElapsedSeconds are there only of steps that have them.
type timelineEntryAnswer struct {
	At      *timestamp    `json:"at"`
	Step    tasks.Outcome `json:"step"`
	Who     *string       `json:"who"`
	Channel *string       `json:"channel"`
	// AfterSeconds is how long after the step before, of the first how long after first knowledge; ElapsedSeconds is how long
	// after first knowledge.
	AfterSeconds   float64        `json:"afterSeconds"`
	ElapsedSeconds float64        `json:"elapsedSeconds"`
	Decision       tasks.Decision `json:"decision,omitempty"`
	Of             string         `json:"of,omitempty"`
	Note           string         `json:"note,omitempty"`
	Description    string         `json:"description,omitempty"`
	Reason         string         `json:"reason,omitempty"`
	Rung           int            `json:"rung,omitempty"`
	Attempt        int            `json:"attempt,omitempty"`
}

// showAdverseEvent shows a case without its timeline.
func showAdverseEvent(row store.Row) adverseEventAnswer {
	e := row.Content.(tasks.AdverseEvent)
	standing := e.Standing()
	shown := adverseEventAnswer{
		ID: row.ID, Study: stringOrNull(row.Study), Site: stringOrNull(row.Site), PatientID: row.PatientID, VisitID: stringOrNull(row.VisitID),
		Status: row.Status, State: standing.State, Clock: showClock(e.Clock(row.ReceivedAt)), HandedOverAt: timeOrNull(standing.HandedOver),
		NotifiedAt: timeOrNull(standing.Notified), Exercise: e.Exercise,
		Acknowledgement: showAcknowledgement(standing.Acknowledged), Closing: showClosing(standing.Closed),
		Seriousness: []string{}, Images: []adverseEventImage{}, Warnings: []tasks.Warning{},
		Authored:  stringOrNull(e.Authored),
		Flag:      e.Flag,
		Receipt:   receipt{row.SHA256, row.Sequence, timeOrNull(row.ReceivedAt)},
		CreatedAt: timeOrNull(row.CreatedAt), FinishedAt: timeOrNull(row.FinishedAt), Error: stringOrNull(row.Error),
	}
	if e.Source != nil {
		shown.Source = &adverseEventSource{*e.Source, revisionURL(tasks.QuestionnaireResponse{ID: e.Source.ID, Revision: e.Source.Revision})}
	}
	if e.Rule != nil {
		shown.Instrument, shown.Version = stringOrNull(e.Rule.ID), stringOrNull(e.Rule.Version)
	}
	if r := e.Report; r != nil {
		shown.Description, shown.KnownAt, shown.OnsetAt = stringOrNull(r.Description), stringOrNull(r.KnownAt), stringOrNull(r.OnsetAt)
		shown.Seriousness, shown.Reporter, shown.DeviceTime = list(r.Seriousness), stringOrNull(r.Reporter), stringOrNull(r.DeviceTime)
		shown.Warnings, shown.StudyFile = list(r.Warnings), r.StudyFile
		for _, img := range r.Images {
			shown.Images = append(shown.Images, adverseEventImage{img.ImageID, img.SHA256, img.Bytes, img.MediaType})
		}
	}
	return shown
}

func showClock(c tasks.Clock) clockAnswer {
	due := c.DueAt()
	return clockAnswer{(*timestamp)(&c.From), "PT" + strconv.Itoa(int(c.Limit/time.Hour)) + "H", (*timestamp)(&due)}
}

func showAcknowledgement(d *tasks.Done) *acknowledgementAnswer {
	if d == nil {
		return nil
	}
	return &acknowledgementAnswer{timeOrNull(d.At), d.Name, d.Decision, stringOrNull(d.Of), stringOrNull(d.Note)}
}

func showClosing(d *tasks.Done) *closingAnswer {
	if d == nil {
		return nil
	}
	return &closingAnswer{timeOrNull(d.At), d.Name, d.Reason}
}

// showCase shows a case with its timeline.
func showCase(row store.Row, entries []tasks.TimelineEntry) adverseEventAnswer {
	shown := showAdverseEvent(row)
	reporter := ""
	if r := row.Content.(tasks.AdverseEvent).Report; r != nil {
		reporter = r.Reporter
	}
	shown.Timeline = showTimeline(entries, reporter)
	return shown
}

func showTimeline(entries []tasks.TimelineEntry, reporter string) []timelineEntryAnswer {
	shown := make([]timelineEntryAnswer, len(entries))
	for i, e := range entries {
		who := e.Name
		if e.Outcome == tasks.Received {
			who = reporter
		}
		shown[i] = timelineEntryAnswer{
			At: timeOrNull(e.At), Step: e.Outcome, Who: stringOrNull(who), Channel: stringOrNull(e.Channel), AfterSeconds: e.After, ElapsedSeconds: e.Elapsed,
			Decision: e.Decision, Of: e.Of, Note: e.Note, Description: e.Description, Reason: e.Reason, Rung: e.Rung, Attempt: e.Attempt,
		}
	}
	return shown
}

// shownTime is a time in a sentence.
func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// adverseEventRoutes serves adverse events and what is done with them.
func (a *API) adverseEventRoutes(e *gin.Engine) {
	k := tasks.KindAdverseEvent()
	admit := a.admit(k.Lane, tasks.MaxAdverseEventBytes)
	e.POST(k.Path, admit, func(c *gin.Context) { a.takeAdverseEvent(c, "") })
	e.PUT(k.Path+"/:id", admit, func(c *gin.Context) { a.takeAdverseEvent(c, c.Param("id")) })
	get(e, k.Path, a.adverseEvents)
	get(e, k.Path+"/:id", a.adverseEvent)
	get(e, k.Path+"/:id/timeline.pdf", a.timelinePDF)
	e.POST(k.Path+"/:id/retry", a.retry(k))
	step := a.admit(k.Lane, tasks.MaxStepBytes)
	e.POST(k.Path+"/:id/acknowledge", step, a.takeStep(tasks.StepAcknowledgement, http.StatusOK))
	e.POST(k.Path+"/:id/follow-ups", step, a.takeStep(tasks.StepFollowUp, http.StatusCreated))
	e.POST(k.Path+"/:id/close", step, a.takeStep(tasks.StepClosing, http.StatusOK))
}

// takeAdverseEvent answers 201 when the adverse event is on stable storage, and an urgent worker has taken it over or
// [tasks.HandOverWithin] has passed. id is the one in the address, "" if there is none.
func (a *API) takeAdverseEvent(c *gin.Context, id string) {
	event, err := a.readAdverseEvent(c.Request, id)
	if err != nil {
		a.fail(c, err)
		return
	}
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	if err := a.resolveImages(ctx, &event); err != nil {
		a.fail(c, err)
		return
	}
	got, err := a.work.Accept(ctx, tasks.NewSubmission(tasks.KindAdverseEvent(), event))
	if e, conflict := errors.AsType[*dispatcher.ConflictError](err); conflict {
		err = &fault{
			code: codeIDConflict, detail: textAdverseEventConflict, args: []any{event.ID},
			extras: extras{StoredSHA256: e.Stored, OfferedSHA256: e.Offered},
		}
	}
	if err != nil {
		a.fail(c, documentFault(err, event.ID))
		return
	}
	stored := got.Content.(tasks.AdverseEvent)
	standing := a.waitForHandOver(ctx, stored.ID)
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	answer := acceptedAdverseEvent{
		ID: stored.ID, Status: tasks.Accepted, State: standing.State, StatusURL: adverseEventURL(stored.ID), Message: textAdverseEventQueued.in(l),
		Receipt: receipt{got.SHA256, got.Sequence, timeOrNull(got.ReceivedAt)}, Clock: showClock(stored.Clock(got.ReceivedAt)),
		HandedOver: !standing.HandedOver.IsZero(), Warnings: list(stored.Report.Warnings),
	}
	if answer.HandedOver {
		answer.Message = textAdverseEventHandedOver.in(l)
	}
	if got.Replayed {
		c.Header("Idempotency-Replayed", "true")
		answer.Status, answer.Message = got.Status, textDocumentReplayed.in(l)
	}
	c.Header("Location", answer.StatusURL)
	setLanguage(c.Writer.Header(), l)
	writeJSON(c, http.StatusCreated, "application/json", answer)
}

func adverseEventURL(id string) string { return tasks.KindAdverseEvent().Path + "/" + id }

func adverseEventRef(id string) tasks.Ref {
	return tasks.Ref{Kind: tasks.KindAdverseEvent().Name, ID: id}
}

// readAdverseEvent reads and checks the body.
func (a *API) readAdverseEvent(r *http.Request, id string) (none tasks.AdverseEvent, err error) {
	if id != "" {
		if wrong := checkPathID("id", id); wrong != nil {
			return none, &fault{code: codeInvalidInput, fields: []fieldFault{*wrong}}
		}
	}
	document, err := readJSON(r, tasks.MaxAdverseEventBytes)
	if err != nil {
		return none, err
	}
	arrival := arrivalOf(r) // before it waits for its turn
	return parsed(a, r, a.urgentParsing, func() (tasks.AdverseEvent, []jsonfile.Problem) {
		return tasks.ReadAdverseEvent(document, id, a.cfg.Studies, arrival)
	})
}

// resolveImages looks up the images that the adverse event names. It returns a fault that names every one that the patient does
// not have.
func (a *API) resolveImages(ctx context.Context, e *tasks.AdverseEvent) error {
	f := &fault{code: codeInvalidInput}
	for i := range e.Report.Images {
		found, err := a.findImage(ctx, e.Header().Subject(), e.Report.Images[i].ImageID)
		if errors.Is(err, store.ErrNotFound) {
			f.fields = append(f.fields, fieldFault{field: "/imageIds/" + strconv.Itoa(i), detail: textUnknownImage, args: []any{e.Report.Images[i].ImageID}})
			continue
		}
		if err != nil {
			return err
		}
		e.Report.Images[i] = found
	}
	if len(f.fields) > 0 {
		return f
	}
	return nil
}

// waitForHandOver returns where the case stands once an urgent worker has taken it over, or when that takes too long. What it
// cannot read is not known to be taken over.
func (a *API) waitForHandOver(ctx context.Context, id string) tasks.Standing {
	ctx, cancel := context.WithTimeout(ctx, tasks.HandOverWithin)
	defer cancel()
	ref := adverseEventRef(id)
	changed, stop := a.rows.Watch(ref) // before the row is read, so that no change is missed
	defer stop()
	standing := tasks.Standing{State: tasks.StateOpen}
	for {
		// It waits for no rows of answers, as a flag would: in a burst they come late.
		row, err := dispatcher.Lookup(ctx, a.work, func(ctx context.Context) (store.Row, error) { return a.rows.Get(ctx, ref) }, tasks.TopicAdverseEvents)
		if err == nil {
			standing = row.Content.(tasks.AdverseEvent).Standing()
		}
		if !standing.HandedOver.IsZero() {
			return standing
		}
		select {
		case _, open := <-changed:
			if !open { // the rows are being closed
				return standing
			}
		case <-a.draining:
			return standing
		case <-ctx.Done():
			return standing
		}
	}
}

// adverseEvent answers GET of one case, at once or after a wait.
func (a *API) adverseEvent(c *gin.Context) {
	wait, err := a.waitOf(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	id := c.Param("id")
	if checkPathID("id", id) != nil {
		a.fail(c, noSubmission(adverseEventRef(id)))
		return
	}
	a.answerRowBy(c, adverseEventRef(id), wait, func(row store.Row) ([]byte, func(), error) { return a.makeCase(c, row) })
}

// timeline reads the timeline of a case. Steps that come after the row was read are on the timeline alone, and the next answer
// has them in both.
func (a *API) timeline(ctx context.Context, row store.Row) ([]tasks.TimelineEntry, error) {
	steps, err := a.rows.Steps(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	return timelineOf(row, steps), nil
}

func timelineOf(row store.Row, steps []tasks.Step) []tasks.TimelineEntry {
	clock := row.Content.(tasks.AdverseEvent).Clock(row.ReceivedAt)
	return tasks.Timeline(clock, steps, row.Status == tasks.Completed, time.Now())
}

// timelinePDF answers GET of the timeline as a PDF. It is made for each request, a few at a time: most of them are of a page or
// two, and the largest of some hundred.
func (a *API) timelinePDF(c *gin.Context) {
	if _, err := queryOf(c); err != nil {
		a.fail(c, err)
		return
	}
	ctx := c.Request.Context()
	row, err := a.findRow(ctx, adverseEventRef(c.Param("id")))
	if err != nil {
		a.fail(c, err)
		return
	}
	content, err := a.renderTimeline(ctx, row)
	if err != nil {
		a.fail(c, err)
		return
	}
	release, err := a.holdAnswer(c, len(content))
	if err != nil {
		a.fail(c, err)
		return
	}
	defer release()
	h := c.Writer.Header()
	h.Set("Content-Type", "application/pdf")
	h.Set("Content-Disposition", `inline; filename="`+row.ID+`-timeline.pdf"`) // ids need no quoting
	h.Set("Etag", bodyTag(content))
	h.Set("Cache-Control", "private, no-cache")
	if err := serveContent(c, bytes.NewReader(content)); err != nil {
		a.fail(c, err)
	}
}

// renderTimeline makes the PDF when its turn has come.
func (a *API) renderTimeline(ctx context.Context, row store.Row) ([]byte, error) {
	select {
	case a.rendering <- struct{}{}:
		defer func() { <-a.rendering }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	entries, err := a.timeline(ctx, row)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	of := tasks.Submission{Kind: row.Kind, ReceivedAt: row.ReceivedAt, SHA256: row.SHA256, Content: row.Content}
	err = a.cfg.Timeline(&content, of, row.Sequence, entries)
	return content.Bytes(), err
}

// adverseEvents answers GET of a list.
func (a *API) adverseEvents(c *gin.Context) {
	query, err := queryOf(c, "study", "site", "patientId", "visitId", "status", "state", "exercise", "limit", "cursor", "include")
	if err != nil {
		a.fail(c, err)
		return
	}
	f, faults := filterFrom(query)
	filter := store.AdverseEventFilter{Filter: f}
	if text, given := query["state"]; given {
		var wrong *fieldFault
		if filter.States, wrong = statesOf(text); wrong != nil {
			faults = append(faults, *wrong)
		}
	}
	if text, given := query["exercise"]; given {
		filter.Exercises = store.Exercises(text)
		if filter.Exercises != store.WithExercises && filter.Exercises != store.OnlyExercises {
			faults = append(faults, fieldFault{field: "exercise", detail: textBadChoice, args: []any{"include, only"}})
		}
	}
	if include, given := query["include"]; given && include != "notes" {
		faults = append(faults, fieldFault{field: "include", detail: textBadChoice, args: []any{"notes"}})
	}
	if len(faults) > 0 {
		a.fail(c, &fault{code: codeInvalidInput, fields: faults})
		return
	}
	a.answerListBy(c, tasks.KindAdverseEvent(), func(ctx context.Context) ([]store.Row, string, error) { return a.rows.ListAdverseEvents(ctx, filter) },
		func(row store.Row) any { return showAdverseEvent(row) })
}

// statesOf reads states that are separated by commas.
func statesOf(text string) (states []tasks.AdverseEventState, wrong *fieldFault) {
	known := tasks.AdverseEventStates()
	for one := range strings.SplitSeq(text, ",") {
		state := tasks.AdverseEventState(one)
		if !slices.Contains(known, state) || slices.Contains(states, state) {
			names := make([]string, len(known))
			for i, s := range known {
				names[i] = string(s)
			}
			return nil, &fieldFault{field: "state", detail: textBadStates, args: []any{strings.Join(names, ", ")}}
		}
		states = append(states, state)
	}
	return states, nil
}
