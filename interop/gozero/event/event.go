// Package event keeps the shape of the events that the two services exchange; it never sends one.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PatientUpdated says what changed in a patient's data. It is the payload of a message whose key is the patient's
// id, and whose id is the event's.
type PatientUpdated struct {
	ID        string            `json:"id"`
	PatientID string            `json:"patientId"`
	Changes   map[string]string `json:"changes"`
	At        time.Time         `json:"at"`
}

// ErrMalformed means that a payload is no event, and never will be one.
var ErrMalformed = errors.New("no event")

// Decode reads an event. The error, ErrMalformed, says nothing of the content.
func Decode(payload []byte) (e PatientUpdated, err error) {
	if json.Unmarshal(payload, &e) != nil || e.ID == "" || e.PatientID == "" {
		return PatientUpdated{}, fmt.Errorf("decode %d bytes: %w", len(payload), ErrMalformed)
	}
	return e, nil
}
