package handlers

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// caseReport is a case report as answers show it. Pointers are null when unset.
type caseReport struct {
	ID            string          `json:"id"`
	Study         *string         `json:"study"`
	Site          *string         `json:"site"`
	PatientID     string          `json:"patientId"`
	VisitID       *string         `json:"visitId"`
	Notes         *string         `json:"notes,omitempty"` // not in lists
	CapturedAt    *string         `json:"capturedAt"`
	Status        tasks.Status    `json:"status"`
	Attempts      int             `json:"attempts"`
	Progress      progress        `json:"progress"`
	Images        []reportImage   `json:"images"`
	Report        *pdfAnswer      `json:"report"`
	Problems      []tasks.Problem `json:"problems"`
	Receipt       receipt         `json:"receipt"`
	CreatedAt     *timestamp      `json:"createdAt"`
	StartedAt     *timestamp      `json:"startedAt"`
	FinishedAt    *timestamp      `json:"finishedAt"`
	NextAttemptAt *timestamp      `json:"nextAttemptAt"`
	Error         *string         `json:"error"`
}

type progress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// reportImage is an image as it was handed in, and what was made of it.
type reportImage struct {
	N         int     `json:"n"`
	ImageID   string  `json:"imageId"`
	Name      *string `json:"name"`
	MediaType string  `json:"mediaType"`
	SHA256    string  `json:"sha256"`
	Bytes     int64   `json:"bytes"`
	URL       *string `json:"url"`
	ThumbURL  *string `json:"thumbUrl"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	// What is known of the original, and of the image at URL beside its size.
	OutputType   *string  `json:"outputType"`
	SourceWidth  int      `json:"sourceWidth"`
	SourceHeight int      `json:"sourceHeight"`
	CapturedAt   *string  `json:"capturedAt"`
	Removed      []string `json:"removed"`
	Damaged      bool     `json:"damaged"`
}

type pdfAnswer struct {
	URL    string `json:"url"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Pages  int    `json:"pages"`
}

// caseReportAnswer turns a row into its answer.
func caseReportAnswer(row store.Row) caseReport {
	report, result := caseReportOf(row)
	r := caseReport{
		ID: row.ID, Study: stringOrNull(row.Study), Site: stringOrNull(row.Site), PatientID: row.PatientID, VisitID: stringOrNull(row.VisitID),
		Notes: stringOrNull(report.Notes), CapturedAt: stringOrNull(report.CapturedAt),
		Status: row.Status, Attempts: row.Attempts, Progress: progress{row.Done, row.Total},
		Images: make([]reportImage, len(report.Images)), Problems: result.Problems,
		Receipt:   receipt{row.SHA256, row.Sequence, timeOrNull(row.ReceivedAt)},
		CreatedAt: timeOrNull(row.CreatedAt), StartedAt: timeOrNull(row.StartedAt), FinishedAt: timeOrNull(row.FinishedAt), NextAttemptAt: timeOrNull(row.NextAttempt),
		Error: stringOrNull(row.Error),
	}
	if r.Problems == nil {
		r.Problems = []tasks.Problem{}
	}
	for i := range report.Images {
		r.Images[i] = imageAnswer(row.ID, report.Images[i], result, i)
	}
	if pdf := result.PDF; row.Status == tasks.Completed {
		r.Report = &pdfAnswer{statusURL(row.ID) + "/report.pdf", pdf.Bytes, pdf.SHA256, pdf.Pages}
	}
	return r
}

// caseReportOf returns what a row of the kind has: the result is zero unless it is completed.
func caseReportOf(row store.Row) (tasks.CaseReport, tasks.CaseReportResult) {
	result, _ := row.Result.(tasks.CaseReportResult)
	return row.Content.(tasks.CaseReport), result
}

