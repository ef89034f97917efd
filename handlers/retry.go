package handlers

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// retried is the answer to a retry.
type retried struct {
	ID        string       `json:"id"`
	Status    tasks.Status `json:"status"`
	Message   string       `json:"message"`
	StatusURL string       `json:"statusUrl"`
}

// retry answers POST …/{id}/retry.
func (a *API) retry(k *tasks.Kind) gin.HandlerFunc {
	return func(c *gin.Context) {
		ref := tasks.Ref{Kind: k.Name, ID: c.Param("id")}
		if checkPathID("id", ref.ID) != nil {
			a.fail(c, noSubmission(ref))
			return
		}
		ctx, cancel := a.detached(c.Request)
		defer cancel()
		was, err := a.work.Restart(ctx, ref)
		switch {
		case errors.Is(err, dispatcher.ErrNotFailed):
			err = &fault{code: codeNotFailed, args: []any{statusTexts[was]}, extras: extras{ReportStatus: string(was)}}
		case errors.Is(err, store.ErrNotFound):
			err = noSubmission(ref)
		}
		if err != nil {
			a.fail(c, err)
			return
		}
		url := k.Path + "/" + ref.ID
		l := acceptedLanguage(c.GetHeader("Accept-Language"))
		c.Header("Location", url)
		setLanguage(c.Writer.Header(), l)
		writeJSON(c, http.StatusAccepted, "application/json", retried{ref.ID, tasks.Accepted, textRetrying.in(l), url})
	}
}
