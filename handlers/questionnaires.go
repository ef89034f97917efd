package handlers

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/jsonfile"
	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// acceptedResponse is the answer to a questionnaire response.
type acceptedResponse struct {
	ID            string                  `json:"id"`
	Revision      int                     `json:"revision"`
	Status        tasks.Status            `json:"status"`
	Message       string                  `json:"message"`
	StatusURL     string                  `json:"statusUrl"`
	Receipt       receipt                 `json:"receipt"`
	Flags         []instrument.FlagResult `json:"flags"`
	Warnings      []tasks.Warning         `json:"warnings"`
	AdverseEvents []string                `json:"adverseEvents"`
	// CrisisText is there only if an urgent flag is raised and the study has one.
	CrisisText     string `json:"crisisText,omitempty"`
	CrisisLanguage string `json:"crisisTextLanguage,omitempty"`
}

// encodeUsual is encodeJSON of the answer that nearly everybody gets in a burst: nothing was raised, nothing is odd, and no text has a
// character that JSON would write in another way. It takes a fifth of the time.
func (a *acceptedResponse) encodeUsual() (encoded []byte, usual bool) {
	if len(a.Flags)+len(a.Warnings)+len(a.AdverseEvents) > 0 || a.CrisisText != "" || a.CrisisLanguage != "" || a.Receipt.ReceivedAt == nil {
		return nil, false
	}
	for _, text := range []string{a.ID, string(a.Status), a.Message, a.StatusURL, a.Receipt.SHA256} {
		if !standsInJSON(text) {
			return nil, false
		}
	}
	b := make([]byte, 0, 512)
	b = append(append(b, `{"id":"`...), a.ID...)
	b = strconv.AppendInt(append(b, `","revision":`...), int64(a.Revision), 10)
	b = append(append(b, `,"status":"`...), a.Status...)
	b = append(append(b, `","message":"`...), a.Message...)
	b = append(append(b, `","statusUrl":"`...), a.StatusURL...)
	b = append(append(b, `","receipt":{"sha256":"`...), a.Receipt.SHA256...)
	b = strconv.AppendUint(append(b, `","sequence":`...), a.Receipt.Sequence, 10)
	b = a.Receipt.ReceivedAt.append(append(b, `,"receivedAt":"`...))
	return append(b, `"},"flags":[],"warnings":[],"adverseEvents":[]}`+"\n"...), true
}

// standsInJSON reports whether encodeJSON writes a text as it is. It is strict: other texts may, too.
func standsInJSON(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c == 0xe2 { // with which U+2028 and U+2029 begin
			return false
		}
	}
	return utf8.ValidString(text)
}

// responseAnswer is one revision of a response as answers show it. Pointers are null when unset.
type responseAnswer struct {
	ID             string                  `json:"id"`
	Revision       int                     `json:"revision"`
	Amends         *tasks.Amends           `json:"amends"`
	Study          *string                 `json:"study"`
	Site           *string                 `json:"site"`
	PatientID      string                  `json:"patientId"`
	VisitID        *string                 `json:"visitId"`
	Instrument     string                  `json:"instrument"`
	Version        string                  `json:"version"`
	Language       string                  `json:"language"`
	Status         tasks.Status            `json:"status"`
	Attempts       int                     `json:"attempts"`
	Answers        instrument.Answers      `json:"answers"`
	Scores         []instrument.Result     `json:"scores"`
	Mismatches     []instrument.Mismatch   `json:"mismatches"`
	Rescores       []rescoreAnswer         `json:"rescores"`
	Flags          []instrument.FlagResult `json:"flags"`
	Warnings       []tasks.Warning         `json:"warnings"`
	AdverseEvents  []string                `json:"adverseEvents"`
	CrisisText     *string                 `json:"crisisText"`
	CrisisLanguage *string                 `json:"crisisTextLanguage"`
	Times          responseTimes           `json:"times"`
	StudyFile      *tasks.StudyFile        `json:"studyFile"`
	Original       originalDocument        `json:"original"`
	Receipt        receipt                 `json:"receipt"`
	StartedAt      *timestamp              `json:"startedAt"`
	FinishedAt     *timestamp              `json:"finishedAt"`
	NextAttemptAt  *timestamp              `json:"nextAttemptAt"`
	Error          *string                 `json:"error"`
}

