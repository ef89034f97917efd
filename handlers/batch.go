package handlers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/jsonfile"
	"casepress/tasks"
)

// A batch is the responses of a phone that was offline: one document a line (NDJSON), each with the bytes that it would
// have alone. So the receipts are those that each alone would get, and a line that is broken breaks no other.
//
//	body ─> lines ─> read and check each ─> AcceptAll: all ids at once, one id in the order of its lines ─> 207

// mediaNDJSON is the media type of lines of JSON. The others are names that clients give the same.
const mediaNDJSON = "application/x-ndjson"

var mediaLines = []string{mediaNDJSON, "application/ndjson", "application/jsonl"}

// MaxBatchMemory bounds the bytes of all batches that are being received or worked on, MaxBatchMemoryFrom those from one client,
// unless [Config.MaxUploadsPerAddress] is off. A batch that is larger by itself would be refused for ever.
const (
	MaxBatchMemory     = 64 << 20
	MaxBatchMemoryFrom = MaxBatchMemory / 4
)

// batchAnswer tells what became of each entry, in the order of the lines.
type batchAnswer struct {
	Items []batchItem `json:"items"`
}

// batchItem is the answer to one entry: what it would have got alone.
type batchItem struct {
	// Index counts the lines of the body from 0.
	Index  int `json:"index"`
	Status int `json:"status"`
	// Replayed says that the entry was stored before.
	Replayed bool              `json:"replayed,omitempty"`
	Accepted *acceptedResponse `json:"accepted,omitempty"`
	Problem  *problem          `json:"problem,omitempty"`
}

// batchEntry is one line and what became of it.
type batchEntry struct {
	response tasks.QuestionnaireResponse
	accepted *acceptedResponse
	replayed bool
	err      error
}

// takeBatch answers 207: each entry has a status of its own. What goes for the body as a whole, such as its size, is
// answered as a problem, and then nothing of it is stored.
func (a *API) takeBatch(c *gin.Context) {
	lines, release, err := a.readBatch(c.Request, a.clientOf(c))
	defer release()
	if err != nil {
		a.fail(c, err)
		return
	}
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	entries := a.readEntries(c, lines)
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	a.acceptBatch(ctx, c, entries, l)

	answer := batchAnswer{Items: make([]batchItem, len(entries))}
	var wait time.Duration
	for i, e := range entries {
		item := batchItem{Index: i, Status: http.StatusCreated, Replayed: e.replayed, Accepted: e.accepted}
		if e.err != nil {
			f := asFault(e.err)
			p := problemOf(c, f, l)
			item = batchItem{Index: i, Status: p.Status, Problem: &p}
			if p.Status >= http.StatusInternalServerError {
				recordProblem(c, f.code, f.cause)
			}
			wait = max(wait, codeTable[f.code].retryAfter)
		}
		answer.Items[i] = item
	}
	if wait > 0 {
		setRetryAfter(c.Writer.Header(), wait)
	}
	setLanguage(c.Writer.Header(), l)
	body := encodeJSON(answer)
	defer a.batches.keep(a.clientOf(c), len(body))() // it is stored, so a client that does not take the answer has fewer batches under way
	writeBytes(c, http.StatusMultiStatus, "application/json", body)
}

// linesInTurn is how many lines are read under one turn. A batch that queued for each of its lines would wait for all others that
// queue as often as it has lines.
const linesInTurn = 16

// readEntries reads the lines. Those whose turn does not come within [Config.StoreTimeout] are not stored; that time is not taken from
// the time in which the others are.
func (a *API) readEntries(c *gin.Context, lines [][]byte) (entries []*batchEntry) {
	ctx, cancel := a.detached(c.Request) // the body is in
	defer cancel()
	arrival := arrivalOf(c.Request)
	for some := range slices.Chunk(lines, linesInTurn) {
		read := make([]*batchEntry, len(some))
		_, err := parsedIn(ctx, a.parsing, func() (none struct{}, _ []jsonfile.Problem) {
			for i, line := range some {
				read[i] = &batchEntry{}
				a.guard(c, read[i], func() { read[i].read(a, line, arrival) })
			}
			return none, nil
		})
		for i := range read {
			if err != nil { // the turn has not come
				read[i] = &batchEntry{err: err}
			}
		}
		entries = append(entries, read...)
	}
	return entries
}

