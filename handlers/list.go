package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// listAnswer is one page of submissions, the newest first.
type listAnswer struct {
	Items []json.RawMessage `json:"items"`
	// Next is the cursor of the page that follows, null on the last one.
	Next *string `json:"next"`
	// UpToDate is false if submissions accepted moments ago may be missing.
	UpToDate bool `json:"upToDate"`
}

// caseReports answers GET /case-reports.
func (a *API) caseReports(c *gin.Context) {
	a.answerList(c, tasks.KindCaseReport(), func(row store.Row, withNotes bool) any {
		r := caseReportAnswer(row)
		if !withNotes {
			r.Notes = nil // long, and a list is for finding
		}
		return r
	})
}

// answerList answers GET of a list; show makes one item.
func (a *API) answerList(c *gin.Context, k *tasks.Kind, show func(row store.Row, withNotes bool) any) {
	filter, withNotes, err := filterOf(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	list := func(ctx context.Context) ([]store.Row, string, error) { return a.rows.List(ctx, k, filter) }
	a.answerListBy(c, k, list, func(row store.Row) any { return show(row, withNotes) })
}

// answerListBy answers with a page of submissions of the kind; list reads it and show makes one item.
func (a *API) answerListBy(c *gin.Context, k *tasks.Kind, list func(context.Context) ([]store.Row, string, error), show func(store.Row) any) {
	ctx := c.Request.Context()
	upToDate, err := a.upToDate(ctx, k)
	if err != nil {
		a.fail(c, err)
		return
	}
	page, next, err := a.page(ctx, upToDate, list, show)
	if err != nil {
		a.fail(c, err)
		return
	}
	if next != "" {
		c.Header("Link", "<"+nextURL(c.Request.URL, next)+`>; rel="next"`)
	}
	c.Header("Cache-Control", "private, no-cache")
	a.answer(c, "application/json", page)
}

// pageBytes is how large a page may be: beyond it has no further item. A client that reads slowly keeps it in memory.
const pageBytes = 1 << 20

// page makes a page, when its turn has come. A page of questionnaire responses is made of up to 40 MB, so no more are made
// at once than there are processors.
func (a *API) page(ctx context.Context, upToDate bool, list func(context.Context) ([]store.Row, string, error), show func(store.Row) any) (page []byte, next string, err error) {
	select {
	case a.listing <- struct{}{}:
		defer func() { <-a.listing }()
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	rows, next, err := list(ctx)
	if err != nil {
		return nil, "", err
	}
	items := []json.RawMessage{}
	for i, size := 0, 0; i < len(rows); i++ {
		item := encodeJSON(show(rows[i]))
		if size += len(item); size > pageBytes && i > 0 {
			next = store.CursorAfter(rows[i-1])
			break
		}
		items = append(items, item)
	}
	return encodeJSON(listAnswer{items, stringOrNull(next), upToDate}), next, nil
}

// upToDate waits until the rows of the kind show everything accepted so far. If that takes too long, it is false: a
// list then shows what there is.
func (a *API) upToDate(ctx context.Context, k *tasks.Kind) (bool, error) {
	err := a.work.CaughtUp(ctx, topicsOf(k.Name)...)
	if errors.Is(err, dispatcher.ErrBehind) {
		return false, nil
	}
	return err == nil, err
}

// filterOf reads the query: which reports to list, and whether with their notes. It returns a fault that
// names all that is wrong.
func filterOf(c *gin.Context) (f store.Filter, withNotes bool, err error) {
	query, err := queryOf(c, "study", "site", "patientId", "visitId", "status", "limit", "cursor", "include")
	if err != nil {
		return store.Filter{}, false, err
	}
	f, faults := filterFrom(query)
	include, given := query["include"]
	if given && include != "notes" {
		faults = append(faults, fieldFault{field: "include", detail: textBadChoice, args: []any{"notes"}})
	}
	if len(faults) > 0 {
		return store.Filter{}, false, &fault{code: codeInvalidInput, fields: faults}
	}
	return f, given, nil
}

// filterFrom reads what all lists can be filtered by.
func filterFrom(query map[string]string) (f store.Filter, faults []fieldFault) {
	f = store.Filter{
		Study: query["study"], Site: query["site"], PatientID: query["patientId"], VisitID: query["visitId"],
		Status: query["status"], Cursor: query["cursor"], Limit: store.DefaultLimit,
	}
	for _, name := range []string{"study", "site", "patientId", "visitId"} {
		if id, given := query[name]; given {
			if fault := checkID(name, id); fault != nil {
				faults = append(faults, *fault)
			}
		}
	}
	if f.Status != "" && !isStatus(f.Status) {
		faults = append(faults, fieldFault{field: "status", detail: textBadChoice, args: []any{statusNames()}})
	}
	if limit := query["limit"]; limit != "" {
		n, ok := counted(limit)
		if !ok || n > store.MaxLimit {
			faults = append(faults, fieldFault{field: "limit", detail: textBadLimit, args: []any{store.MaxLimit}})
		}
		f.Limit = n
	}
	if !inCharset(f.Cursor, cursorCharset) { // base64 would be read over line breaks
		faults = append(faults, fieldFault{field: "cursor", detail: textBadCursor})
	}
	return f, faults
}

// cursorCharset has the characters of base64url, in which cursors come.
const cursorCharset = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func isStatus(s string) bool {
	_, ok := statusTexts[tasks.Status(s)]
	return ok
}

func statusNames() string {
	names := make([]string, len(tasks.Statuses()))
	for i, s := range tasks.Statuses() {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// nextURL is the same question for the page after.
func nextURL(u *url.URL, cursor string) string {
	query := u.Query()
	query.Set("cursor", cursor)
	return u.Path + "?" + query.Encode()
}
