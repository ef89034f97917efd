package tasks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"casepress/study"
	"casepress/tasks/instrument"
)

const kindQuestionnaireResponse = "questionnaire-response"

var questionnaireKind = &Kind{
	Name:      kindQuestionnaireResponse,
	Member:    "content",
	Topic:     TopicQuestionnaireResponses,
	ChangedBy: []string{TopicRescores},
	Lane:      "questionnaires",
	Path:      "/questionnaire-responses",
	Append: func(b []byte, c Content) ([]byte, error) {
		r := c.(QuestionnaireResponse)
		return appendResponse(b, &r)
	},
	Decode: func(content json.RawMessage) (Content, error) { return decodeResponse(content) },
	Rows:   Rows{Insert: insertResponse, Complete: completeResponse, Load: loadResponses},
	Derive: func(c Content) []Submission { return adverseEventsOf(c.(QuestionnaireResponse)) },
	NewTask: func(p *Processor, w Work) Task {
		return QuestionnaireTask{Studies: p.Studies, Response: w.Content.(QuestionnaireResponse)}
	},
	Revisions: true,
	Event: func(f Finished) Update {
		u := NewUpdate(f)
		id, revision := SplitRevisionID(f.ID)
		u.SubmissionID, u.URL = id, f.Kind.Path+"/"+id
		if revision > 1 {
			u.Revision, u.URL = revision, u.URL+"?revision="+strconv.Itoa(revision)
		}
		return u
	},
}

// KindQuestionnaireResponse is the kind of a patient's answers to an instrument.
func KindQuestionnaireResponse() *Kind { return questionnaireKind }

// TopicQuestionnaireResponses holds responses and requests to score one again that failed.
const TopicQuestionnaireResponses = "questionnaire-responses"

// QuestionnaireResponse is one revision of a patient's answers to an instrument, as it was accepted. It never changes:
// an amendment is another revision, a submission of its own.
//
// Everything that was decided when it came stands in it: which flags the answers raise, what was odd, and which text
// the patient was given to read. So what follows from it can be made again from the log alone, also when the study's
// file has changed since.
type QuestionnaireResponse struct {
	// ID is that of the response, the same for all revisions.
	ID string `json:"id"`
	// Revision counts from 1. Amends is set from the second on.
	Revision int     `json:"revision"`
	Amends   *Amends `json:"amends,omitempty"`

	Study     string `json:"study,omitempty"`
	Site      string `json:"site,omitempty"`
	PatientID string `json:"patientId"`
	VisitID   string `json:"visitId,omitempty"`

	// Rule is the definition of the instrument by which the answers were checked.
	Rule instrument.Identity `json:"rule"`
	// StudyFile is the study's file by which they were; nil if the study had none.
	StudyFile *StudyFile `json:"studyFile,omitempty"`

	// Language is the one in which the patient read the questions.
	Language string `json:"language"`
	// Authored is when the patient gave the answers, RFC 3339 as the client sent it, zone included.
	Authored string `json:"authored"`
	// Started is when the patient began, and DeviceTime what the device's clock said when it handed them in, in the same
	// form; "" if it was not said.
	Started    string `json:"started,omitempty"`
	DeviceTime string `json:"deviceTime,omitempty"`

	Answers instrument.Answers `json:"answers"`
	// Claims are scores that the client says it has computed.
	Claims instrument.Claims `json:"claims,omitempty"`

	// Flags are raised or unknown. Those that are raised and urgent are adverse events.
	Flags    []instrument.FlagResult `json:"flags,omitempty"`
	Warnings []Warning               `json:"warnings,omitempty"`
	// CrisisText is what the patient was given to read, in CrisisLanguage; "" if no urgent flag was raised, or if the
	// study has no text.
	CrisisText     string `json:"crisisText,omitempty"`
	CrisisLanguage string `json:"crisisTextLanguage,omitempty"`

	// Original is the document exactly as it came, UTF-8 in MediaType.
	MediaType string `json:"mediaType"`
	Original  string `json:"original"`

	// ofAllRevisions is set where a response that has several was read from its rows.
	ofAllRevisions []string
}

// Amends says which revision a response takes the place of, and why.
type Amends struct {
	Revision int    `json:"revision"`
	Reason   string `json:"reason"`
}