// read reads the line as a request would be read that has it alone.
func (e *batchEntry) read(a *API, line []byte, arrival tasks.Arrival) {
	if len(line) > tasks.MaxResponseBytes {
		e.err = &http.MaxBytesError{Limit: tasks.MaxResponseBytes}
		return
	}
	read, problems := tasks.ReadQuestionnaireResponse(line, "", a.cfg.Studies, arrival)
	e.response, e.err = read, faultOf(problems)
}

// acceptBatch hands in the entries that could be read. Those of different responses go together; a response and its
// amendments go one after the other, as they stand in the body.
func (a *API) acceptBatch(ctx context.Context, c *gin.Context, entries []*batchEntry, l lang) {
	for len(entries) > 0 {
		seen := map[string]bool{}
		var now, later []*batchEntry
		for _, e := range entries {
			switch {
			case e.err != nil:
			case seen[e.response.ID]:
				later = append(later, e)
			default:
				seen[e.response.ID] = true
				now = append(now, e)
			}
		}
		a.acceptTogether(ctx, c, now, l)
		entries = later
	}
}

// acceptTogether hands in entries of different responses.
func (a *API) acceptTogether(ctx context.Context, c *gin.Context, entries []*batchEntry, l lang) {
	var all []tasks.Submission
	var of []*batchEntry
	for _, e := range entries {
		a.guard(c, e, func() {
			if e.err = ctx.Err(); e.err == nil && e.response.Amends != nil {
				e.err = a.checkAmended(ctx, e.response)
			}
			if e.err == nil {
				all, of = append(all, tasks.NewSubmission(tasks.KindQuestionnaireResponse(), e.response)), append(of, e)
			}
		})
	}
	for i, got := range a.work.AcceptAll(ctx, all) {
		e := of[i]
		a.guard(c, e, func() {
			if e.err = a.responseFault(ctx, e.response, got.Err); e.err != nil {
				return
			}
			accepted := showAccepted(got.Receipt, l)
			e.accepted, e.replayed = &accepted, got.Receipt.Replayed
		})
	}
}

// guard runs one step of one entry. A panic is the entry's own: the others must not pay for it.
func (a *API) guard(c *gin.Context, e *batchEntry, step func()) {
	defer func() {
		if value := recover(); value != nil {
			a.logPanic(c, value, debug.Stack())
			e.accepted, e.err = nil, panicFault(value)
		}
	}()
	step()
}

// readBatch reads the body and returns its lines. release gives its memory back, and must be called.
func (a *API) readBatch(r *http.Request, from netip.Prefix) (lines [][]byte, release func(), err error) {
	held := &heldBytes{all: &a.batches, from: from, most: MaxBatchMemoryFrom}
	if a.cfg.MaxUploadsPerAddress < 0 {
		held.most = MaxBatchMemory
	}
	release = held.release
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, held), r.Body}
	}
	body, err := readBody(r, a.cfg.MaxBatchBytes, mediaLines...)
	if err != nil {
		return nil, release, err
	}
	body = bytes.TrimSuffix(body, []byte("\n"))
	if n := bytes.Count(body, []byte("\n")) + 1; n > a.cfg.MaxBatchEntries || len(body) == 0 {
		if len(body) == 0 {
			n = 0
		}
		return nil, release, invalid("body", textBatchEntries, n, a.cfg.MaxBatchEntries)
	}
	lines = bytes.Split(body, []byte("\n"))
	for i := range lines {
		lines[i] = bytes.TrimSuffix(lines[i], []byte("\r"))
	}
	return lines, release, nil
}

// heldBytes counts what one batch has brought among what all have.
type heldBytes struct {
	all  *clientBytes
	from netip.Prefix
	most int64 // of the client
	own  int64
}

// Write counts what was read, before it is kept.
func (h *heldBytes) Write(p []byte) (int, error) {
	h.own += int64(len(p))
	all, own := h.all.add(h.from, int64(len(p)))
	if all > MaxBatchMemory+1 || own > h.most+1 { // a byte more than a batch may have is read, to see that it is too large
		return 0, &fault{code: codeOverloaded, cause: fmt.Errorf("%d bytes of batches, %d of them from this client", all, own)}
	}
	return len(p), nil
}

func (h *heldBytes) release() { h.all.add(h.from, -h.own) }
