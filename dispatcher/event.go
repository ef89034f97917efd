package dispatcher

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"casepress/broker"
	"casepress/store"
)

// Update is the patient-data-update event: a report of this patient and visit
// has finished. It is thin on purpose: no clinical values, only where to read
// them. Every finish makes one; a repeat of the same finish has the same ID, by
// which a consumer drops it.
type Update struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"` // always "patient-data-update"
	Time      time.Time `json:"time"` // when the report finished
	Kind      string    `json:"kind"` // "case-report"
	ReportID  string    `json:"reportId"`
	PatientID string    `json:"patientId"`
	VisitID   string    `json:"visitId,omitempty"`
	Status    string    `json:"status"`   // completed or failed
	Attempt   int       `json:"attempt"`  // the attempt that finished it
	Sequence  uint64    `json:"sequence"` // of the report in the log
	URL       string    `json:"url"`      // path of the report's status
}

func (d *Dispatcher) announce(ctx context.Context, row store.Row) error {
	u := Update{
		ID:   row.ID + "/" + strconv.Itoa(row.Attempts),
		Type: TopicUpdates, Time: row.FinishedAt, Kind: "case-report",
		ReportID: row.ID, PatientID: row.PatientID, VisitID: row.VisitID,
		Status: string(row.Status), Attempt: row.Attempts, Sequence: row.Sequence,
		URL: "/case-reports/" + row.ID,
	}
	payload, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if _, err := d.broker.Publish(ctx, TopicUpdates, broker.Message{ID: u.ID, Key: row.PatientID, Payload: payload}); err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	return nil
}
