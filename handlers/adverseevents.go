package handlers

import (
	"github.com/gin-gonic/gin"

	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// adverseEventAnswer is an adverse event as answers show it. Pointers are null when unset.
type adverseEventAnswer struct {
	ID        string       `json:"id"`
	Study     *string      `json:"study"`
	Site      *string      `json:"site"`
	PatientID string       `json:"patientId"`
	VisitID   *string      `json:"visitId"`
	Status    tasks.Status `json:"status"`
	// State is where the case stands: open as long as nobody has acknowledged it.
	State      tasks.AdverseEventState `json:"state"`
	Source     adverseEventSource      `json:"source"`
	Instrument string                  `json:"instrument"`
	Version    string                  `json:"version"`
	Flag       instrument.FlagResult   `json:"flag"`
	Authored   string                  `json:"authored"`
	Receipt    receipt                 `json:"receipt"`
	CreatedAt  *timestamp              `json:"createdAt"`
	FinishedAt *timestamp              `json:"finishedAt"`
	Error      *string                 `json:"error"`
}

type adverseEventSource struct {
	tasks.Source
	URL string `json:"url"`
}

func showAdverseEvent(row store.Row) adverseEventAnswer {
	e := row.Content.(tasks.AdverseEvent)
	state := tasks.Open // from the moment in which it is accepted
	if result, ok := row.Result.(tasks.AdverseEventResult); ok {
		state = result.State
	}
	source := tasks.QuestionnaireResponse{ID: e.Source.ID, Revision: e.Source.Revision}
	return adverseEventAnswer{
		ID: row.ID, Study: stringOrNull(row.Study), Site: stringOrNull(row.Site), PatientID: row.PatientID, VisitID: stringOrNull(row.VisitID),
		Status: row.Status, State: state, Source: adverseEventSource{e.Source, revisionURL(source)},
		Instrument: e.Rule.ID, Version: e.Rule.Version, Flag: e.Flag, Authored: e.Authored,
		Receipt:   receipt{row.SHA256, row.Sequence, timeOrNull(row.ReceivedAt)},
		CreatedAt: timeOrNull(row.CreatedAt), FinishedAt: timeOrNull(row.FinishedAt), Error: stringOrNull(row.Error),
	}
}

// adverseEventRoutes serves adverse events.
func (a *API) adverseEventRoutes(e *gin.Engine) {
	k := tasks.KindAdverseEvent()
	get(e, k.Path, func(c *gin.Context) {
		a.answerList(c, k, func(row store.Row, _ bool) any { return showAdverseEvent(row) })
	})
	get(e, k.Path+"/:id", func(c *gin.Context) {
		a.answerRow(c, k, func(row store.Row) []byte { return encodeJSON(showAdverseEvent(row)) })
	})
	e.POST(k.Path+"/:id/retry", a.retry(k))
}
