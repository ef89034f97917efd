package handlers

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// An export is all responses that a filter lets through, streamed: a few are in memory at a time.
//
//	.ndjson                what GET of one shows, one a line
//	.csv                   a row a response
//	.csv?format=sdtm-qs    a row an answer and a score
//
// An error before the first bytes are sent is a problem as everywhere. After that the connection is cut (HTTP/1.1: the last
// chunk is missing; HTTP/2: the stream is reset), which every client reports as an error: an export that ends well is whole.
// HTTP/1.0 has no such end, and is refused.

const (
	// maxExports bounds the exports under way; one more waits for exportWait.
	maxExports = 8
	// maxExportsFrom bounds those of one client, which may read them slowly for hours.
	maxExportsFrom = 2
	exportWait     = 5 * time.Second
)

// exporter writes responses in one form.
type exporter interface {
	begin() error
	write(store.Row) error
	end() error // flushes
}

// exportRoutes serves the exports of questionnaire responses.
func (a *API) exportRoutes(e *gin.Engine) {
	path := tasks.KindQuestionnaireResponse().Path
	get(e, path+".csv", func(c *gin.Context) {
		a.export(c, "text/csv; charset=utf-8", ".csv", []string{"format"}, func(query map[string]string, f store.ResponseFilter, w io.Writer) (exporter, error) {
			out := csv.NewWriter(w)
			out.UseCRLF = true // RFC 4180
			switch query["format"] {
			case "":
				return newFlatCSV(out, a.definitionsOf(f)), nil
			case "sdtm-qs":
				return &sdtmQS{w: out, api: a}, nil
			}
			return nil, invalid("format", textBadChoice, "sdtm-qs")
		})
	})
	get(e, path+".ndjson", func(c *gin.Context) {
		a.export(c, mediaNDJSON, ".ndjson", nil, func(_ map[string]string, _ store.ResponseFilter, w io.Writer) (exporter, error) {
			return linesOfJSON{w}, nil
		})
	})
}

// export answers with everything that the query asks for.
func (a *API) export(c *gin.Context, mediaType, extension string, more []string, form func(map[string]string, store.ResponseFilter, io.Writer) (exporter, error)) {
	if !c.Request.ProtoAtLeast(1, 1) {
		a.fail(c, invalid("HTTP/1.0", textHTTP11))
		return
	}
	filter, query, err := responseFilterFrom(c, append([]string{"study", "site", "patientId", "visitId", "instrument", "from", "to"}, more...)...)
	filter.Limit = 0
	var out exporter
	if err == nil {
		out, err = form(query, filter, c.Writer)
	}
	ctx := c.Request.Context()
	leave := func() {}
	if err == nil {
		leave, err = a.enterExport(ctx, a.clientOf(c))
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	defer leave()
	if err := a.work.CaughtUp(ctx, topicsOf(tasks.KindQuestionnaireResponse().Name)...); err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Content-Type", mediaType)
	c.Header("Content-Disposition", `attachment; filename="questionnaire-responses`+extension+`"`)
	c.Header("Cache-Control", "no-store")
	if c.Request.Method == http.MethodHead {
		c.Status(http.StatusOK)
		c.Writer.WriteHeaderNow()
		return
	}
	begin := sync.OnceValue(out.begin) // once there is something: an error before that can be told as a problem
	err = a.rows.EachResponse(ctx, filter, func(row store.Row) error {
		if err := begin(); err != nil {
			return err
		}
		return out.write(row)
	})
	if err == nil {
		err = begin()
	}
	if err == nil {
		err = out.end()
	}
	switch {
	case err == nil:
	case !c.Writer.Written():
		a.fail(c, err)
	default:
		if ctx.Err() == nil {
			a.log.LogAttrs(ctx, slog.LevelError, "an export was cut short", slog.String("requestId", requestID(c)), slog.Any("err", err))
		}
		panic(http.ErrAbortHandler)
	}
}

// enterExport takes a place among the exports under way of the client and of all, until leave is called.
func (a *API) enterExport(ctx context.Context, from netip.Prefix) (leave func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, exportWait)
	defer cancel()
	leaveOwn, err := a.exportsFrom.enter(waiting, from)
	if err != nil {
		return nil, fmt.Errorf("%d exports of the client are under way: %w", maxExportsFrom, err)
	}
	select {
	case a.exports <- struct{}{}:
		return func() { <-a.exports; leaveOwn() }, nil
	case <-waiting.Done():
		leaveOwn()
		return nil, fmt.Errorf("%d exports are under way: %w", maxExports, waiting.Err())
	}
}

// linesOfJSON writes what GET of one shows.
type linesOfJSON struct{ w io.Writer }

func (linesOfJSON) begin() error { return nil }
func (linesOfJSON) end() error   { return nil }
func (l linesOfJSON) write(row store.Row) error {
	_, err := l.w.Write(encodeJSON(showResponse(row))) // which ends in a line feed
	return err
}

