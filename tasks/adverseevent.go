package tasks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

const (
	kindAdverseEvent  = "adverse-event"
	pathAdverseEvents = "/adverse-events"
)

var adverseEventKind = &Kind{
	Name:      kindAdverseEvent,
	Member:    "content",
	Topic:     TopicAdverseEvents,
	ChangedBy: []string{TopicQuestionnaireResponses}, // flags of answers become adverse events
	Lane:      "urgent",
	Path:      pathAdverseEvents,
	Decode:    func(content json.RawMessage) (Content, error) { return decodeAs[AdverseEvent](content) },
	Rows:      Rows{Insert: insertAdverseEvent, Complete: completeAdverseEvent, Load: loadAdverseEvents, Events: adverseEventEvents, Received: adverseEventReceived},
	NewTask:   func(p *Processor, w Work) Task { return AdverseEventTask{Record: p.Record, Work: w} },
	Event:     adverseEventUpdate,
}

// KindAdverseEvent is the kind of what somebody must look at at once.
func KindAdverseEvent() *Kind { return adverseEventKind }

// TopicAdverseEvents holds adverse events and the steps that are taken with each.
const TopicAdverseEvents = "adverse-events"

// AdverseEvent is a signal that a person must judge: what somebody has reported, or answers of a patient that raised an urgent
// flag. It is no diagnosis, and it is not known to be serious.
type AdverseEvent struct {
	ID        string `json:"id"`
	Study     string `json:"study,omitempty"`
	Site      string `json:"site,omitempty"`
	PatientID string `json:"patientId"`
	VisitID   string `json:"visitId,omitempty"`

	// Source is the submission that it follows from, Rule the definition of the instrument, Flag what was raised, and Authored
	// when the patient gave the answers, as the client sent it. None of them is there if it was reported.
	Source   *Source                `json:"source,omitempty"`
	Rule     *instrument.Identity   `json:"rule,omitempty"`
	Flag     *instrument.FlagResult `json:"flag,omitempty"`
	Authored string                 `json:"authored,omitempty"`

	// Report is what was reported; nil if it follows from a flag.
	Report *Report `json:"report,omitempty"`

	// Exercise says that it is a drill: no patient is concerned.
	Exercise bool `json:"exercise,omitempty"`

	// LimitHours is how soon after it was known it must be acknowledged, as the study wanted it when it came; 0 in records of
	// earlier versions: see [AdverseEvent.Clock].
	LimitHours int64 `json:"limitHours,omitempty"`

	// standing is set where it was read from its rows.
	standing *Standing
}

// Source names one revision of a response.
type Source struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Revision int    `json:"revision"`
}

// Report is what somebody has reported. Times are RFC 3339 as the client sent them, zone included; "" if it was not said.
type Report struct {
	Description string `json:"description"`
	// KnownAt is when the event became known to those who report it, OnsetAt when it began.
	KnownAt string `json:"knownAt"`
	OnsetAt string `json:"onsetAt,omitempty"`
	// Seriousness are codes of [SeriousnessCriteria].
	Seriousness []string `json:"seriousness,omitempty"`
	Reporter    string   `json:"reporter,omitempty"`
	// DeviceTime is what the device's clock said when it was handed in.
	DeviceTime string `json:"deviceTime,omitempty"`
	// Images are images of the patient that were put before.
	Images   []Image   `json:"images,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`
	// StudyFile is the study's file by which it was checked; nil if the study had none.
	StudyFile *StudyFile `json:"studyFile,omitempty"`
	// Original is the document exactly as it came.
	Original string `json:"original"`
}

// Header says whom it is about.
func (e AdverseEvent) Header() Header { return Header{e.ID, e.Study, e.Site, e.PatientID, e.VisitID} }

// Key is the id.
func (e AdverseEvent) Key() string { return e.ID }

// Digest is that of the document's bytes as they came or, of one that follows from a flag, of the JSON with the members in the
// order of the struct.
func (e AdverseEvent) Digest() string {
	if e.Report == nil {
		return digestJSON(e)
	}
	sum := sha256.Sum256([]byte(e.Report.Original))
	return hex.EncodeToString(sum[:])
}

// Standing is where it stands as a case: open, unless it was read from its rows.
func (e AdverseEvent) Standing() Standing {
	if e.standing == nil {
		return Standing{State: StateOpen}
	}
	return *e.standing
}

// defaultLimitHours is the limit of what was accepted before studies could set one.
const defaultLimitHours = 24