// responseTimes are the times that are kept. Those of the client are as it sent them.
type responseTimes struct {
	Device   *string    `json:"device"`
	Started  *string    `json:"started"`
	Authored string     `json:"authored"`
	Received *timestamp `json:"received"`
	Stored   *timestamp `json:"stored"`
}

// originalDocument names the document as it came.
type originalDocument struct {
	URL       string `json:"url"`
	MediaType string `json:"mediaType"`
	Bytes     int    `json:"bytes"`
	SHA256    string `json:"sha256"`
}

func showResponse(row store.Row) responseAnswer {
	r := row.Content.(tasks.QuestionnaireResponse)
	result, _ := row.Result.(tasks.QuestionnaireResult)
	return responseAnswer{
		ID: r.ID, Revision: r.Revision, Amends: r.Amends,
		Study: stringOrNull(r.Study), Site: stringOrNull(r.Site), PatientID: r.PatientID, VisitID: stringOrNull(r.VisitID),
		Instrument: r.Rule.ID, Version: r.Rule.Version, Language: r.Language,
		Status: row.Status, Attempts: row.Attempts,
		Answers: r.Answers, Scores: list(result.Scores), Mismatches: list(result.Mismatches), Flags: list(r.Flags), Warnings: list(r.Warnings),
		Rescores:      showRescores(result.Rescores),
		AdverseEvents: list(r.AdverseEventIDsOfAllRevisions()), CrisisText: stringOrNull(r.CrisisText), CrisisLanguage: stringOrNull(r.CrisisLanguage),
		Times: responseTimes{
			Device: stringOrNull(r.DeviceTime), Started: stringOrNull(r.Started), Authored: r.Authored,
			Received: timeOrNull(row.ReceivedAt), Stored: timeOrNull(row.CreatedAt),
		},
		StudyFile: r.StudyFile,
		Original:  originalDocument{responseURL(r.ID) + "/original?revision=" + strconv.Itoa(r.Revision), r.MediaType, len(r.Original), row.SHA256},
		Receipt:   receipt{row.SHA256, row.Sequence, timeOrNull(row.ReceivedAt)},
		StartedAt: timeOrNull(row.StartedAt), FinishedAt: timeOrNull(row.FinishedAt), NextAttemptAt: timeOrNull(row.NextAttempt), Error: stringOrNull(row.Error),
	}
}

// list is a list in JSON even if there is nothing in it.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func responseURL(id string) string { return tasks.KindQuestionnaireResponse().Path + "/" + id }

// responseRoutes serves questionnaire responses.
func (a *API) responseRoutes(e *gin.Engine) {
	k := tasks.KindQuestionnaireResponse()
	admit := a.admit(k.Lane, tasks.MaxResponseBytes)
	e.POST(k.Path, admit, func(c *gin.Context) { a.takeResponse(c, "") })
	e.PUT(k.Path+"/:id", admit, func(c *gin.Context) { a.takeResponse(c, c.Param("id")) })
	get(e, k.Path, a.responses)
	get(e, k.Path+"/:id", a.response)
	get(e, k.Path+"/:id/original", a.responseOriginal)
	e.POST(k.Path+"/:id/retry", a.retryResponse)
	e.POST(k.Path+"/batch", a.admit(k.Lane, a.cfg.MaxBatchBytes), a.takeBatch)
}

// takeResponse answers 201 when the response is on stable storage. id is the one in the address, "" if there is none.
func (a *API) takeResponse(c *gin.Context, id string) {
	r, err := a.readResponse(c.Request, id)
	if err != nil {
		a.fail(c, err)
		return
	}
	got, err := a.acceptResponse(c.Request, r)
	if err != nil {
		a.fail(c, err)
		return
	}
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	var statusURL string
	var body []byte
	a.answering.do(c.Request.Context(), func() {
		answer, usual := showAccepted(got, l), false
		statusURL = answer.StatusURL
		if body, usual = answer.encodeUsual(); !usual {
			body = encodeJSON(answer)
		}
	})
	if got.Replayed {
		c.Header("Idempotency-Replayed", "true")
	}
	h := c.Writer.Header()
	h["Location"] = []string{statusURL}
	setLanguage(h, l)
	writeBytes(c, http.StatusCreated, "application/json", body)
}

