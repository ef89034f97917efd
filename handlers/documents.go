package handlers

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/jsonfile"
	"casepress/store"
	"casepress/tasks"
)

// A document is a submission that comes as one JSON object. Every kind with a [tasks.JSONIntake] is taken in here:
// POST and GET at the kind's path, GET of one, and its retry.

// defaultDocument is how large a document may be unless its kind says otherwise.
const defaultDocument = 64 << 10

// acceptedDocument is the answer to a document.
type acceptedDocument struct {
	ID        string       `json:"id"`
	Status    tasks.Status `json:"status"`
	Message   string       `json:"message"`
	StatusURL string       `json:"statusUrl"`
	Receipt   receipt      `json:"receipt"`
}

// documentAnswer is a document as answers show it. Pointers are null when unset.
type documentAnswer struct {
	ID            string        `json:"id"`
	Study         *string       `json:"study"`
	Site          *string       `json:"site"`
	PatientID     string        `json:"patientId"`
	VisitID       *string       `json:"visitId"`
	Status        tasks.Status  `json:"status"`
	Attempts      int           `json:"attempts"`
	Content       tasks.Content `json:"content"`
	Result        tasks.Result  `json:"result"`
	Receipt       receipt       `json:"receipt"`
	CreatedAt     *timestamp    `json:"createdAt"`
	StartedAt     *timestamp    `json:"startedAt"`
	FinishedAt    *timestamp    `json:"finishedAt"`
	NextAttemptAt *timestamp    `json:"nextAttemptAt"`
	Error         *string       `json:"error"`
}

func showDocument(row store.Row) documentAnswer {
	return documentAnswer{
		ID: row.ID, Study: stringOrNull(row.Study), Site: stringOrNull(row.Site), PatientID: row.PatientID, VisitID: stringOrNull(row.VisitID),
		Status: row.Status, Attempts: row.Attempts, Content: row.Content, Result: row.Result,
		Receipt:   receipt{row.SHA256, row.Sequence, timeOrNull(row.ReceivedAt)},
		CreatedAt: timeOrNull(row.CreatedAt), StartedAt: timeOrNull(row.StartedAt), FinishedAt: timeOrNull(row.FinishedAt),
		NextAttemptAt: timeOrNull(row.NextAttempt), Error: stringOrNull(row.Error),
	}
}

// documentRoutes serves one kind.
func (a *API) documentRoutes(e *gin.Engine, k *tasks.Kind) {
	limit := cmp.Or(k.JSON.MaxBytes, defaultDocument)
	e.POST(k.Path, a.admit(k.Lane, limit), a.postDocument(k, limit))
	get(e, k.Path, a.documents(k))
	get(e, k.Path+"/:id", a.document(k))
	e.POST(k.Path+"/:id/retry", a.retry(k))
}

// postDocument answers 201 when the document is on stable storage.
func (a *API) postDocument(k *tasks.Kind, limit int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		content, err := a.readDocument(c.Request, k, limit)
		if err != nil {
			a.fail(c, err)
			return
		}
		ctx, cancel := a.detached(c.Request)
		defer cancel()
		id := content.Header().ID
		got, err := a.work.Accept(ctx, tasks.NewSubmission(k, content))
		if e, conflict := errors.AsType[*dispatcher.ConflictError](err); conflict {
			err = &fault{code: codeIDConflict, args: []any{id}, extras: extras{StoredSHA256: e.Stored, OfferedSHA256: e.Offered}}
		}
		if err != nil {
			a.fail(c, documentFault(err, id))
			return
		}
		l := acceptedLanguage(c.GetHeader("Accept-Language"))
		answer := acceptedDocument{
			ID: id, Status: got.Status, Message: textDocumentAccepted.in(l), StatusURL: k.Path + "/" + id,
			Receipt: receipt{got.SHA256, got.Sequence, timeOrNull(got.ReceivedAt)},
		}
		if got.Replayed {
			c.Header("Idempotency-Replayed", "true")
			answer.Message = textDocumentReplayed.in(l)
		}
		c.Header("Location", answer.StatusURL)
		setLanguage(c.Writer.Header(), l)
		writeJSON(c, http.StatusCreated, "application/json", answer)
	}
}

// readDocument reads and checks the body.
func (a *API) readDocument(r *http.Request, k *tasks.Kind, limit int64) (tasks.Content, error) {
	document, err := readJSON(r, limit)
	if err != nil {
		return nil, err
	}
	content, err := parsed(a, r, a.parsing, func() (tasks.Content, []jsonfile.Problem) { return k.JSON.Parse(document) })
	if err != nil {
		return nil, err
	}
	return content, a.checkHeader(content.Header())
}

// parsed returns what parse does of the body of r, which is in: it is parsed even if the client leaves, if its turn comes within
// [Config.StoreTimeout]. The error is a fault, or that of the time.
func parsed[T any](a *API, r *http.Request, under chan struct{}, parse func() (T, []jsonfile.Problem)) (T, error) {
	select {
	case under <- struct{}{}: // as nearly always: then no time has to be kept
		return parsedNow(under, parse)
	default:
	}
	ctx, cancel := a.detached(r)
	defer cancel()
	return parsedIn(ctx, under, parse)
}

// parsedIn is parsed in a context. As many documents are parsed at once as fit into under: each takes up to fifty times its
// bytes meanwhile, and more at once would take more memory and no less time.
func parsedIn[T any](ctx context.Context, under chan struct{}, parse func() (T, []jsonfile.Problem)) (none T, err error) {
	select {
	case under <- struct{}{}:
		return parsedNow(under, parse)
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// parsedNow is parsedIn of whoever has its place in under.
func parsedNow[T any](under chan struct{}, parse func() (T, []jsonfile.Problem)) (T, error) {
	defer func() { <-under }()
	read, problems := parse()
	return read, faultOf(problems)
}

// invalidJSON is the fault of a body with these problems.
func invalidJSON(problems []jsonfile.Problem) *fault {
	f := &fault{code: codeInvalidInput}
	for _, p := range problems {
		f.fields = append(f.fields, fieldFault{field: cmp.Or(p.Pointer, "body"), reason: p.Detail})
	}
	return f
}

// checkHeader returns a fault unless the ids are ones.
func (a *API) checkHeader(h tasks.Header) error {
	wrong := []*fieldFault{
		checkPathID("id", h.ID), checkStudy(h.Study), checkSite(a.cfg.Studies, h.Study, h.Site), checkID("patientId", h.PatientID),
	}
	if h.VisitID != "" {
		wrong = append(wrong, checkID("visitId", h.VisitID))
	}
	f := &fault{code: codeInvalidInput}
	for _, one := range wrong {
		if one != nil {
			f.fields = append(f.fields, *one)
		}
	}
	if len(f.fields) > 0 {
		return f
	}
	return nil
}

// document answers GET of one, at once or after a wait.
func (a *API) document(k *tasks.Kind) gin.HandlerFunc {
	return func(c *gin.Context) {
		a.answerRow(c, k, func(row store.Row) []byte { return encodeJSON(showDocument(row)) })
	}
}

// documents answers GET of a list.
func (a *API) documents(k *tasks.Kind) gin.HandlerFunc {
	return func(c *gin.Context) {
		a.answerList(c, k, func(row store.Row, _ bool) any { return showDocument(row) })
	}
}
