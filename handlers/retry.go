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
		a.answerRetry(c, ref, ref.ID, k.Path+"/"+ref.ID)
	}
}

// answerRetry lets a submission run again that failed. id and url are what the answer calls it.
func (a *API) answerRetry(c *gin.Context, ref tasks.Ref, id, url string) {
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	was, err := a.work.Restart(ctx, ref)
	switch {
	case errors.Is(err, dispatcher.ErrNotFailed):
		f := &fault{code: codeNotFailed, args: []any{statusTexts[was]}, extras: extras{ReportStatus: string(was)}}
		if ref.Kind != tasks.KindCaseReport().Name {
			f.detail = textNotFailed
		}
		err = f
	case errors.Is(err, store.ErrNotFound):
		err = noSubmission(ref)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	c.Header("Location", url)
	setLanguage(c.Writer.Header(), l)
	message := textDocumentRetrying
	if ref.Kind == tasks.KindCaseReport().Name {
		message = textRetrying
	}
	writeJSON(c, http.StatusAccepted, "application/json", retried{id, tasks.Accepted, message.in(l), url})
}