func imageAnswer(id string, img tasks.Image, result tasks.CaseReportResult, i int) reportImage {
	shown := reportImage{
		N: i + 1, ImageID: img.ImageID, Name: stringOrNull(img.Name), MediaType: img.MediaType, SHA256: img.SHA256, Bytes: img.Bytes,
		Removed: []string{},
	}
	if i >= len(result.Images) {
		return shown
	}
	made := result.Images[i]
	shown.SourceWidth, shown.SourceHeight, shown.CapturedAt = made.SourceWidth, made.SourceHeight, stringOrNull(made.CapturedAt)
	shown.Removed = append(shown.Removed, made.Removed...)
	if made.Full.SHA256 != "" {
		url, mediaType := statusURL(id)+"/images/"+strconv.Itoa(i+1), outputType(made)
		thumb := url + "?size=thumb"
		shown.URL, shown.ThumbURL, shown.OutputType = &url, &thumb, &mediaType
		shown.Width, shown.Height, shown.Damaged = made.Width, made.Height, made.Damaged
	}
	return shown
}

// outputType is the media type of a full picture. Rows written when every picture was a JPEG have no
// media type.
func outputType(made tasks.ImageResult) string {
	if made.MediaType == "" {
		return mediaJPEG
	}
	return made.MediaType
}

// caseReport answers GET /case-reports/{id}, at once or after a wait.
func (a *API) caseReport(c *gin.Context) {
	a.answerRow(c, tasks.KindCaseReport(), func(row store.Row) []byte { return encodeJSON(caseReportAnswer(row)) })
}

