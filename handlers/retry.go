package handlers

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/tasks"
)

// retried is the answer to a retry.
type retried struct {
	ID        string       `json:"id"`
	Status    tasks.Status `json:"status"`
	Message   string       `json:"message"`
	StatusURL string       `json:"statusUrl"`
}

// retry answers POST /case-reports/{id}/retry.
func (a *API) retry(c *gin.Context) {
	id := c.Param("id")
	if checkPathID("id", id) != nil {
		a.fail(c, refuse(codeNoReport))
		return
	}
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	was, err := a.work.Restart(ctx, caseReportRef(id))
	if errors.Is(err, dispatcher.ErrNotFailed) {
		err = &fault{code: codeNotFailed, args: []any{statusTexts[was]}, extras: extras{ReportStatus: string(was)}}
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	url := statusURL(id)
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	c.Header("Location", url)
	setLanguage(c.Writer.Header(), l)
	writeJSON(c, http.StatusAccepted, "application/json", retried{id, tasks.Accepted, textRetrying.in(l), url})
}
