// Package progress implements the trial side of casepress: it follows the events patient-data-update and knows of each
// patient which visits of the study's schedule are expected, have begun, are complete or late.
//
//	patient-data-update ──> Decode ──> Rows.Apply: one transaction ──> acknowledgement
//	                                     progress.db
//	study file: visits ───────────────> Rows.Read ──> GET /trial-progress
//
// The events come from the topic of a casepress ([Consumer]) or, in a process of its own, from Kafka (package kafka). An
// event is acknowledged when its rows are committed, so each is applied at least once; applying one again changes nothing.
// What the rows say depends on which events were applied, not on their order. Rows are made of nothing but events: a lost
// database, or one of another topic, is made again from the topic.
//
// What is late depends on the day, so it is worked out when it is asked for, and never stored. Days are those of UTC. A
// visit is looked at by the schedule that the study has now, so another file of the study counts for the past, too.
//
// The rows never hold answers, scores or pictures, and nothing that is decided about a patient depends on them.
package progress

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Topic is the topic of the events.
const Topic = "patient-data-update"

// Event is what the rows take from an event: a submission has finished. See [casepress/tasks.Update], which has more.
type Event struct {
	ID string
	// Kind and SubmissionID name the submission; Revision counts from 1.
	Kind, SubmissionID string
	Revision           int64
	// Item is what it counts as at a visit: the instrument of a questionnaire response, or else the kind.
	Item string
	// Study, Site and VisitID may be empty.
	Study, Site, PatientID, VisitID string
	Completed                       bool // else it failed
	Attempt                         int64
	// OccurredAt is when the patient gave the answers or the pictures were taken, FinishedAt when the submission finished. UTC.
	OccurredAt, FinishedAt time.Time
	// URL is the path of the submission, "" if it is not said.
	URL string
}

// PoisonError says why an event can never be applied: it belongs to the dead letters. It has no patient data.
type PoisonError struct{ Reason string }

func (e *PoisonError) Error() string { return e.Reason }

func poison(format string, args ...any) error {
	return &PoisonError{fmt.Sprintf(format, args...)}
}

// wireEvent are the members that are read.
type wireEvent struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Time         time.Time `json:"time"`
	Kind         string    `json:"kind"`
	SubmissionID string    `json:"submissionId"`
	Instrument   string    `json:"instrument"`
	OccurredAt   time.Time `json:"occurredAt"`
	Revision     *int64    `json:"revision"`
	Study        string    `json:"study"`
	Site         string    `json:"site"`
	PatientID    string    `json:"patientId"`
	VisitID      string    `json:"visitId"`
	Status       string    `json:"status"`
	Attempt      int64     `json:"attempt"`
	URL          string    `json:"url"`
}

const (
	maxID       = 64
	maxEventID  = 512 // bytes, as the broker's
	maxURL      = 512
	maxRevision = 1 << 20
)

// The first and the last year of a time in an event.
const firstYear, lastYear = 1, 9999

// Decode reads an event. counts is false for one of a type that is of no use here, such as adverse-event, and for adverse
// events, which are no part of a visit: it is done with. The error is a [*PoisonError] that names the member.
//
// occurredAt may be missing, as it is in events of earlier versions: then it is time. Members that are unknown are not
// looked at.
func Decode(payload []byte) (e Event, counts bool, err error) {
	var w wireEvent
	if err := json.Unmarshal(payload, &w); err != nil {
		return Event{}, false, poison("is not a JSON event: %s", jsonReason(err))
	}
	if w.Type == "" {
		return Event{}, false, poison(`type: is missing; it must be %q, or another type, which is skipped`, Topic)
	}
	if w.Type != Topic || w.Kind == "adverse-event" {
		return Event{}, false, nil
	}
	if err := w.check(); err != nil {
		return Event{}, false, err
	}
	e = Event{
		ID: w.ID, Kind: w.Kind, SubmissionID: w.SubmissionID, Revision: 1, Item: w.Kind,
		Study: w.Study, Site: w.Site, PatientID: w.PatientID, VisitID: w.VisitID,
		Completed: w.Status == "completed", Attempt: w.Attempt, OccurredAt: w.OccurredAt.UTC(), FinishedAt: w.Time.UTC(), URL: w.URL,
	}
	if w.Revision != nil {
		e.Revision = *w.Revision
	}
	if w.Instrument != "" {
		e.Item = w.Instrument
	}
	if w.OccurredAt.IsZero() {
		e.OccurredAt = e.FinishedAt
	}
	return e, true, nil
}

func (w *wireEvent) check() error {
	for _, id := range []struct{ member, value string }{
		{"kind", w.Kind}, {"submissionId", w.SubmissionID}, {"patientId", w.PatientID},
	} {
		if !validID(id.value) {
			return poison("%s: must be 1 to 64 of A-Z a-z 0-9 . _ -", id.member)
		}
	}
	for _, id := range []struct{ member, value string }{
		{"instrument", w.Instrument}, {"study", w.Study}, {"site", w.Site}, {"visitId", w.VisitID},
	} {
		if id.value != "" && !validID(id.value) {
			return poison("%s: must be left out, or 1 to 64 of A-Z a-z 0-9 . _ -", id.member)
		}
	}
	switch {
	case w.ID == "" || len(w.ID) > maxEventID:
		return poison("id: must be 1 to %d bytes", maxEventID)
	case w.Status != "completed" && w.Status != "failed":
		return poison(`status: must be "completed" or "failed"`)
	case w.Attempt < 1:
		return poison("attempt: must be a whole number from 1")
	case w.Revision != nil && (*w.Revision < 1 || *w.Revision > maxRevision):
		return poison("revision: must be left out, or a whole number from 1 to %d", maxRevision)
	case w.Time.IsZero() || !hasDay(w.Time):
		return poison("time: must be an RFC 3339 time of the years %d to %d", firstYear, lastYear)
	case !w.OccurredAt.IsZero() && !hasDay(w.OccurredAt):
		return poison("occurredAt: must be left out, or an RFC 3339 time of the years %d to %d", firstYear, lastYear)
	case w.URL != "" && (len(w.URL) > maxURL || w.URL[0] != '/' || strings.HasPrefix(w.URL, "//") || strings.ContainsAny(w.URL, "\\\t\r\n")):
		return poison("url: must be left out, or a path of at most %d bytes that begins with one /", maxURL)
	}
	return nil
}

// validID reports whether casepress takes an id of a patient or a visit; others are stricter, about "." and "..".
func validID(id string) bool {
	return id != "" && len(id) <= maxID && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func hasDay(t time.Time) bool { y := t.UTC().Year(); return y >= firstYear && y <= lastYear }

// jsonReason leaves the values out, which may be a patient's.
func jsonReason(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s must be a %s", cmp.Or(e.Field, "it"), e.Type)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("a syntax error at byte %d", e.Offset)
	}
	return "a member has a value that is not of its type, such as a time that is not RFC 3339"
}
