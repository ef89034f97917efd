// Package handler keeps the routes of the kqproducer service; it never answers 201 before the event is in the topic.
package handler

import (
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/httpx"

	"casepress/interop/gozero/event"
	"casepress/interop/gozero/kqproducer/internal/svc"
)

// request is what has finished.
type request struct {
	ID         string `json:"id"`
	Study      string `json:"study,optional"`
	PatientID  string `json:"patientId"`
	VisitID    string `json:"visitId,optional"`
	Instrument string `json:"instrument"`
}

// answer repeats the event's id.
type answer struct {
	ID string `json:"id"`
}

// Register adds POST /finished: 201 says that the event is in the topic; 503 that this is not known, and that the same request is to
// be sent again.
func Register(server *rest.Server, topic *svc.Topic) {
	server.AddRoute(rest.Route{Method: http.MethodPost, Path: "/finished", Handler: func(w http.ResponseWriter, r *http.Request) {
		var q request
		if err := httpx.Parse(r, &q); err != nil {
			httpx.WriteJsonCtx(r.Context(), w, http.StatusBadRequest, map[string]string{"error": "not such a request"})
			return
		}
		e := event.Finished{
			ID: "questionnaire-response/" + q.ID + "/1", Type: event.TypeFinished, Time: time.Now().UTC(), Kind: "questionnaire-response", SubmissionID: q.ID,
			Instrument: q.Instrument, Study: q.Study, PatientID: q.PatientID, VisitID: q.VisitID, Status: "completed", Attempt: 1,
		}
		if err := topic.Publish(r.Context(), e); err != nil {
			logx.WithContext(r.Context()).Errorf("event %s: %v", e.ID, err)
			httpx.WriteJsonCtx(r.Context(), w, http.StatusServiceUnavailable, map[string]string{"error": "not known; send it again"})
			return
		}
		httpx.WriteJsonCtx(r.Context(), w, http.StatusCreated, answer{e.ID})
	}})
}