// Clock is how long there is to acknowledge an adverse event.
type Clock struct {
	From  time.Time
	Limit time.Duration
}

// DueAt is when the time is over.
func (c Clock) DueAt() time.Time { return c.From.Add(c.Limit) }

// Clock runs from first knowledge: for what was reported from knownAt, but never later than it was received, since what was
// received is known, whatever the reporter's clock says. For a flag it runs from receipt: answers that lie on a phone are
// known to nobody who could act on them.
func (e AdverseEvent) Clock(receivedAt time.Time) Clock {
	c := Clock{From: receivedAt, Limit: defaultLimitHours * time.Hour}
	if e.LimitHours > 0 {
		c.Limit = time.Duration(e.LimitHours) * time.Hour
	}
	if e.Report == nil {
		return c
	}
	if known, ok := jsonfile.ParseTime(e.Report.KnownAt); ok && known.Before(receivedAt) {
		c.From = known.UTC().Truncate(time.Microsecond)
	}
	return c
}

// FlagPrefix begins the ids of adverse events that follow from flags. No other may begin so.
const FlagPrefix = "flag-"

// FlagID is the id of the adverse event that follows from a flag of one revision of a response: the same whenever it
// is made, and another for each of the three.
func FlagID(response string, revision int, flag string) string {
	// Neither ids nor codes have a line end.
	sum := sha256.Sum256([]byte(strings.Join([]string{response, strconv.Itoa(revision), flag}, "\n")))
	return FlagPrefix + hex.EncodeToString(sum[:16])
}

// AdverseEventIDsOfAllRevisions are those of [QuestionnaireResponse.AdverseEventIDs] of all revisions that there were when
// the response was read from its rows, by revision: an amendment that raises no flag closes no adverse event. Of a response
// that was not read from there they are its own.
func (r QuestionnaireResponse) AdverseEventIDsOfAllRevisions() []string {
	if r.ofAllRevisions == nil {
		return r.AdverseEventIDs()
	}
	return r.ofAllRevisions
}

// AdverseEventIDs are the ids of the adverse events that follow from this revision of the response.
func (r QuestionnaireResponse) AdverseEventIDs() []string {
	var ids []string
	for _, f := range r.Flags {
		if IsUrgent(f) {
			ids = append(ids, FlagID(r.ID, r.Revision, f.Code))
		}
	}
	return ids
}

// adverseEventsOf are the adverse events that follow from a response, one for each urgent flag that is raised.
func adverseEventsOf(r QuestionnaireResponse) []Submission {
	var all []Submission
	for _, f := range r.Flags {
		if !IsUrgent(f) {
			continue
		}
		rule, flag := r.Rule, f // of a response without urgent flags, nothing is kept here
		all = append(all, NewSubmission(adverseEventKind, AdverseEvent{
			ID: FlagID(r.ID, r.Revision, f.Code), Study: r.Study, Site: r.Site, PatientID: r.PatientID, VisitID: r.VisitID,
			Source: &Source{kindQuestionnaireResponse, r.ID, r.Revision}, Rule: &rule, Flag: &flag, Authored: r.Authored,
			LimitHours: r.LimitHours,
		}))
	}
	return all
}

// AdverseEventResult is what the task has made. Where the case stands is no result: see [Standing].
type AdverseEventResult struct {
	State AdverseEventState `json:"state"`
}

func adverseEventUpdate(f Finished) Update {
	u := NewUpdate(f)
	u.Exercise = f.Content.(AdverseEvent).Exercise
	return u
}

// AdverseEventTask is the work on an adverse event: it records that an urgent worker has taken it over. Telling people of it is
// not done here, since that goes on for as long as nobody has acknowledged it: see package notify.
type AdverseEventTask struct {
	// Record makes a step durable; nil: none is.
	Record func(context.Context, Submission) error
	Work   Work
}

// Execute returns an open case. An error is that of Record.
func (t AdverseEventTask) Execute(ctx context.Context) (Result, error) {
	if t.Record == nil {
		return AdverseEventResult{StateOpen}, nil
	}
	step := NewSubmission(adverseEventStepKind, AdverseEventStep{ID: t.Work.Content.Header().ID, Step: StepHandOver})
	step.Fresh = t.Work.Attempt == 1 // else an earlier attempt may have recorded it
	if err := t.Record(ctx, step); err != nil {
		return nil, err
	}
	return AdverseEventResult{StateOpen}, nil
}
