package tasks

import (
	"encoding/json"
	"strconv"
	"time"
)

var adverseEventStepKind = &Kind{
	Name:   "adverse-event-step",
	Member: "content",
	Topic:  TopicAdverseEvents, // so that the log has a case and its steps in one order
	Decode: func(content json.RawMessage) (Content, error) { return decodeAs[AdverseEventStep](content) },
	Rows: Rows{
		Insert: insertStep, Find: findStep, Verify: verifySteps,
		Changed: func(c Content) Ref { return Ref{kindAdverseEvent, c.Header().ID} },
	},
}

// KindAdverseEventStep is the kind of what was done with an adverse event.
func KindAdverseEventStep() *Kind { return adverseEventStepKind }

// StepKind says what is done with an adverse event.
type StepKind string

// What can be done. These stand in the log: never rename one.
const (
	// StepHandOver says that an urgent worker has taken the adverse event over.
	StepHandOver StepKind = "hand-over"
	// StepAcknowledgement is that a person has seen it, and what they have decided.
	StepAcknowledgement StepKind = "acknowledgement"
	// StepFollowUp is more that became known.
	StepFollowUp StepKind = "follow-up"
	// StepClosing ends the case.
	StepClosing StepKind = "closing"
	// StepNotification is that casepress has told somebody of it, or has tried to.
	StepNotification StepKind = "notification"
)

// Decision is what whoever acknowledges an adverse event has decided.
type Decision string

// The decisions. They stand in the log and in the API: never rename one.
const (
	DecisionSAE        Decision = "sae" // a serious adverse event
	DecisionNotSerious Decision = "not-serious"
	DecisionDuplicate  Decision = "duplicate" // of another case
)

// Decisions returns every decision.
func Decisions() []string {
	return []string{string(DecisionSAE), string(DecisionNotSerious), string(DecisionDuplicate)}
}

