package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

type health struct {
	Status string `json:"status"`
	// DamagedBlobs counts files whose bytes are not those that were stored; the log and a metric name them.
	// They do not stop work: each is refused when it is asked for.
	DamagedBlobs int `json:"damagedBlobs,omitempty"`
	// MissingBlobs counts files that are gone although they are needed, told in the same ways.
	MissingBlobs int `json:"missingBlobs,omitempty"`
}

// healthz says that the process is up and answers.
func (a *API) healthz(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	writeJSON(c, http.StatusOK, "application/json", health{Status: "ok"})
}

// readyz says whether work can be taken in, and if not, everything that is in the way.
func (a *API) readyz(c *gin.Context) {
	if reasons := a.unready(c.Request.Context()); len(reasons) > 0 {
		a.fail(c, &fault{code: codeUnready, fields: reasons})
		return
	}
	c.Header("Cache-Control", "no-store")
	writeJSON(c, http.StatusOK, "application/json", health{Status: "ready", DamagedBlobs: len(a.blobs.Corrupt()), MissingBlobs: a.cfg.MissingBlobs()})
}

// pingTimeout bounds the look at the rows: a probe does not wait for ever.
const pingTimeout = 2 * time.Second

// unready returns what is in the way of taking in work, by part.
func (a *API) unready(ctx context.Context) []fieldFault {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var reasons []fieldFault
	add := func(part string, err error) {
		if err != nil {
			reasons = append(reasons, fieldFault{field: part, detail: textReason, args: []any{err.Error()}})
		}
	}
	if a.isDraining() {
		reasons = append(reasons, fieldFault{field: "server", detail: textDraining})
	}
	add("dispatcher", a.work.Ready())
	add("rows", a.rows.Ping(ctx))
	add("blobs", a.blobs.Ready())
	if err := a.admission.diskFloor(ctx, a.cfg.MinFreeDisk, a.admission.uploads.reserved()); err != nil {
		add("disk", asFault(err).cause)
	}
	return reasons
}