// StudyFile names the file of a study.
type StudyFile struct {
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"`
}

// Warning is something odd about answers that are kept all the same.
type Warning struct {
	// Code is stable and machine-readable: see docs/questionnaires.md.
	Code string `json:"code"`
	// Detail is an English sentence for people.
	Detail string `json:"detail"`
}

// maxRevisions bounds how often a response is amended.
const maxRevisions = 1000

// RevisionID is the id of one revision among the submissions of its kind: that of the response for the first, "QR-1~2"
// for the second. No client can give a response such an id, for "~" is no character of ids.
func RevisionID(id string, revision int) string {
	if revision == 1 {
		return id
	}
	return id + "~" + strconv.Itoa(revision)
}

// SplitRevisionID takes a [RevisionID] apart.
func SplitRevisionID(id string) (response string, revision int) {
	response, number, amended := strings.Cut(id, "~")
	if !amended {
		return id, 1
	}
	revision, err := strconv.Atoi(number)
	if err != nil {
		return id, 1
	}
	return response, revision
}

// Header says whose the answers are. Its ID is that of the revision.
func (r QuestionnaireResponse) Header() Header {
	return Header{RevisionID(r.ID, r.Revision), r.Study, r.Site, r.PatientID, r.VisitID}
}

// Key is the id of the revision: a response and each of its amendments is accepted once.
func (r QuestionnaireResponse) Key() string { return RevisionID(r.ID, r.Revision) }

// Digest is that of the document's bytes as they came.
func (r QuestionnaireResponse) Digest() string {
	sum := sha256.Sum256([]byte(r.Original))
	return hex.EncodeToString(sum[:])
}

// IsUrgent reports whether somebody must look at a flag at once. A flag that is unknown is not urgent: nobody knows
// whether there is anything to look at, and it is shown as unknown.
func IsUrgent(f instrument.FlagResult) bool { return f.Urgent && f.State == instrument.Raised }

// QuestionnaireResult is what scoring made of the answers.
type QuestionnaireResult struct {
	instrument.Scored
	// Mismatches are the client's scores that are not those computed here.
	Mismatches []instrument.Mismatch `json:"mismatches,omitempty"`
	// Rescores are what other definitions made of the same answers later. They are not part of what a task makes.
	Rescores []MadeRescore `json:"-"`
}

// MadeRescore are scores that another definition made, and when.
type MadeRescore struct {
	MadeAt time.Time
	Rule   instrument.Identity
	QuestionnaireResult
}

// QuestionnaireTask scores a response by the definition that it was checked by.
type QuestionnaireTask struct {
	Studies  *study.Studies
	Response QuestionnaireResponse
}

// Execute scores the answers and compares the scores that the client claims. It is an error if the study does not have
// the version of the instrument any more, or another under its number: then the response is not scored by a rule that
// nobody has agreed on.
func (t QuestionnaireTask) Execute(context.Context) (Result, error) {
	r := t.Response
	d, ok := t.Studies.Get(r.Study).Instruments().Get(r.Rule.ID, r.Rule.Version)
	switch {
	case !ok:
		return nil, fmt.Errorf("the study has no instrument %s version %s any more; put its definition back", r.Rule.ID, r.Rule.Version)
	case d.SHA256 != r.Rule.SHA256:
		return nil, fmt.Errorf("instrument %s version %s is another one than when the answers came: sha256 %s, not %s; put it back and give the new one a new version",
			r.Rule.ID, r.Rule.Version, d.SHA256, r.Rule.SHA256)
	}
	made, err := r.scoredBy(d)
	if err != nil {
		return nil, fmt.Errorf("score: %w", err)
	}
	return made, nil
}

// scoredBy is what a definition makes of the answers. Flags are not raised again: those of the response stand.
func (r QuestionnaireResponse) scoredBy(d *instrument.Definition) (QuestionnaireResult, error) {
	scored, err := instrument.Score(d, r.Answers)
	if err != nil {
		return QuestionnaireResult{}, err
	}
	scored.Flags = nil
	return QuestionnaireResult{Scored: scored, Mismatches: instrument.Compare(scored, r.Claims)}, nil
}