// AdverseEventStep is one thing that somebody did, or tried to do, with an adverse event. Whether it counts the order of the log
// decides: the first acknowledgement does, and every other is refused, and kept.
type AdverseEventStep struct {
	// ID is that of the adverse event.
	ID   string   `json:"id"`
	Step StepKind `json:"step"`
	// FollowUpID names a follow-up among those of its case.
	FollowUpID string `json:"followUpId,omitempty"`
	// Name is that of the person who did it.
	Name     string   `json:"name,omitempty"`
	Decision Decision `json:"decision,omitempty"`
	// Of is the adverse event of which this one is a duplicate.
	Of          string `json:"of,omitempty"`
	Note        string `json:"note,omitempty"`
	Description string `json:"description,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Channel is by what somebody was told: the id of a webhook endpoint or the label of a mail address. Name is who was to be
	// told, and Reason why it failed.
	Channel string `json:"channel,omitempty"`
	// Rung is that of the study's ladder, from 1; 0: there was none, and an endpoint that is registered was sent the event.
	Rung int `json:"rung,omitempty"`
	// Attempt counts how often the rung was told of this case, or was to be, from 1. Of an endpoint that was sent the event it is the
	// attempt that failed; 0: it was delivered.
	Attempt int `json:"attempt,omitempty"`
	// Failed says that the channel did not take it.
	Failed bool `json:"failed,omitempty"`
}

// Header has the id of the adverse event.
func (s AdverseEventStep) Header() Header { return Header{ID: s.ID} }

// Digest is that of the JSON with the members in the order of the struct.
func (s AdverseEventStep) Digest() string { return digestJSON(s) }

// Key tells the steps of all adverse events apart: the very same acknowledgement or closing, handed in again, is the same
// step, and a follow-up is known by its id.
func (s AdverseEventStep) Key() string { return s.ID + "/" + s.key() }

// key is the step's key within its case.
func (s AdverseEventStep) key() string {
	switch s.Step {
	case "":
		return string(Received)
	case StepHandOver:
		return string(StepHandOver)
	case StepFollowUp:
		return string(StepFollowUp) + "/" + s.FollowUpID
	case StepNotification:
		return s.notificationKey()
	}
	return string(s.Step) + "/" + s.Digest()
}

// notificationKey lets each attempt at a rung be one step, whatever came of it and however often it is recorded. An endpoint that
// was sent the event is notified once, however often it is sent.
func (s AdverseEventStep) notificationKey() string {
	key := string(StepNotification) + "/" + strconv.Itoa(s.Rung) + "/"
	switch {
	case s.Rung > 0:
		return key + strconv.Itoa(s.Attempt)
	case s.Failed:
		return key + s.Channel + "/" + strconv.Itoa(s.Attempt)
	}
	return key + s.Channel
}

// Outcome is what came of a step: its name on the timeline and in events.
type Outcome string

// The outcomes. They stand in the API and in the rows: never rename one.
const (
	Received               Outcome = "received"
	Queued                 Outcome = "queued" // it is on the timeline only: see [Timeline]
	HandedOver             Outcome = "handed-over"
	Notified               Outcome = "notified"
	NotificationFailed     Outcome = "notification-failed"
	Acknowledged           Outcome = "acknowledged"
	AcknowledgementRefused Outcome = "acknowledgement-refused"
	FollowedUp             Outcome = "follow-up"
	Closed                 Outcome = "closed"
	ClosingRefused         Outcome = "closing-refused"
)

// Outcomes returns every outcome.
func Outcomes() []Outcome {
	return []Outcome{Received, Queued, HandedOver, Notified, NotificationFailed, Acknowledged, AcknowledgementRefused, FollowedUp, Closed, ClosingRefused}
}

// AdverseEventState is where an adverse event stands as a case, beside its status as a submission. It moves
//
//	open -> (notified) -> acknowledged -> closed
//
// and never back. A follow-up, and a notification that fails or is not the first, may come in any state and changes none.
type AdverseEventState string

// The states. They appear in the API and in the rows: never rename one.
const (
	// StateOpen says that nobody has acknowledged it.
	StateOpen AdverseEventState = "open"
	// StateNotified says that it is open and a channel has taken an alert of it for somebody.
	StateNotified AdverseEventState = "notified"
	// StateAcknowledged says that a person has seen and judged it.
	StateAcknowledged AdverseEventState = "acknowledged"
	// StateClosed says that nothing more is to be done.
	StateClosed AdverseEventState = "closed"
)

// AdverseEventStates returns every state, in the order in which a case comes to them.
func AdverseEventStates() []AdverseEventState {
	return []AdverseEventState{StateOpen, StateNotified, StateAcknowledged, StateClosed}
}

// Standing is where a case stands. It is made of its steps, in the order of the log.
type Standing struct {
	State AdverseEventState `json:"state"`
	// HandedOver is when an urgent worker took it over; zero: none has yet, or a version of the program that did not record it.
	HandedOver time.Time `json:"handedOver,omitzero"`
	// Acknowledged and Closed are the steps that did so, and when; nil: none has.
	Acknowledged *Done `json:"acknowledged,omitempty"`
	Closed       *Done `json:"closed,omitempty"`
	// Notified is when the first channel took an alert of it; zero: none has, or only when it was acknowledged already.
	Notified time.Time `json:"notified,omitzero"`
	// Steps counts what was done, whatever came of it, and Notifications those of them that casepress did by telling somebody.
	Steps         int `json:"steps,omitempty"`
	Notifications int `json:"notifications,omitempty"`
}

// Done is a step that counted, and when it was recorded.
type Done struct {
	At time.Time `json:"at"`
	AdverseEventStep
}

// IsDuplicate reports whether it was acknowledged as a duplicate of another case.
func (s Standing) IsDuplicate() bool {
	return s.Acknowledged != nil && s.Acknowledged.Decision == DecisionDuplicate
}

// after returns where the case stands after a step at that time, and what came of the step. duplicate says that the case named
// by Of is itself a duplicate: it is refused, so that no cases can be duplicates of each other alone.
func (s Standing) after(step AdverseEventStep, at time.Time, duplicate bool) (Standing, Outcome) {
	s.Steps++
	switch step.Step {
	case StepHandOver:
		if s.HandedOver.IsZero() {
			s.HandedOver = at
		}
		return s, HandedOver
	case StepAcknowledgement:
		if s.State != StateOpen && s.State != StateNotified || duplicate {
			return s, AcknowledgementRefused
		}
		s.State, s.Acknowledged = StateAcknowledged, &Done{at, step}
		return s, Acknowledged
	case StepClosing:
		if s.State != StateAcknowledged {
			return s, ClosingRefused
		}
		s.State, s.Closed = StateClosed, &Done{at, step}
		return s, Closed
	case StepNotification:
		s.Notifications++
		if step.Failed {
			return s, NotificationFailed
		}
		if s.State == StateOpen {
			s.State, s.Notified = StateNotified, at
		}
		return s, Notified
	}
	return s, FollowedUp
}

// Step is a step and what came of it.
type Step struct {
	// Offset is that of the step's record.
	Offset uint64
	At     time.Time
	// Outcome is what came of it, and State where the case stood then.
	Outcome Outcome
	State   AdverseEventState
	// AdverseEventStep is what was recorded; it has only ID where Outcome is Received.
	AdverseEventStep
}

// HandOverWithin is how soon an urgent worker takes over what is accepted. What takes longer is called queued.
const HandOverWithin = time.Second

// TimelineEntry is one line of the timeline of a case.
type TimelineEntry struct {
	Step
	// After is how many seconds after the entry before it that was, and for the first one how many after first knowledge. It is
	// negative where the clock of the server was put back.
	After float64
	// Elapsed is how many seconds after first knowledge.
	Elapsed float64
}

// Timeline is the timeline of a case, made of its steps in the order of the log. A case that no urgent worker had taken over
// within [HandOverWithin] was Queued from then on. taken says that one has, whether or not there is a step of it: earlier versions
// of the program recorded none.
func Timeline(clock Clock, steps []Step, taken bool, now time.Time) []TimelineEntry {
	var queued Step
	late := !taken
	for _, s := range steps {
		switch s.Outcome {
		case Received:
			queued = Step{Outcome: Queued, State: s.State, At: s.At.Add(HandOverWithin), AdverseEventStep: AdverseEventStep{ID: s.ID}}
		case HandedOver:
			late = s.At.After(queued.At)
		}
	}
	late = late && queued.ID != "" && !queued.At.After(now)
	all := make([]TimelineEntry, 0, len(steps)+1)
	for _, s := range steps {
		if late && s.At.After(queued.At) {
			all, late = append(all, TimelineEntry{Step: queued}), false
		}
		queued.State = s.State
		all = append(all, TimelineEntry{Step: s})
	}
	if late {
		all = append(all, TimelineEntry{Step: queued})
	}
	before := clock.From
	for i := range all {
		all[i].After, all[i].Elapsed = secondsBetween(before, all[i].At), secondsBetween(clock.From, all[i].At)
		before = all[i].At
	}
	return all
}

// secondsBetween counts to the microsecond. A [time.Duration] ends at 292 years, and times may be further apart.
func secondsBetween(from, to time.Time) float64 {
	return float64(to.UnixMicro()-from.UnixMicro()) / 1e6
}