// definitionsOf are those of the study, or of all studies and of those without a file.
func (a *API) definitionsOf(f store.ResponseFilter) []*instrument.Definition {
	all := a.cfg.Studies.Get(f.Study).Instruments().All()
	if f.Study == "" {
		for _, s := range a.cfg.Studies.All() {
			all = append(all, s.Instruments().All()...)
		}
	}
	slices.SortStableFunc(all, func(a, b *instrument.Definition) int { return strings.Compare(a.ID, b.ID) })
	return slices.DeleteFunc(all, func(d *instrument.Definition) bool { return f.Instrument != "" && d.ID != f.Instrument })
}

// flatColumns are the columns that every response has.
var flatColumns = []string{
	"id", "revision", "study", "site", "patientId", "visitId", "instrument", "version", "ruleSha256", "language", "status",
	"authored", "started", "device", "received", "stored", "amendsReason", "flags", "unknownFlags", "warnings", "adverseEvents", "mismatches", "sha256",
}

// flatCSV writes a row a response. The columns of answers and scores are those of the definitions that are loaded; "other" has
// as JSON what has none of them.
type flatCSV struct {
	w       *csv.Writer
	columns []string
	places  map[string]int
	record  []string
}

func newFlatCSV(w *csv.Writer, definitions []*instrument.Definition) *flatCSV {
	f := &flatCSV{w: w, places: map[string]int{}}
	add := func(names ...string) {
		for _, name := range names {
			if _, there := f.places[name]; !there {
				f.places[name] = len(f.columns)
				f.columns = append(f.columns, name)
			}
		}
	}
	add(flatColumns...)
	for i := 0; i < len(definitions); { // all versions of one: answers first
		to := i
		for to < len(definitions) && definitions[to].ID == definitions[i].ID {
			for _, it := range definitions[to].Items {
				add(answerColumn(definitions[to].ID, it.ID))
			}
			to++
		}
		for ; i < to; i++ {
			for _, s := range definitions[i].Scores {
				name := scoreColumn(definitions[i].ID, s.ID)
				add(name, name+".exact", name+".band", name+".reason")
			}
		}
	}
	add("other")
	f.record = make([]string, len(f.columns))
	return f
}

func answerColumn(id, item string) string { return id + ".answer." + item }
func scoreColumn(id, score string) string { return id + ".score." + score }

func (f *flatCSV) begin() error { return f.w.Write(cells(slices.Clone(f.columns))) }

func (f *flatCSV) write(row store.Row) error {
	clear(f.record)
	a := showResponse(row)
	r := row.Content.(tasks.QuestionnaireResponse)
	reason := ""
	if r.Amends != nil {
		reason = r.Amends.Reason
	}
	copy(f.record, []string{
		r.ID, strconv.Itoa(r.Revision), r.Study, r.Site, r.PatientID, r.VisitID, r.Rule.ID, r.Rule.Version, r.Rule.SHA256, r.Language, string(row.Status),
		r.Authored, r.Started, r.DeviceTime, timeText(row.ReceivedAt), timeText(row.CreatedAt), reason,
		flagCodes(r.Flags, instrument.Raised), flagCodes(r.Flags, instrument.Unknown),
		joined(r.Warnings, func(w tasks.Warning) string { return w.Code }), strings.Join(a.AdverseEvents, " "),
		joined(a.Mismatches, func(m instrument.Mismatch) string { return m.Score }), row.SHA256,
	})
	other := map[string]any{}
	set := func(name, text string, value any) {
		if place, there := f.places[name]; there {
			f.record[place] = text
		} else if text != "" {
			other[name] = value
		}
	}
	for item, answer := range r.Answers {
		set(answerColumn(r.Rule.ID, item), answerText(answer), answer)
	}
	for _, s := range a.Scores {
		name := scoreColumn(r.Rule.ID, s.ID)
		set(name, string(s.Value), s.Value)
		set(name+".exact", s.Exact, s.Exact)
		set(name+".band", s.Band, s.Band)
		set(name+".reason", s.Reason, s.Reason)
	}
	if len(other) > 0 {
		text, err := json.Marshal(other)
		if err != nil {
			return err
		}
		f.record[f.places["other"]] = string(text)
	}
	return f.w.Write(cells(f.record))
}

func (f *flatCSV) end() error {
	f.w.Flush()
	return f.w.Error()
}

func joined[T any](all []T, text func(T) string) string {
	texts := make([]string, len(all))
	for i, one := range all {
		texts[i] = text(one)
	}
	return strings.Join(texts, " ")
}

func flagCodes(flags []instrument.FlagResult, state instrument.FlagState) string {
	var codes []string
	for _, f := range flags {
		if f.State == state {
			codes = append(codes, f.Code)
		}
	}
	return strings.Join(codes, " ")
}

func answerText(a instrument.Answer) string {
	if a.NotAsked {
		return instrument.NotAsked
	}
	return strconv.FormatInt(a.Value, 10)
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	text, _ := timestamp(t).MarshalText()
	return string(text)
}