// answerRow answers GET of one submission, at once or after a wait; encode makes the body.
func (a *API) answerRow(c *gin.Context, k *tasks.Kind, encode func(store.Row) []byte) {
	wait, err := a.waitOf(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	ref := tasks.Ref{Kind: k.Name, ID: c.Param("id")}
	if checkPathID("id", ref.ID) != nil {
		a.fail(c, noSubmission(ref)) // none can have this id
		return
	}
	a.answerRowOf(c, ref, wait, encode)
}

// answerRowOf is answerRow for a submission whose id is not simply that in the address.
func (a *API) answerRowOf(c *gin.Context, ref tasks.Ref, wait time.Duration, encode func(store.Row) []byte) {
	a.answerRowBy(c, ref, wait, func(row store.Row) ([]byte, func(), error) { return encode(row), func() {}, nil })
}

// answerRowBy is answerRowOf where the body takes more than the row, and so may fail. release is called when the body is
// sent, or not wanted; while it waits for another it has none.
func (a *API) answerRowBy(c *gin.Context, ref tasks.Ref, wait time.Duration, encode func(store.Row) (body []byte, release func(), err error)) {
	known := c.GetHeader("If-None-Match")
	var body []byte // of the row that was read last; nil if it was not enough
	var tag string
	release := func() {}
	defer func() { release() }()
	makeBody := func(row store.Row) (err error) {
		made, done, err := encode(row)
		if err != nil {
			return err
		}
		body, release, tag = made, done, bodyTag(made)
		return nil
	}
	var failed error
	enough := func(row store.Row) bool {
		if failed = makeBody(row); failed != nil {
			return true
		}
		if wait <= 0 || known != "" && !etagMatches(known, tag) || known == "" && row.Status.Final() {
			return true
		}
		release()
		body, release = nil, func() {}
		return false
	}
	if wait > 0 {
		leave, err := a.statuses.enter(a.cfg, a.clientOf(c))
		if err == nil {
			defer leave()
		} else {
			wait = 0 // it is a wish, and whoever has handed something in must always be able to ask how it stands
		}
	}
	row, err := a.waitForRow(c.Request.Context(), ref, wait, enough)
	unchanged := known != "" && tag != "" && etagMatches(known, tag)
	if err = cmp.Or(err, failed); err == nil && body == nil && !unchanged { // the wait is over
		err = makeBody(row)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	h := c.Writer.Header()
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, no-cache")
	if !row.Status.Final() {
		setRetryAfter(h, pollAfter(row))
	}
	if unchanged {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	if len(body) > pageBytes { // a case, which counts among those
		writeBytes(c, http.StatusOK, "application/json", body)
		return
	}
	a.answer(c, "application/json", body)
}

// pollAfter is the time after which asking again makes sense.
func pollAfter(row store.Row) time.Duration {
	if row.Status == tasks.Retrying {
		return min(max(time.Second, time.Until(row.NextAttempt)), time.Minute)
	}
	return time.Second
}

// waitForRow returns the row as soon as it is enough, or as it is when wait is over, the client has left or the
// server is about to end. It asks about every row that it reads; the last one is the one that it returns.
func (a *API) waitForRow(ctx context.Context, ref tasks.Ref, wait time.Duration, enough func(store.Row) bool) (store.Row, error) {
	if wait <= 0 {
		row, err := a.findKnown(ctx, ref)
		if err == nil {
			enough(row)
		}
		return row, err
	}
	changed, stop := a.rows.Watch(ref) // before the row is read, so that no change is missed
	defer stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		row, err := a.findKnown(ctx, ref)
		if err != nil || enough(row) {
			return row, err
		}
		select {
		case _, open := <-changed:
			if !open { // the rows are being closed
				return row, nil
			}
		case <-over.C:
			return row, nil
		case <-a.draining:
			return row, nil
		case <-ctx.Done():
			return row, nil
		}
	}
}

// findRow looks a submission up, and again once the rows show everything accepted so far, so that a client
// that holds a receipt never sees a 404.
func (a *API) findRow(ctx context.Context, ref tasks.Ref) (store.Row, error) {
	if checkPathID("id", ref.ID) != nil {
		return store.Row{}, noSubmission(ref) // none can have this id
	}
	return a.findKnown(ctx, ref)
}

// findKnown is findRow for an id that may be one.
func (a *API) findKnown(ctx context.Context, ref tasks.Ref) (store.Row, error) {
	row, err := dispatcher.Lookup(ctx, a.work, func(ctx context.Context) (store.Row, error) { return a.rows.Get(ctx, ref) }, topicsOf(ref.Kind)...)
	if errors.Is(err, store.ErrNotFound) {
		err = noSubmission(ref)
	}
	return row, err
}

// topicsOf are the topics whose records make or change rows of the kind; all, nil, if there is no such kind.
func topicsOf(kind string) []string {
	k, err := tasks.KindOf(kind)
	if err != nil {
		return nil
	}
	return append([]string{k.Topic}, k.ChangedBy...)
}

// noSubmission is the fault of an id that stands for nothing of its kind.
func noSubmission(ref tasks.Ref) error {
	switch ref.Kind {
	case tasks.KindCaseReport().Name:
		return refuse(codeNoReport)
	case tasks.KindAdverseEvent().Name:
		return &fault{code: codeNoSubmission, detail: textNoAdverseEvent}
	case tasks.KindQuestionnaireResponse().Name:
		return &fault{code: codeNoSubmission, detail: textNoResponse}
	}
	return refuse(codeNoSubmission)
}

func caseReportRef(id string) tasks.Ref { return tasks.Ref{Kind: tasks.KindCaseReport().Name, ID: id} }

// waitOf reads ?wait=20s, cut to the longest wait allowed. A bare number means seconds.
func (a *API) waitOf(c *gin.Context) (time.Duration, error) {
	query, err := queryOf(c, "wait")
	if err != nil {
		return 0, err
	}
	return a.waitFor(query["wait"])
}

func (a *API) waitFor(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if seconds, whole := counted(text); whole {
		wait, err = time.Duration(min(seconds, math.MaxUint16))*time.Second, nil
	}
	if err != nil || strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		return 0, invalid("wait", textBadWait)
	}
	return min(wait, a.cfg.MaxWait), nil
}