func showAccepted(got dispatcher.Receipt, l lang) acceptedResponse {
	stored := got.Content.(tasks.QuestionnaireResponse)
	answer := acceptedResponse{
		ID: stored.ID, Revision: stored.Revision, Status: got.Status, Message: textResponseAccepted.in(l), StatusURL: revisionURL(stored),
		Receipt: receipt{got.SHA256, got.Sequence, timeOrNull(got.ReceivedAt)},
		Flags:   list(stored.Flags), Warnings: list(stored.Warnings), AdverseEvents: list(stored.AdverseEventIDs()),
		CrisisText: stored.CrisisText, CrisisLanguage: stored.CrisisLanguage,
	}
	if got.Replayed {
		answer.Message = textDocumentReplayed.in(l)
	}
	return answer
}

// revisionURL is the address of this revision: that of the response alone leads to the latest.
func revisionURL(r tasks.QuestionnaireResponse) string {
	if r.Revision == 1 {
		return responseURL(r.ID)
	}
	return responseURL(r.ID) + "?revision=" + strconv.Itoa(r.Revision)
}

// readResponse reads and checks the body.
func (a *API) readResponse(r *http.Request, id string) (tasks.QuestionnaireResponse, error) {
	none := tasks.QuestionnaireResponse{}
	if id != "" {
		if wrong := checkPathID("id", id); wrong != nil {
			return none, &fault{code: codeInvalidInput, fields: []fieldFault{*wrong}}
		}
	}
	document, err := readJSON(r, tasks.MaxResponseBytes)
	if err != nil {
		return none, err
	}
	arrival := arrivalOf(r) // before it waits for its turn
	return parsed(a, r, a.parsing, func() (tasks.QuestionnaireResponse, []jsonfile.Problem) {
		return tasks.ReadQuestionnaireResponse(document, id, a.cfg.Studies, arrival)
	})
}

// readJSON is readBody of application/json. It refuses a query.
func readJSON(r *http.Request, limit int64) ([]byte, error) {
	if r.URL.RawQuery != "" {
		return nil, invalid("query", textQueryString)
	}
	return readBody(r, limit, "application/json")
}

// readBody returns a body of one of the media types, in UTF-8 as far as is declared, of at most limit bytes, whose digest is the one that the client
// told, if it told one.
func readBody(r *http.Request, limit int64, mediaTypes ...string) ([]byte, error) {
	if err := checkWholeBody(r.Header); err != nil {
		return nil, err
	}
	charset := ""
	if mediaType := r.Header.Get("Content-Type"); mediaType != mediaTypes[0] {
		parsed, params, err := mime.ParseMediaType(mediaType)
		if err != nil || !slices.Contains(mediaTypes, parsed) {
			return nil, refuse(codeUnsupportedType, shownType(mediaType), mediaTypes[0])
		}
		charset = params["charset"]
	}
	body, err := digestBody(r)
	if err != nil {
		return nil, err
	}
	document, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(document)) > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	if err := checkCharset("Content-Type", charset, document); err != nil {
		return nil, err
	}
	return document, body.verify()
}

// faultOf turns the problems of a document into a fault; nil if there are none.
func faultOf(problems []jsonfile.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return invalidJSON(problems)
}

// arrivalOf says when the request came, by the header Date what the clock of the device was, and by Accept-Language what
// whoever reads the answer would rather read.
func arrivalOf(r *http.Request) tasks.Arrival {
	a := tasks.Arrival{At: time.Now().UTC(), Language: preferredLanguage(r.Header.Get("Accept-Language"))}
	if date := r.Header.Get("Date"); date != "" {
		if clock, err := http.ParseTime(date); err == nil { // a date that cannot be read says nothing
			a.Clock = clock
		}
	}
	return a
}