// cells puts an apostrophe before each cell that a spreadsheet would take for a formula: one that begins with = + - @, also in
// full width, a tab or a carriage return, and is no number. See "CSV injection" of OWASP.
func cells(record []string) []string {
	for i, s := range record {
		if strings.IndexAny(s, "=+-@\t\r＝＋－＠") == 0 && !isNumber(s) {
			record[i] = "'" + s
		}
	}
	return record
}

// isNumber reports whether s is a number as scores and answers are written.
func isNumber(s string) bool {
	whole, fraction, dot := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	return whole != "" && inCharset(whole+fraction, "0123456789") && (!dot || fraction != "")
}

// sdtmColumns are variables of the domain QS of the SDTM Implementation Guide, as far as they are known here.
var sdtmColumns = []string{
	"STUDYID", "DOMAIN", "USUBJID", "QSSEQ", "QSGRPID", "QSSPID", "QSTESTCD", "QSTEST", "QSCAT",
	"QSORRES", "QSSTRESC", "QSSTRESN", "QSSTAT", "QSREASND", "QSDRVFL", "VISIT", "QSDTC",
}

// sdtmQS writes a row an answer and a score, in the shape of SDTM QS. The codes of tests are made here: those of CDISC's
// controlled terminology are not known.
type sdtmQS struct {
	w       *csv.Writer
	api     *API
	patient string
	numbers map[string]int // QSSEQ by study, of this patient
}

func (s *sdtmQS) begin() error { return s.w.Write(sdtmColumns) }

func (s *sdtmQS) end() error {
	s.w.Flush()
	return s.w.Error()
}

// test is one row's finding.
type test struct {
	id, code, name                          string // name within the instrument, "item 1"
	asAnswered, value, status, why, derived string
}

func (s *sdtmQS) write(row store.Row) error {
	r := row.Content.(tasks.QuestionnaireResponse)
	if r.PatientID != s.patient || s.numbers == nil {
		s.patient, s.numbers = r.PatientID, map[string]int{}
	}
	subject := r.PatientID
	if r.Study != "" {
		subject = r.Study + "-" + r.PatientID
	}
	result, _ := row.Result.(tasks.QuestionnaireResult)
	for _, t := range append(s.answers(r), scoresTests(r, result)...) {
		s.numbers[r.Study]++
		number := t.value
		if !isNumber(number) {
			number = ""
		}
		err := s.w.Write(cells([]string{
			r.Study, "QS", subject, strconv.Itoa(s.numbers[r.Study]), r.ID, t.id, t.code, r.Rule.ID + " " + t.name, r.Rule.ID,
			t.asAnswered, t.value, number, t.status, t.why, t.derived, r.VisitID, r.Authored,
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

const notDone = "NOT DONE"

// answers has a test for each item of the definition, if it is the one by which the answers were checked; else for each answer.
func (s *sdtmQS) answers(r tasks.QuestionnaireResponse) (all []test) {
	d, ok := s.api.cfg.Studies.Get(r.Study).Instruments().Get(r.Rule.ID, r.Rule.Version)
	if !ok || d.SHA256 != r.Rule.SHA256 {
		for i, item := range slices.Sorted(maps.Keys(r.Answers)) {
			all = append(all, answerTest(item, testCode(r.Rule.ID, "_U", i+1), r.Answers[item], ""))
		}
		return all
	}
	for i, it := range d.Items {
		answer, given := r.Answers[it.ID]
		code := testCode(d.ID, "_", i+1)
		if !given {
			all = append(all, test{id: it.ID, code: code, name: "item " + it.ID, status: notDone})
			continue
		}
		wording := ""
		for _, o := range it.Options {
			if o.Value == answer.Value {
				wording = o.Text[r.Language]
			}
		}
		all = append(all, answerTest(it.ID, code, answer, wording))
	}
	return all
}

func answerTest(item, code string, a instrument.Answer, wording string) test {
	t := test{id: item, code: code, name: "item " + item}
	if a.NotAsked {
		t.status, t.why = notDone, instrument.NotAsked
		return t
	}
	t.value = answerText(a)
	if t.asAnswered = wording; wording == "" {
		t.asAnswered = t.value
	}
	return t
}

func scoresTests(r tasks.QuestionnaireResponse, made tasks.QuestionnaireResult) (all []test) {
	for i, s := range made.Scores {
		t := test{id: s.ID, code: testCode(r.Rule.ID, "_S", i+1), name: "score " + s.ID, asAnswered: string(s.Value), value: string(s.Value), derived: "Y"}
		if s.Value == "" {
			t.status, t.why = notDone, s.Reason
		}
		all = append(all, t)
	}
	return all
}

// testCode makes a code of up to 8 characters that is one within the instrument: as many letters and digits of its id as
// there is room for, and the number of the item on the form, "PHQ9_01".
func testCode(id, mark string, n int) string {
	number := strconv.Itoa(n)
	if mark == "_" && n < 10 {
		number = "0" + number
	}
	letters := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, strings.ToUpper(id))
	if letters == "" || letters[0] <= '9' {
		letters = "Q" + letters
	}
	return letters[:min(len(letters), 8-len(mark)-len(number))] + mark + number
}
