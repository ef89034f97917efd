package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	trial "casepress/progress"
	"casepress/study"
	"casepress/tasks"
)

// TrialProgress is where /trial-progress is read from.
type TrialProgress struct {
	// Rows are what is known of visits. Nil: the address is not served.
	Rows *trial.Rows
	// Behind returns how many events are known that the rows do not have yet.
	Behind func() (uint64, error)
}

// trialProgressAnswer is how the visits of a study stand.
type trialProgressAnswer struct {
	Study string `json:"study"`
	Title string `json:"title"`
	// Schedule are the visits that the study's file plans; none: there is no schedule.
	Schedule []scheduledVisit `json:"schedule"`
	// Warnings are what is odd about the study and the visit that are asked for: most often they are misspelt.
	Warnings []tasks.Warning `json:"warnings"`
	Behind   uint64          `json:"behind"`
	trial.Page
	Sites []siteProgress `json:"sites"`
}

type scheduledVisit struct {
	ID     string   `json:"id"`
	Title  string   `json:"title"`
	Day    int64    `json:"day"`
	Before int64    `json:"before"`
	After  int64    `json:"after"`
	Due    []string `json:"due"`
}

type siteProgress struct {
	trial.SiteFigures
	Title string `json:"title"`
}

// trialProgress answers GET /trial-progress.
func (a *API) trialProgress(c *gin.Context) {
	studyID, q, err := a.progressQuery(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	body, next, err := a.progressPage(c.Request.Context(), a.cfg.Studies.Get(studyID), q)
	if err != nil {
		a.fail(c, err)
		return
	}
	if next != nil {
		c.Header("Link", "<"+nextURL(c.Request.URL, *next)+`>; rel="next"`)
	}
	c.Header("Cache-Control", "private, no-cache")
	a.answer(c, "application/json", body)
}

// progressPage makes a page, when its turn has come. Lists do not wait for it: the figures are made of all patients of a study.
func (a *API) progressPage(ctx context.Context, s study.Study, q trial.Query) (body []byte, next *string, err error) {
	select {
	case a.progressing <- struct{}{}:
		defer func() { <-a.progressing }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	behind, err := a.cfg.Progress.Behind()
	if err != nil {
		return nil, nil, err
	}
	page, err := a.cfg.Progress.Rows.Read(ctx, s, q, time.Now())
	if errors.Is(err, trial.ErrBadCursor) {
		return nil, nil, invalid("cursor", textBadCursor)
	}
	if err != nil {
		return nil, nil, err
	}
	answer := showProgress(s, behind, page)
	answer.Warnings = append(answer.Warnings, tasks.StudyWarnings(a.cfg.Studies, tasks.Header{Study: s.ID, VisitID: q.VisitID})...)
	return encodeJSON(answer), page.Next, nil
}

func showProgress(s study.Study, behind uint64, page trial.Page) trialProgressAnswer {
	answer := trialProgressAnswer{Study: s.ID, Title: s.Title, Schedule: []scheduledVisit{}, Warnings: []tasks.Warning{}, Behind: behind, Page: page}
	for _, v := range s.Visits {
		answer.Schedule = append(answer.Schedule, scheduledVisit(v))
	}
	if page.Sites == nil {
		return answer
	}
	titles := make(map[string]string, len(s.Sites))
	for _, site := range s.Sites {
		titles[site.ID] = site.Title
	}
	answer.Sites = []siteProgress{}
	for _, f := range page.Sites {
		answer.Sites = append(answer.Sites, siteProgress{f, titles[f.Site]})
	}
	return answer
}

// progressQuery reads the query, and returns a fault that names all that is wrong.
func (a *API) progressQuery(c *gin.Context) (studyID string, q trial.Query, err error) {
	query, err := queryOf(c, "study", "site", "patientId", "visitId", "limit", "cursor")
	if err != nil {
		return "", q, err
	}
	var faults []fieldFault
	for _, wrong := range []*fieldFault{checkStudy(query["study"]), checkSite(a.cfg.Studies, query["study"], query["site"])} {
		if wrong != nil {
			faults = append(faults, *wrong)
		}
	}
	for _, name := range []string{"patientId", "visitId"} {
		if id, given := query[name]; given {
			if wrong := checkID(name, id); wrong != nil {
				faults = append(faults, *wrong)
			}
		}
	}
	q = trial.Query{
		Site: query["site"], PatientID: query["patientId"], VisitID: query["visitId"], Cursor: query["cursor"], Limit: trial.DefaultLimit,
	}
	if limit := query["limit"]; limit != "" {
		n, ok := counted(limit)
		if !ok || n < 1 || n > trial.MaxLimit {
			faults = append(faults, fieldFault{field: "limit", detail: textBadLimit, args: []any{trial.MaxLimit}})
		}
		q.Limit = n
	}
	if !inCharset(q.Cursor, cursorCharset) {
		faults = append(faults, fieldFault{field: "cursor", detail: textBadCursor})
	}
	if len(faults) > 0 {
		return "", q, &fault{code: codeInvalidInput, fields: faults}
	}
	return query["study"], q, nil
}

// NewTrialProgress returns an HTTP interface that serves /trial-progress and the health checks, and nothing
// else, for a process that has no submissions. ready returns what is in the way of following the events.
func NewTrialProgress(cfg Config, ready func() error, log *slog.Logger) *API {
	cfg = cfg.withDefaults()
	a := &API{
		cfg: cfg, log: log, hosts: newHosts(cfg.Hosts),
		progressing: make(chan struct{}, cfg.Processors), draining: make(chan struct{}),
	}
	a.metrics = newMetrics(a)
	a.connections = newConnections(a.cfg, a.log)
	e := a.newEngine()
	get(e, "/trial-progress", a.trialProgress)
	get(e, "/healthz", a.healthz)
	get(e, "/readyz", func(c *gin.Context) {
		err := ready()
		if a.isDraining() {
			a.fail(c, &fault{code: codeUnready, fields: []fieldFault{{field: "server", detail: textDraining}}})
			return
		}
		if err != nil {
			a.fail(c, &fault{code: codeUnready, fields: []fieldFault{{field: "events", detail: textReason, args: []any{err.Error()}}}})
			return
		}
		c.Header("Cache-Control", "no-store")
		writeJSON(c, http.StatusOK, "application/json", health{Status: "ready"})
	})
	a.engine = e
	return a
}
