package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// uploadLimits is what a client can check before it sends.
type uploadLimits struct {
	MaxBodyBytes       int64 `json:"maxBodyBytes"`
	MaxImages          int   `json:"maxImages"`
	MaxPixels          int64 `json:"maxPixels"`
	MaxNotesCharacters int   `json:"maxNotesCharacters"`
}

// limits answers GET /limits.
func (a *API) limits(c *gin.Context) {
	body := encodeJSON(uploadLimits{a.cfg.MaxBodyBytes, a.cfg.MaxImages, a.cfg.MaxPixels, a.cfg.MaxNotes})
	h := c.Writer.Header()
	tag := bodyTag(body)
	h.Set("Etag", tag)
	h.Set("Cache-Control", "no-cache")
	if etagMatches(c.GetHeader("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	writeBytes(c, http.StatusOK, "application/json", body)
}
