package tasks

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"casepress/jsonfile"
)

// TopicUpdates is the topic of the patient-data-update events.
const TopicUpdates = "patient-data-update"

// EventTypes are the types that events can have.
func EventTypes() []string { return []string{TopicUpdates, TypeAdverseEvent} }

// Finished is a submission that has reached a final state.
type Finished struct {
	Header
	Kind     *Kind
	Status   Status // completed or failed
	Attempt  int    // the attempt that finished it
	Sequence uint64
	// ReceivedAt is when it was accepted, Time when it finished.
	ReceivedAt, Time time.Time
	Content          Content
	Result           Result // nil if it failed
}

// Update is the patient-data-update event: a submission of this patient and visit has finished. It is thin
// on purpose: no clinical values, only where to read them. Every finish makes one; a repeat of the same
// finish has the same ID, by which a consumer drops it.
type Update struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"` // always "patient-data-update"
	Time         time.Time `json:"time"` // when the submission finished
	Kind         string    `json:"kind"` // such as "case-report"
	SubmissionID string    `json:"submissionId"`
	// ReportID repeats SubmissionID for a case report.
	ReportID string `json:"reportId,omitempty"`
	// Instrument is the id of the one that a questionnaire response answers.
	Instrument string `json:"instrument,omitempty"`
	// OccurredAt is when the patient gave the answers or the pictures were taken, as the client says; when the submission was
	// received if the client does not say, or names a later time.
	OccurredAt time.Time `json:"occurredAt,omitzero"`
	// Revision is that of a questionnaire response from the second on.
	Revision  int    `json:"revision,omitempty"`
	Study     string `json:"study,omitempty"`
	Site      string `json:"site,omitempty"`
	PatientID string `json:"patientId"`
	VisitID   string `json:"visitId,omitempty"`
	Status    string `json:"status"`   // completed or failed
	Attempt   int    `json:"attempt"`  // the attempt that finished it
	Sequence  uint64 `json:"sequence"` // of the submission in the log
	URL       string `json:"url"`      // path of the submission's status
	// Exercise says that it is a drill, and no patient is concerned.
	Exercise bool `json:"exercise,omitempty"`
}

// NewUpdate returns the event of a finished submission of any kind.
func NewUpdate(f Finished) Update {
	return Update{
		ID:   f.Kind.Name + "/" + f.ID + "/" + strconv.Itoa(f.Attempt),
		Type: TopicUpdates, Time: f.Time, Kind: f.Kind.Name, SubmissionID: f.ID,
		Study: f.Study, Site: f.Site, PatientID: f.PatientID, VisitID: f.VisitID,
		Status: string(f.Status), Attempt: f.Attempt, Sequence: f.Sequence, OccurredAt: f.ReceivedAt,
		URL: f.Kind.Path + "/" + f.ID,
	}
}

// occurredAt is the time that a client has given, or that of the receipt: see [Update].
func (f Finished) occurredAt(given string) time.Time {
	t, ok := jsonfile.ParseTime(given)
	if !ok || t.After(f.ReceivedAt) || t.UTC().Year() < 1 {
		return f.ReceivedAt
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Event is what other services are told, ready to be published.
type Event struct {
	// ID is the same for every repeat of the same event.
	ID string
	// Topic is where it is published; Key is whose events keep their order.
	Topic, Key string
	Payload    []byte
}

// Event returns the event that tells of the finish.
func (f Finished) Event() (Event, error) {
	build := f.Kind.Event
	if build == nil {
		build = NewUpdate
	}
	u := build(f)
	payload, err := json.Marshal(u)
	return Event{ID: u.ID, Topic: TopicUpdates, Key: f.Subject().Key(), Payload: payload}, err
}

// ToldEvent is an event as it is told over HTTP: to all events alike what they have in common, and as data the rest.
type ToldEvent struct {
	// Sequence is the place among all events, from 1.
	Sequence  uint64                     `json:"sequence"`
	ID        string                     `json:"id"`
	Type      string                     `json:"type"` // one of [EventTypes]
	Time      string                     `json:"time"` // RFC 3339, as it was published
	Kind      string                     `json:"kind"`
	Study     string                     `json:"study,omitempty"`
	Site      string                     `json:"site,omitempty"`
	PatientID string                     `json:"patientId"`
	VisitID   string                     `json:"visitId,omitempty"`
	Data      map[string]json.RawMessage `json:"data"`
}

// ReadEvent reads the payload of an event of any type.
func ReadEvent(sequence uint64, payload []byte) (ToldEvent, error) {
	e := ToldEvent{Sequence: sequence}
	if err := json.Unmarshal(payload, &e.Data); err != nil {
		return ToldEvent{}, fmt.Errorf("event %d: %w", sequence, err)
	}
	for _, member := range []struct {
		name string
		to   *string
	}{
		{"id", &e.ID}, {"type", &e.Type}, {"time", &e.Time}, {"kind", &e.Kind},
		{"study", &e.Study}, {"site", &e.Site}, {"patientId", &e.PatientID}, {"visitId", &e.VisitID},
	} {
		value, there := e.Data[member.name]
		if !there {
			continue
		}
		if err := json.Unmarshal(value, member.to); err != nil {
			return ToldEvent{}, fmt.Errorf("event %d: %s: %w", sequence, member.name, err)
		}
		delete(e.Data, member.name)
	}
	if e.ID == "" || e.Type == "" {
		return ToldEvent{}, fmt.Errorf("event %d has no id or no type", sequence)
	}
	return e, nil
}
