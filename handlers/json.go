package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// writeJSON answers with body as JSON. An error of the connection needs no
// answer: there is nobody left to give it to.
func writeJSON(c *gin.Context, status int, mediaType string, body any) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // read in terminals, never as HTML
	if err := encoder.Encode(body); err != nil {
		panic(err) // our own types always encode
	}
	c.Header("Content-Type", mediaType)
	c.Header("Content-Length", strconv.Itoa(encoded.Len()))
	c.Status(status)
	if c.Request.Method == http.MethodHead {
		c.Writer.WriteHeaderNow()
		return
	}
	_, _ = c.Writer.Write(encoded.Bytes())
}

// timestamp is a time as answers show it: UTC, always with microseconds.
type timestamp time.Time

// timeOrNull returns t for an answer: nil, and so null, if there is none.
func timeOrNull(t time.Time) *timestamp {
	if t.IsZero() {
		return nil
	}
	return (*timestamp)(&t)
}

// MarshalText writes RFC 3339.
func (t timestamp) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000Z"), nil
}

// stringOrNull returns nil, and so null, for "".
func stringOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// queryOf returns the query parameters, or a fault if one is unknown or repeated:
// a misspelt filter must not quietly show everything.
func queryOf(c *gin.Context, known ...string) (map[string]string, error) {
	all := c.Request.URL.Query()
	query := make(map[string]string, len(all))
	for name, values := range all {
		if !slices.Contains(known, name) {
			return nil, invalid(printable(name), textUnknownParam, strings.Join(known, ", "))
		}
		if len(values) > 1 {
			return nil, invalid(name, textRepeated)
		}
		query[name] = values[0]
	}
	return query, nil
}
