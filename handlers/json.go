package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// writeJSON answers with body as JSON.
func writeJSON(c *gin.Context, status int, mediaType string, body any) {
	writeBytes(c, status, mediaType, encodeJSON(body))
}

// encodeJSON returns body, which is of one of our own types, as JSON.
func encodeJSON(body any) []byte {
	const usual = 512 // bytes
	encoded := bytes.NewBuffer(make([]byte, 0, usual))
	encoder := json.NewEncoder(encoded)
	encoder.SetEscapeHTML(false) // read in terminals, never as HTML
	if err := encoder.Encode(body); err != nil {
		panic(err) // our own types always encode
	}
	return encoded.Bytes()
}

// writeBytes answers with body, or for HEAD with its headers only. An error of the connection needs no
// answer: nobody is left to receive it.
func writeBytes(c *gin.Context, status int, mediaType string, body []byte) {
	h := c.Writer.Header()
	h["Content-Type"] = []string{mediaType}
	if len(body) > toldByItself || c.Request.ProtoMajor >= 2 || c.Request.Method == http.MethodHead || !isBodyRead(c) {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	c.Status(status)
	if c.Request.Method == http.MethodHead {
		c.Writer.WriteHeaderNow()
		return
	}
	_, _ = c.Writer.Write(body)
}

// toldByItself is the largest answer whose length net/http tells by itself, unless it is sent before the handler returns, as where
// the rest of a body is taken in, and as every answer over HTTP/2 is (see boundRequests). An entry less among the headers matters where there are thousands of small answers a second: a map of
// more than eight takes twice the time.
const toldByItself = 2 << 10

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
	return t.append(nil), nil
}

func (t timestamp) append(b []byte) []byte {
	return time.Time(t).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
}

// stringOrNull returns nil, and so null, for "".
func stringOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// counted reads a number as clients are to write it: 1, 2 and so on, in digits, without a sign or zeros in front. An address
// with any other spelling would be a second name of the same thing.
func counted(s string) (n int, ok bool) {
	if s == "" || s[0] == '0' || len(s) > 9 || !inCharset(s, "0123456789") {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// queryOf returns the query parameters, or a fault if the query is malformed or a parameter is unknown,
// repeated or empty: a misspelt or lost filter must not quietly show everything.
func queryOf(c *gin.Context, known ...string) (map[string]string, error) {
	all, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return nil, invalid("query", textMalformedQuery)
	}
	query := make(map[string]string, len(all))
	for name, values := range all {
		switch {
		case !slices.Contains(known, name):
			return nil, invalid(printable(name), textUnknownParam, strings.Join(known, ", "))
		case len(values) > 1:
			return nil, invalid(name, textRepeated)
		case values[0] == "":
			return nil, invalid(name, textEmptyParam)
		}
		query[name] = values[0]
	}
	return query, nil
}
