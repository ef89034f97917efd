package tasks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"casepress/tasks/instrument"
)

var adverseEventKind = &Kind{
	Name:      "adverse-event",
	Member:    "content",
	Topic:     TopicAdverseEvents,
	ChangedBy: []string{TopicQuestionnaireResponses}, // flags of answers become adverse events
	Lane:      "urgent",
	Path:      "/adverse-events",
	Decode:    func(content json.RawMessage) (Content, error) { return decodeAs[AdverseEvent](content) },
	Rows:      JSONRows[AdverseEvent, AdverseEventResult]("adverse_events"),
	NewTask:   func(*Processor, Work) Task { return AdverseEventTask{} },
}

// KindAdverseEvent is the kind of what somebody must look at at once.
func KindAdverseEvent() *Kind { return adverseEventKind }

// TopicAdverseEvents holds adverse events.
const TopicAdverseEvents = "adverse-events"

// AdverseEvent is a signal that a person must judge: at present, answers of a patient that raised an urgent flag. It is
// no diagnosis, and it is not known to be serious.
type AdverseEvent struct {
	ID        string `json:"id"`
	Study     string `json:"study,omitempty"`
	Site      string `json:"site,omitempty"`
	PatientID string `json:"patientId"`
	VisitID   string `json:"visitId,omitempty"`
	// Source is the submission that it follows from.
	Source Source `json:"source"`
	// Rule is the definition of the instrument, and Flag what was raised.
	Rule instrument.Identity   `json:"rule"`
	Flag instrument.FlagResult `json:"flag"`
	// Authored is when the patient gave the answers, as the client sent it.
	Authored string `json:"authored"`
}

// Source names one revision of a response.
type Source struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Revision int    `json:"revision"`
}

// Header says whom it is about.
func (e AdverseEvent) Header() Header { return Header{e.ID, e.Study, e.Site, e.PatientID, e.VisitID} }

// Key is the id.
func (e AdverseEvent) Key() string { return e.ID }

// Digest is that of the JSON with the members in the order of the struct.
func (e AdverseEvent) Digest() string {
	return digestJSON(e)
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
		all = append(all, NewSubmission(adverseEventKind, AdverseEvent{
			ID: FlagID(r.ID, r.Revision, f.Code), Study: r.Study, Site: r.Site, PatientID: r.PatientID, VisitID: r.VisitID,
			Source: Source{kindQuestionnaireResponse, r.ID, r.Revision}, Rule: r.Rule, Flag: f, Authored: r.Authored,
		}))
	}
	return all
}

// AdverseEventState is where an adverse event stands as a case, beside its status as a submission.
type AdverseEventState string

// Open says that nobody was told of it and nobody has acknowledged it.
const Open AdverseEventState = "open"

// AdverseEventResult is where the case stands.
type AdverseEventResult struct {
	State AdverseEventState `json:"state"`
}

// AdverseEventTask opens the case. It notifies nobody: who looks for open cases finds it.
type AdverseEventTask struct{}

// Execute returns an open case.
func (AdverseEventTask) Execute(context.Context) (Result, error) {
	return AdverseEventResult{Open}, nil
}
