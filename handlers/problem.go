package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/blob"
	"casepress/dispatcher"
	"casepress/fhir"
	"casepress/store"
	"casepress/tasks"
)

// problem is an RFC 9457 answer.
type problem struct {
	Type     string       `json:"type"`
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Detail   string       `json:"detail"`
	Instance string       `json:"instance"`
	Code     code         `json:"code"`
	Errors   []fieldError `json:"errors,omitempty"`
	// Stored is set only for requests that hand something in: whether casepress vouches that it is safe, null if it cannot
	// know. A client keeps its copy unless it is true.
	Stored    json.RawMessage `json:"stored,omitempty"`
	Retryable bool            `json:"retryable"`
	extras
}

// fieldError is what is wrong with one field.
type fieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// extras are the members that only some problems have.
type extras struct {
	// ID is that of what was handed in, ReportID that of a case report.
	ID            string `json:"id,omitempty"`
	ReportID      string `json:"reportId,omitempty"`
	ReportStatus  string `json:"reportStatus,omitempty"`
	StoredSHA256  string `json:"storedSha256,omitempty"`
	OfferedSHA256 string `json:"offeredSha256,omitempty"`
	Limit         int64  `json:"limit,omitempty"`
	// LatestRevision is that of the response that an amendment names; 0 if there is none.
	LatestRevision *int `json:"latestRevision,omitempty"`
	// Begin is the position among the events from which on there are some.
	Begin string `json:"begin,omitempty"`
	// Acknowledgement and Closing are those of the case that count.
	Acknowledgement *acknowledgementAnswer `json:"acknowledgement,omitempty"`
	Closing         *closingAnswer         `json:"closing,omitempty"`
}

// fault is why a request is refused or could not be served, in terms a client can act on. Handlers return it
// as an error; [API.fail] renders it.
type fault struct {
	code   code
	detail text  // instead of the code's, where that is for another kind
	args   []any // of the detail
	fields []fieldFault
	extras extras
	stored bool // what was handed in is on stable storage all the same
	// unknown says that nobody knows whether what was handed in is stored. It goes for every [codeOutcomeUnknown].
	unknown bool
	cause   error // for the log, never for the client
}

// fieldFault is a fault of one field. The first argument of its detail is the field, as shown if that says
// more, like a file's name.
type fieldFault struct {
	field  string
	detail text
	args   []any
	shown  string
	reason string // of a value in a document: stands for detail and does not name it; English
}

func (f *fault) Error() string {
	s := string(f.code)
	for _, field := range f.fields {
		s += " " + field.field
	}
	if f.cause != nil {
		s += ": " + f.cause.Error()
	}
	return s
}

func (f *fault) Unwrap() error { return f.cause }

func refuse(c code, args ...any) *fault { return &fault{code: c, args: args} }

func invalid(field string, detail text, args ...any) *fault {
	return &fault{code: codeInvalidInput, fields: []fieldFault{{field: field, detail: detail, args: args}}}
}

func (f fieldFault) render(l lang) fieldError {
	if f.reason != "" {
		return fieldError{f.field, f.reason}
	}
	name := cmp.Or(f.shown, f.field)
	return fieldError{f.field, f.detail.in(l, append([]any{name}, f.args...)...)}
}

// asFault is the one table from errors of the other packages to faults.
func asFault(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &fault{code: codeBodyTooLarge, args: []any{byteSize(e.Limit)}, extras: extras{Limit: e.Limit}, cause: err}
	}
	if e, ok := errors.AsType[*dispatcher.ConflictError](err); ok {
		return &fault{code: codeReportConflict, args: []any{e.ID}, extras: extras{StoredSHA256: e.Stored, OfferedSHA256: e.Offered}}
	}
	switch {
	case errors.Is(err, dispatcher.ErrOutcomeUnknown): // before what it wraps
		return &fault{code: codeOutcomeUnknown, cause: err}
	case errors.Is(err, store.ErrNotFound):
		return &fault{code: codeNoReport, cause: err}
	case errors.Is(err, dispatcher.ErrNoLane):
		return &fault{code: codeNoLane, cause: err}
	case errors.Is(err, store.ErrBadCursor):
		return invalid("cursor", textBadCursor)
	case errors.Is(err, blob.ErrCorrupt):
		return &fault{code: codeStoredDamaged, cause: err}
	case errors.Is(err, blob.ErrNotFound):
		return &fault{code: codeStoredMissing, cause: err}
	case errors.Is(err, store.ErrDamaged):
		return &fault{code: codeRowsDamaged, cause: err}
	case errors.Is(err, blob.ErrStagingFull):
		return &fault{code: codeOverloaded, cause: err}
	case errors.Is(err, dispatcher.ErrOverloaded):
		return &fault{code: codeOverloaded, cause: err}
	case errors.Is(err, dispatcher.ErrBehind):
		return &fault{code: codeRowsBehind, cause: err}
	case errors.Is(err, dispatcher.ErrUnavailable), errors.Is(err, dispatcher.ErrClosed), errors.Is(err, blob.ErrPoisoned),
		errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrReadOnly), errors.Is(err, syscall.EROFS):
		return &fault{code: codeUnavailable, cause: err}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &fault{code: codeDiskFull, cause: err}
	case errors.Is(err, blob.ErrUnavailable), dispatcher.IsShortage(err), errors.Is(err, syscall.EIO): // after those that say more
		return &fault{code: codeUnavailable, cause: err}
	case errors.Is(err, context.Canceled): // the client left, or closed its sending side: then it reads this
		return &fault{code: codeClientClosed, cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &fault{code: codeTimeout, cause: err}
	}
	return &fault{code: codeInternal, cause: err}
}