// acceptResponse hands a response in, or its amendment.
func (a *API) acceptResponse(r *http.Request, response tasks.QuestionnaireResponse) (dispatcher.Receipt, error) {
	ctx, cancel := a.detached(r)
	defer cancel()
	if response.Amends != nil {
		if err := a.checkAmended(ctx, response); err != nil {
			return dispatcher.Receipt{}, err
		}
	}
	got, err := a.work.Accept(ctx, tasks.NewSubmission(tasks.KindQuestionnaireResponse(), response))
	if err != nil {
		err = a.responseFault(ctx, response, err)
	}
	return got, err
}

// responseFault is the error of a failed Accept as the client is told it.
func (a *API) responseFault(ctx context.Context, r tasks.QuestionnaireResponse, err error) error {
	if e, conflict := errors.AsType[*dispatcher.ConflictError](err); conflict {
		err = a.responseConflict(ctx, r, e)
	}
	return documentFault(err, r.ID)
}

// checkAmended returns a fault unless the revision that is amended is there and is of the same patient and instrument.
// Whether it is the latest, Accept decides: an amendment of an earlier one has the id of a revision that is there.
func (a *API) checkAmended(ctx context.Context, r tasks.QuestionnaireResponse) error {
	row, err := a.findRevision(ctx, r.ID, r.Amends.Revision)
	if errors.Is(err, store.ErrNotFound) {
		latest, err := a.rows.LatestRevision(ctx, r.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return notLatest(r, latest)
	}
	if err != nil {
		return err
	}
	amended := row.Content.(tasks.QuestionnaireResponse)
	f := &fault{code: codeInvalidInput}
	for _, one := range []struct{ field, is, was string }{
		{"/study", r.Study, amended.Study}, {"/patientId", r.PatientID, amended.PatientID}, {"/instrument", r.Rule.ID, amended.Rule.ID},
	} {
		if one.is != one.was {
			f.fields = append(f.fields, fieldFault{field: one.field, detail: textAmendsOther, args: []any{one.was}})
		}
	}
	if len(f.fields) > 0 {
		return f
	}
	return nil
}

// responseConflict says why other content stands under the id of the revision.
func (a *API) responseConflict(ctx context.Context, r tasks.QuestionnaireResponse, e *dispatcher.ConflictError) error {
	f := &fault{code: codeIDConflict, detail: textResponseConflict, args: []any{r.ID}}
	if r.Amends != nil {
		if err := a.work.CaughtUp(ctx, topicsOf(tasks.KindQuestionnaireResponse().Name)...); err != nil {
			return err
		}
		latest, err := a.rows.LatestRevision(ctx, r.ID)
		if err != nil {
			return err
		}
		f = notLatest(r, latest)
	}
	f.extras.StoredSHA256, f.extras.OfferedSHA256 = e.Stored, e.Offered
	return f
}

// notLatest refuses an amendment of a revision that is not the latest; latest is 0 if there is no response.
func notLatest(r tasks.QuestionnaireResponse, latest int) *fault {
	f := &fault{code: codeRevisionConflict, args: []any{r.ID, latest, r.Amends.Revision}, extras: extras{LatestRevision: &latest}}
	if latest == 0 {
		f.code, f.args = codeNothingToAmend, []any{r.ID}
	}
	return f
}

// findRevision looks a revision up as findRow does. Its error may be store.ErrNotFound.
func (a *API) findRevision(ctx context.Context, id string, revision int) (store.Row, error) {
	ref := revisionRef(id, revision)
	return dispatcher.Lookup(ctx, a.work, func(ctx context.Context) (store.Row, error) { return a.rows.Get(ctx, ref) }, topicsOf(ref.Kind)...)
}

// responseRef names a response whatever its revision. No row has it.
func responseRef(id string) tasks.Ref {
	return tasks.Ref{Kind: tasks.KindQuestionnaireResponse().Name, ID: id}
}

func revisionRef(id string, revision int) tasks.Ref {
	return tasks.Ref{Kind: tasks.KindQuestionnaireResponse().Name, ID: tasks.RevisionID(id, revision)}
}

// refOf is the revision that the query asks for, by default the latest of everything accepted so far.
func (a *API) refOf(ctx context.Context, id, revision string) (tasks.Ref, error) {
	if checkPathID("id", id) != nil {
		return tasks.Ref{}, noSubmission(responseRef(id))
	}
	if revision != "" {
		n, ok := counted(revision)
		if !ok {
			return tasks.Ref{}, invalid("revision", textBadRevision)
		}
		return revisionRef(id, n), nil
	}
	if err := a.work.CaughtUp(ctx, topicsOf(tasks.KindQuestionnaireResponse().Name)...); err != nil {
		return tasks.Ref{}, err
	}
	latest, err := a.rows.LatestRevision(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = noSubmission(responseRef(id))
	}
	return revisionRef(id, latest), err
}

// askedRef is refOf for a request that asks for a revision and nothing else. It answers one that it refuses.
func (a *API) askedRef(c *gin.Context) (ref tasks.Ref, ok bool) {
	query, err := queryOf(c, "revision")
	if err == nil {
		ref, err = a.refOf(c.Request.Context(), c.Param("id"), query["revision"])
	}
	if err != nil {
		a.fail(c, err)
	}
	return ref, err == nil
}

// response answers GET of one revision, at once or after a wait.
func (a *API) response(c *gin.Context) {
	query, err := queryOf(c, "revision", "wait")
	if err != nil {
		a.fail(c, err)
		return
	}
	wait, err := a.waitFor(query["wait"])
	if err != nil {
		a.fail(c, err)
		return
	}
	ref, err := a.refOf(c.Request.Context(), c.Param("id"), query["revision"])
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answerRowOf(c, ref, wait, func(row store.Row) []byte { return encodeJSON(showResponse(row)) })
}

// responseOriginal answers GET of the document as it came.
func (a *API) responseOriginal(c *gin.Context) {
	ref, ok := a.askedRef(c)
	if !ok {
		return
	}
	row, err := a.findKnown(c.Request.Context(), ref)
	if err != nil {
		a.fail(c, err)
		return
	}
	r := row.Content.(tasks.QuestionnaireResponse)
	c.Header("Cache-Control", "private, no-cache")
	a.answer(c, r.MediaType, []byte(r.Original))
}

// responses answers GET of a list.
func (a *API) responses(c *gin.Context) {
	filter, err := responseFilterOf(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answerListBy(c, tasks.KindQuestionnaireResponse(), func(ctx context.Context) ([]store.Row, string, error) { return a.rows.ListResponses(ctx, filter) },
		func(row store.Row) any { return showResponse(row) })
}

// responseFilterOf reads the query of a list.
func responseFilterOf(c *gin.Context) (store.ResponseFilter, error) {
	filter, _, err := responseFilterFrom(c, "study", "site", "patientId", "visitId", "status", "limit", "cursor", "instrument", "from", "to")
	return filter, err
}

// responseFilterFrom reads a query of these parameters, which it returns, too.
func responseFilterFrom(c *gin.Context, known ...string) (store.ResponseFilter, map[string]string, error) {
	query, err := queryOf(c, known...)
	if err != nil {
		return store.ResponseFilter{}, nil, err
	}
	f, faults := filterFrom(query)
	filter := store.ResponseFilter{Filter: f, Instrument: query["instrument"]}
	if filter.Instrument != "" {
		if fault := checkID("instrument", filter.Instrument); fault != nil {
			faults = append(faults, *fault)
		}
	}
	for name, to := range map[string]*time.Time{"from": &filter.From, "to": &filter.To} {
		text, given := query[name]
		if !given {
			continue
		}
		t, ok := jsonfile.ParseTime(text)
		if !ok {
			faults = append(faults, fieldFault{field: name, detail: textNotTime})
		}
		*to = t
	}
	if len(faults) > 0 {
		return store.ResponseFilter{}, nil, &fault{code: codeInvalidInput, fields: faults}
	}
	return filter, query, nil
}

// retryResponse answers POST …/{id}/retry: a revision that failed is scored again.
func (a *API) retryResponse(c *gin.Context) {
	ref, ok := a.askedRef(c)
	if !ok {
		return
	}
	id, revision := tasks.SplitRevisionID(ref.ID)
	a.answerRetry(c, ref, id, revisionURL(tasks.QuestionnaireResponse{ID: id, Revision: revision}))
}
