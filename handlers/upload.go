package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// accepted is the answer to an upload.
type accepted struct {
	ID        string          `json:"id"`
	Status    tasks.Status    `json:"status"`
	Message   string          `json:"message"`
	StatusURL string          `json:"statusUrl"`
	Receipt   receipt         `json:"receipt"`
	Images    []acceptedImage `json:"images"`
	// Warnings are what the files of the studies, as the server has them now, say of what the report names.
	Warnings []tasks.Warning `json:"warnings"`
}

// receipt proves what was stored, where in the log, and when.
type receipt struct {
	SHA256     string     `json:"sha256"`
	Sequence   uint64     `json:"sequence"`
	ReceivedAt *timestamp `json:"receivedAt"`
}

// acceptedImage lets a client compare what it meant to send with what is stored.
type acceptedImage struct {
	ImageID string `json:"imageId"`
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
}

// uploadCaseReport answers POST /upload-case-report.
func (a *API) uploadCaseReport(c *gin.Context) {
	got, err := a.accept(c.Request)
	if err != nil {
		a.fail(c, err)
		return
	}
	message := textAccepted
	if got.Replayed {
		c.Header("Idempotency-Replayed", "true")
		message = textReplayed
	}
	url := statusURL(got.ID)
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	report := got.Content.(tasks.CaseReport)
	answer := accepted{
		ID: got.ID, Status: got.Status, Message: message.in(l), StatusURL: url,
		Receipt: receipt{got.SHA256, got.Sequence, timeOrNull(got.ReceivedAt)},
		Images:  make([]acceptedImage, len(report.Images)), Warnings: list(tasks.StudyWarnings(a.cfg.Studies, report.Header())),
	}
	for i, img := range report.Images {
		answer.Images[i] = acceptedImage{img.ImageID, img.SHA256, img.Bytes}
	}
	c.Header("Location", url)
	setLanguage(c.Writer.Header(), l)
	writeJSON(c, http.StatusAccepted, "application/json", answer)
}

// accept reads the form, checks it, and stores it. On an error nothing of it is kept beyond blobs that no row
// names.
func (a *API) accept(r *http.Request) (got dispatcher.Receipt, err error) {
	if r.URL.RawQuery != "" {
		return got, invalid("query", textQueryString)
	}
	body, err := digestBody(r)
	if err != nil {
		return got, err
	}
	f, err := a.readForm(r)
	if err != nil {
		return got, err
	}
	defer func() { err = afterDiscard(err, f.discard()) }()
	if err := body.verify(); err != nil {
		return got, err
	}
	report, err := f.report(r.Header, a.cfg.MaxNotes, a.cfg.Studies)
	if err != nil {
		return got, err
	}

	// The body is complete. From here on it is stored even if the client leaves.
	ctx, cancel := a.detached(r)
	defer cancel()
	var dropped []fieldFault
	if report.Images, dropped, err = a.resolve(ctx, report.Header().Subject(), f.images); err != nil {
		return got, err
	}
	if len(dropped) > 0 {
		return a.replay(ctx, report, dropped)
	}
	if err := f.commit(ctx); err != nil {
		return got, err
	}
	fresh := report.ID == ""
	if fresh {
		if report.ID, err = newID(); err != nil {
			return got, err
		}
	}
	s := tasks.NewSubmission(tasks.KindCaseReport(), report)
	s.Fresh = fresh
	got, err = a.work.Accept(ctx, s)
	return got, submitFault(err, report.ID)
}

// stageContext returns the context for staging a body: the request's without its end. The request's own
// ends when the client leaves, even after its last byte. A body that is not complete ends the staging
// with an error of its own.
func stageContext(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }

// detached returns the request's context without its end, bounded by [Config.StoreTimeout].
func (a *API) detached(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), a.cfg.StoreTimeout)
}

// submitFault adds the report's id to the error of a failed Accept, so that the client can repeat exactly
// this submission.
func submitFault(err error, id string) error {
	if err == nil {
		return nil
	}
	f := acceptFault(err, textReportUnknown, id)
	f.extras.ReportID = id
	return f
}

// acceptFault is the fault of a failed Accept. Where only time can tell whether the submission is stored, unknown says how to
// find out.
func acceptFault(err error, unknown text, args ...any) *fault {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, dispatcher.ErrOutcomeUnknown) {
		return &fault{code: codeOutcomeUnknown, detail: unknown, args: args, cause: err}
	}
	return asFault(err)
}

// documentFault is [submitFault] for a document, whose id is called "id".
func documentFault(err error, id string) error {
	if err == nil {
		return nil
	}
	f := asFault(submitFault(err, id))
	if f.code == codeOutcomeUnknown {
		f.detail = textDocumentUnknown
	}
	f.extras.ID, f.extras.ReportID = f.extras.ReportID, ""
	return f
}

// replay answers a report whose images were dropped: it is an earlier one handed in again, or it needs the
// bytes once more.
func (a *API) replay(ctx context.Context, report tasks.CaseReport, dropped []fieldFault) (dispatcher.Receipt, error) {
	s := tasks.NewSubmission(tasks.KindCaseReport(), report)
	found, err := dispatcher.Lookup(ctx, a.work, func(ctx context.Context) (store.Found, error) { return a.rows.Find(ctx, s) }, s.Kind.Topic)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return dispatcher.Receipt{}, &fault{code: codeInvalidInput, fields: dropped}
	case err == nil && found.SHA256 != s.SHA256:
		err = &dispatcher.ConflictError{ID: report.ID, Stored: found.SHA256, Offered: s.SHA256}
	}
	return dispatcher.Receipt{
		ID: report.ID, SHA256: found.SHA256, Sequence: found.Sequence, ReceivedAt: found.ReceivedAt,
		Status: found.Status, Content: found.Content, Replayed: true,
	}, submitFault(err, report.ID)
}

// resolve returns the images of the form in its order, or a fault that names every imageId the patient does
// not have. Images that were put earlier are held; dropped names those whose originals are gone.
func (a *API) resolve(ctx context.Context, of tasks.Subject, from []formImage) (images []tasks.Image, dropped []fieldFault, err error) {
	images = make([]tasks.Image, len(from))
	var unknown []fieldFault
	for i, img := range from {
		if img.staged != nil {
			images[i] = img.image
			continue
		}
		found, err := a.findImage(ctx, of, img.image.ImageID)
		if errors.Is(err, store.ErrNotFound) {
			unknown = append(unknown, fieldFault{field: "imageId", detail: textUnknownImage, args: []any{img.image.ImageID}})
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		gone, err := a.hold(ctx, &from[i], found)
		if err != nil {
			return nil, nil, err
		}
		if gone {
			dropped = append(dropped, fieldFault{field: "imageId", detail: textDroppedImage, args: []any{img.image.ImageID}})
		}
		images[i] = found
	}
	if len(unknown) > 0 {
		return nil, nil, &fault{code: codeInvalidInput, fields: append(unknown, dropped...)}
	}
	return images, dropped, nil
}

// findImage looks an image up, and again once the rows show everything accepted so far: it may have been
// accepted a moment ago.
func (a *API) findImage(ctx context.Context, of tasks.Subject, imageID string) (tasks.Image, error) {
	return dispatcher.Lookup(ctx, a.work, func(ctx context.Context) (tasks.Image, error) {
		return a.rows.Image(ctx, of, imageID)
	}, topicsOf(tasks.KindImage().Name)...)
}

// newID makes the id of a report that came without one.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make report id: %w", err)
	}
	return id.String(), nil
}

func statusURL(id string) string { return "/case-reports/" + id }