// fail answers with the problem that err stands for, in the client's language. It is the only place that
// renders a problem.
func (a *API) fail(c *gin.Context, err error) {
	f := asFault(err)
	info := codeTable[f.code]
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	p := problemOf(c, f, l)

	h := c.Writer.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Content-Disposition", "Accept-Ranges", "Location", "Link"} {
		h.Del(name) // they would describe what is not sent
	}
	h.Set("Cache-Control", "no-store")
	if info.retryAfter > 0 && h.Get("Retry-After") == "" {
		setRetryAfter(h, info.retryAfter)
	}
	if !isBodyRead(c) {
		h.Set("Connection", "close") // the rest is not wanted
	}
	recordProblem(c, f.code, f.cause)
	setLanguage(h, l)
	if isFHIR(c.Request) {
		writeJSON(c, info.status, fhir.MediaType, fhirOutcome(p, l))
		return
	}
	writeJSON(c, info.status, "application/problem+json", p)
}

// problemOf is a fault of the request, or of one entry of its body, as an answer shows it.
func problemOf(c *gin.Context, f *fault, l lang) problem {
	info := codeTable[f.code]
	p := problem{
		Type:      "urn:casepress:problem:" + string(f.code),
		Title:     info.title.in(l),
		Status:    info.status,
		Instance:  "urn:casepress:request:" + requestID(c),
		Code:      f.code,
		Retryable: info.retryable,
		extras:    f.extras,
	}
	var details []string
	for _, field := range f.fields {
		e := field.render(l)
		p.Errors = append(p.Errors, e)
		sentence := e.Detail
		if field.reason != "" {
			sentence = e.Field + ": " + sentence
		}
		details = append(details, sentence)
	}
	detail := info.detail
	if f.detail != (text{}) {
		detail = f.detail
	}
	p.Detail = detail.in(l, f.args...)
	if len(details) > 0 {
		p.Detail = sentences(l, details)
	}
	if isSubmission(c) && c.FullPath() != routeReceipts {
		p.Stored = json.RawMessage(strconv.FormatBool(f.stored))
		if f.unknown || f.code == codeOutcomeUnknown {
			p.Stored = json.RawMessage("null")
		}
	}
	return p
}

// isSubmission reports whether a request may hand something in, so that its client has to know whether it
// is stored. A request to a misspelt address may.
func isSubmission(c *gin.Context) bool {
	method := c.Request.Method
	return (method == http.MethodPost || method == http.MethodPut) && !strings.HasSuffix(c.FullPath(), "/retry")
}

func setRetryAfter(h http.Header, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(max(1, int((d+time.Second-1)/time.Second))))
}

func setLanguage(h http.Header, l lang) {
	h["Content-Language"] = contentLanguages[l]
	if h["Vary"] == nil {
		h["Vary"] = varyLanguage
	} else {
		h.Add("Vary", "Accept-Language")
	}
}

// These slices are shared, as those of everyAnswer.
var (
	contentLanguages = [...][]string{english: {english.tag()}, chinese: {chinese.tag()}}
	varyLanguage     = []string{"Accept-Language"}
)

// noRoute answers for a path that means nothing here.
func (a *API) noRoute(c *gin.Context) { a.fail(c, refuse(codeNoRoute, printable(c.Request.URL.Path))) }

// noMethod answers for a path that means something for other methods; Gin has set Allow.
func (a *API) noMethod(c *gin.Context) {
	a.fail(c, refuse(codeMethodNotAllowed, printable(c.Request.Method), c.Writer.Header().Get("Allow")))
}

// recovered answers for a handler that panicked, unless an answer has begun: then the connection is cut so
// that the client cannot mistake it for whole.
func (a *API) recovered(c *gin.Context, value any, stack []byte) {
	a.logPanic(c, value, stack)
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	a.fail(c, panicFault(value))
}

// panicFault is the fault of a request during which something panicked: before or after it was stored, nobody knows.
func panicFault(value any) *fault {
	return &fault{code: codeInternal, unknown: true, cause: fmt.Errorf("it panicked with %s", tasks.PanicText(value))}
}

func (a *API) logPanic(c *gin.Context, value any, stack []byte) {
	a.log.LogAttrs(c.Request.Context(), slog.LevelError, "panic",
		slog.String("requestId", requestID(c)), slog.String("route", c.FullPath()),
		slog.String("panic", tasks.PanicText(value)), slog.String("stack", string(stack)))
}
