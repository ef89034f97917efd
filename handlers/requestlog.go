package handlers

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
)

// Keys under which a request's facts lie in the Gin context.
const (
	keyRequestID = "casepress.requestID"
	keyCode      = "casepress.code"
	keyCause     = "casepress.cause"
	keyBody      = "casepress.body"
)

// everyAnswer are the headers of every answer. The slices are shared and have no room for more.
var everyAnswer = []struct {
	name   string
	values []string
}{
	{"X-Content-Type-Options", []string{"nosniff"}},
	{"Referrer-Policy", []string{"no-referrer"}},
	{"Cross-Origin-Resource-Policy", []string{"same-origin"}}, // no other site may show our pictures
}

// observe gives the request its id, and writes one log line and the counters when it is answered. The line
// has the route's template, never the path or the query: these carry ids of patients.
func (a *API) observe(c *gin.Context) {
	start := time.Now()
	id := c.GetHeader("X-Request-Id")
	if !validRequestID(id) {
		id = rand.Text()
	}
	c.Set(keyRequestID, id)
	h := c.Writer.Header()
	h["X-Request-Id"] = []string{id} // in canonical form, as are those of everyAnswer
	for _, one := range everyAnswer {
		h[one.name] = one.values
	}

	a.metrics.inFlight.Inc()
	defer a.metrics.inFlight.Dec()
	defer func() {
		took := time.Since(start)
		a.metrics.request(c, took)
		a.logRequest(c, took)
	}()
	c.Next()
}

func (a *API) logRequest(c *gin.Context, took time.Duration) {
	level := slog.LevelInfo
	if c.Writer.Status() >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	ctx := c.Request.Context()
	if !a.log.Enabled(ctx, level) {
		return
	}
	// LogAttrs would look for the caller, which takes a fifth of the time of the line: it is always this one.
	line := slog.NewRecord(time.Now(), level, "request", 0)
	line.AddAttrs(
		slog.String("method", c.Request.Method),
		slog.String("route", route(c)),
		slog.Int("status", c.Writer.Status()),
		slog.Int("bytes", max(0, c.Writer.Size())),
		slog.Duration("duration", took),
		slog.String("requestId", requestID(c)),
	)
	if code := c.GetString(keyCode); code != "" {
		line.AddAttrs(slog.String("code", code))
	}
	if cause, ok := c.Get(keyCause); ok && level == slog.LevelError {
		line.AddAttrs(slog.Any("error", cause))
	}
	_ = a.log.Handler().Handle(ctx, line) // nobody could be told that a line cannot be logged
}

// recordProblem keeps what went wrong for the log line and the counters.
func recordProblem(c *gin.Context, code code, cause error) {
	c.Set(keyCode, string(code))
	if cause != nil {
		c.Set(keyCause, cause)
	}
}

func requestID(c *gin.Context) string { return c.GetString(keyRequestID) }

// route is the template of the route that answers, or "none".
func route(c *gin.Context) string {
	if p := c.FullPath(); p != "" {
		return p
	}
	return "none"
}

// validRequestID accepts what can stand in a header, a log and a URN unchanged.
func validRequestID(id string) bool {
	return len(id) >= 1 && len(id) <= 128 && inCharset(id, idCharset+":")
}

// recoverPanics turns a handler's panic into a 500 and a log entry: one broken request must not end the
// process.
func (a *API) recoverPanics(c *gin.Context) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		if err, ok := value.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(value) // net/http cuts the connection, as the handler asks
		}
		c.Abort()
		a.recovered(c, value, debug.Stack())
	}()
	c.Next()
}
