package event

import (
	"encoding/json"
	"fmt"
	"time"
)

// Finished is casepress's event patient-data-update: a submission of a patient has finished. It is the payload of a record whose
// key is the study's and the patient's, as [Finished.Key] makes it. Members that are not here are left alone.
type Finished struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"` // always "patient-data-update"
	Time         time.Time `json:"time"`
	Kind         string    `json:"kind"`
	SubmissionID string    `json:"submissionId"`
	Instrument   string    `json:"instrument,omitempty"`
	Study        string    `json:"study,omitempty"`
	PatientID    string    `json:"patientId"`
	VisitID      string    `json:"visitId,omitempty"`
	Status       string    `json:"status"`
	Attempt      int       `json:"attempt"`
}

// TypeFinished is the type of a [Finished].
const TypeFinished = "patient-data-update"

// Key is whose events keep their order.
func (e Finished) Key() string { return e.Study + "/" + e.PatientID }

// DecodeFinished reads an event. The error, ErrMalformed, says nothing of the content.
func DecodeFinished(payload []byte) (e Finished, err error) {
	if json.Unmarshal(payload, &e) != nil || e.ID == "" || e.Type != TypeFinished || e.PatientID == "" || e.SubmissionID == "" {
		return Finished{}, fmt.Errorf("decode %d bytes: %w", len(payload), ErrMalformed)
	}
	return e, nil
}
