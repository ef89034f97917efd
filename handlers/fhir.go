package handlers

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"

	"casepress/fhir"
	"casepress/jsonfile"
	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

const (
	fhirPath     = "/fhir/R4"
	fhirResponse = "QuestionnaireResponse"
)

// fhirRoutes serves what there is of FHIR R4; docs/fhir.md says what that is.
func (a *API) fhirRoutes(e *gin.Engine) {
	started := time.Now()
	get(e, fhirPath+"/metadata", func(c *gin.Context) {
		if _, err := fhirQuery(c); err != nil {
			a.fail(c, err)
			return
		}
		a.answerTagged(c, fhir.MediaType, encodeJSON(fhir.NewCapabilityStatement(fhirBase(c.Request), started)))
	})
	get(e, fhirPath+"/Questionnaire", a.fhirQuestionnaires)
	get(e, fhirPath+"/Questionnaire/:id", a.fhirQuestionnaire)
	get(e, fhirPath+"/Questionnaire/:id/_history/:version", a.fhirQuestionnaire)
	k := tasks.KindQuestionnaireResponse()
	e.PUT(fhirPath+"/QuestionnaireResponse/:id", a.admit(k.Lane, fhir.MaxResponseBytes), a.takeFHIRResponse)
	get(e, fhirPath+"/QuestionnaireResponse/:id", a.fhirQuestionnaireResponse)
	get(e, fhirPath+"/QuestionnaireResponse/:id/_history/:version", a.fhirQuestionnaireResponse)
	get(e, fhirPath+"/Observation", a.fhirObservations)
	get(e, fhirPath+"/AdverseEvent/:id", a.fhirAdverseEvent)
}

// isFHIR reports whether a request is for FHIR, which tells its problems in a way of its own.
func isFHIR(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, fhirPath+"/") }

// fhirBase is the address of the FHIR routes as the client sees it. It is only ever shown.
func fhirBase(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host + fhirPath
}

// fhirQuery is queryOf with the parameters that FHIR's clients add to every request.
func fhirQuery(c *gin.Context, known ...string) (map[string]string, error) {
	query, err := queryOf(c, append(known, "_format", "_pretty")...)
	if err != nil {
		return nil, err
	}
	formats := []string{"json", "application/json", fhir.MediaType}
	if f := query["_format"]; f != "" && !slices.Contains(formats, f) {
		return nil, invalid("_format", textBadChoice, strings.Join(formats, ", "))
	}
	return query, nil
}

// fhirOutcome is a problem as FHIR has it. All resources that are handed in are QuestionnaireResponses.
func fhirOutcome(p problem, l lang) *fhir.OperationOutcome {
	// Where an amendment belongs to something else, the fields are those of the native document.
	native := map[string]string{"/study": "/extension", "/patientId": "/subject", "/instrument": "/questionnaire", "body": "/"}
	var faults []fhir.Fault
	for _, e := range p.Errors {
		pointer := e.Field
		if to, ok := native[pointer]; ok {
			pointer = to
		} else if !strings.HasPrefix(pointer, "/") {
			pointer = "" // of the query or a header
		}
		faults = append(faults, fhir.Fault{Pointer: pointer, Detail: e.Detail})
	}
	return fhir.NewFailure(p.Status, string(p.Code), p.Detail, l.tag(), fhirResponse, faults)
}

// wordingFor is the language of a definition's wording that fits the header Accept-Language best; its first if none does.
func wordingFor(d *instrument.Definition, header string) string {
	if len(d.Languages) == 0 {
		return acceptedLanguage(header).tag()
	}
	wanted := wantedLanguages(header)
	if len(wanted) == 0 {
		return d.Languages[0]
	}
	tags := make([]language.Tag, len(d.Languages))
	for i, tag := range d.Languages {
		tags[i] = language.Make(tag)
	}
	_, i, _ := language.NewMatcher(tags).Match(wanted...)
	return d.Languages[i]
}

// fhirQuestionnaire answers GET Questionnaire/{id}, and of one version.
func (a *API) fhirQuestionnaire(c *gin.Context) {
	all, _, err := a.fhirInstruments(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	var found *instrument.Definition
	for _, d := range all { // ordered by version
		if version := c.Param("version"); fhir.ResourceID(d.ID) == c.Param("id") && (version == "" || version == d.Version) {
			found = d
		}
	}
	if found == nil {
		a.fail(c, refuse(codeNoInstrument))
		return
	}
	q := fhir.NewQuestionnaire(found, wordingFor(found, c.GetHeader("Accept-Language")))
	c.Header("Content-Language", q.Language)
	c.Writer.Header().Add("Vary", "Accept-Language")
	a.answerTagged(c, fhir.MediaType, encodeJSON(q))
}

// fhirInstruments are the definitions of the study that the query names, and the query.
func (a *API) fhirInstruments(c *gin.Context, known ...string) ([]*instrument.Definition, map[string]string, error) {
	query, err := fhirQuery(c, append(known, "study")...)
	if err != nil {
		return nil, nil, err
	}
	if wrong := checkStudy(query["study"]); wrong != nil {
		return nil, nil, &fault{code: codeInvalidInput, fields: []fieldFault{*wrong}}
	}
	return a.cfg.Studies.Get(query["study"]).Instruments().All(), query, nil
}

// fhirQuestionnaires answers GET Questionnaire?url=&version=: one version of an instrument, or all.
func (a *API) fhirQuestionnaires(c *gin.Context) {
	all, query, err := a.fhirInstruments(c, "url", "version")
	if err == nil && query["url"] == "" {
		err = invalid("url", textMissing) // all instruments of a study would be megabytes
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	url, pinned, _ := strings.Cut(query["url"], "|")
	is := func(version, wanted string) bool { return wanted == "" || wanted == version }
	base := fhirBase(c.Request)
	var found []*fhir.Questionnaire
	for _, d := range all {
		if url == fhir.CanonicalURL(d.ID) && is(d.Version, pinned) && is(d.Version, query["version"]) {
			found = append(found, fhir.NewQuestionnaire(d, wordingFor(d, c.GetHeader("Accept-Language"))))
		}
	}
	c.Writer.Header().Add("Vary", "Accept-Language")
	a.answerTagged(c, fhir.MediaType, encodeJSON(fhir.NewBundle(fhirSelf(c.Request), found, func(q *fhir.Questionnaire) string { return base + "/Questionnaire/" + q.ID })))
}

// fhirSelf is the address of a search.
func fhirSelf(r *http.Request) string {
	self := fhirBase(r) + strings.TrimPrefix(r.URL.Path, fhirPath)
	if r.URL.RawQuery != "" {
		self += "?" + r.URL.RawQuery
	}
	return self
}

// takeFHIRResponse answers 201 when the response is on stable storage.
func (a *API) takeFHIRResponse(c *gin.Context) {
	if _, err := fhirQuery(c); err != nil {
		a.fail(c, err)
		return
	}
	r, err := a.readFHIRResponse(c.Request, c.Param("id"))
	if err != nil {
		a.fail(c, err)
		return
	}
	got, err := a.acceptResponse(c.Request, r)
	if err != nil {
		a.fail(c, err)
		return
	}
	stored := got.Content.(tasks.QuestionnaireResponse)
	l := acceptedLanguage(c.GetHeader("Accept-Language"))
	accepted := fhir.Acceptance{
		Message: textFHIRAccepted.in(l), Language: l.tag(), SHA256: got.SHA256, Sequence: got.Sequence, ReceivedAt: got.ReceivedAt,
		Flags: stored.Flags, CrisisText: stored.CrisisText, CrisisLanguage: stored.CrisisLanguage,
	}
	for _, w := range stored.Warnings {
		accepted.Warnings = append(accepted.Warnings, fhir.Warning(w))
	}
	if got.Replayed {
		c.Header("Idempotency-Replayed", "true")
		accepted.Message = textDocumentReplayed.in(l)
	}
	c.Header("Location", fmt.Sprintf("%s/%s/%s/_history/%d", fhirPath, fhirResponse, stored.ID, stored.Revision))
	c.Header("Etag", fhirTag(stored.Revision))
	setLanguage(c.Writer.Header(), l)
	writeJSON(c, http.StatusCreated, fhir.MediaType, fhir.NewAcceptance(accepted))
}

// fhirTag is how FHIR writes a version as an entity tag.
func fhirTag(revision int) string { return `W/"` + strconv.Itoa(revision) + `"` }

// readFHIRResponse reads and checks the body.
func (a *API) readFHIRResponse(r *http.Request, id string) (tasks.QuestionnaireResponse, error) {
	none := tasks.QuestionnaireResponse{}
	if !fhir.ValidID(id) {
		return none, invalid("id", textFHIRID)
	}
	document, err := readBody(r, fhir.MaxResponseBytes, fhir.MediaType, "application/json")
	if err != nil {
		return none, err
	}
	arrival := arrivalOf(r) // before it waits for its turn
	read, err := parsed(a, r, a.parsing, func() (fhir.Response, []jsonfile.Problem) {
		return fhir.ReadQuestionnaireResponse(document, id, func(study string) *instrument.Definitions {
			return a.cfg.Studies.Get(study).Instruments()
		})
	})
	if err != nil {
		return none, err
	}
	if read.Site != "" && !a.cfg.Studies.Get(read.Study).HasSite(read.Site) {
		return none, invalid("/extension", textUnknownSite, read.Site, read.Study)
	}
	response := tasks.QuestionnaireResponse{
		ID: read.ID, Study: read.Study, Site: read.Site, PatientID: read.PatientID, VisitID: read.VisitID,
		Language: read.Language, Authored: read.Authored, Answers: read.Answers, Claims: read.Claims,
		MediaType: fhir.MediaType, Original: string(document),
	}
	if read.Amends != nil {
		response.Amends = &tasks.Amends{Revision: read.Amends.Revision, Reason: read.Amends.Reason}
	}
	if match := r.Header.Get("If-Match"); match != "" && (read.Amends == nil || match != fhirTag(read.Amends.Revision)) {
		return none, refuse(codePrecondition)
	}
	err = response.Assess(read.Definition, a.cfg.Studies, arrival) // which changes it, and so comes first
	return response, err
}

// fhirQuestionnaireResponse answers GET QuestionnaireResponse/{id}, and of one revision: the bytes as they came if it came
// through FHIR, and else a resource that is made of it.
func (a *API) fhirQuestionnaireResponse(c *gin.Context) {
	_, err := fhirQuery(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	row, err := a.findFHIRResponse(c.Request.Context(), c.Param("id"), c.Param("version"))
	if err != nil {
		a.fail(c, err)
		return
	}
	r := row.Content.(tasks.QuestionnaireResponse)
	body := []byte(r.Original)
	if r.MediaType != fhir.MediaType {
		made, err := a.fhirOf(r)
		if err != nil {
			a.fail(c, err)
			return
		}
		meta := &fhir.Meta{VersionID: strconv.Itoa(r.Revision), LastUpdated: timeText(row.ReceivedAt)}
		body = encodeJSON(fhir.NewQuestionnaireResponse(made, meta))
	}
	h := c.Writer.Header()
	h.Set("Etag", fhirTag(r.Revision))
	h.Set("Last-Modified", row.ReceivedAt.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "private, no-cache")
	if etagMatches(c.GetHeader("If-None-Match"), strings.TrimPrefix(fhirTag(r.Revision), "W/")) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	a.answer(c, fhir.MediaType, body)
}

// findFHIRResponse looks a revision up, the latest if none is named.
func (a *API) findFHIRResponse(ctx context.Context, id, revision string) (store.Row, error) {
	if !fhir.ValidID(id) {
		return store.Row{}, noSubmission(responseRef(id))
	}
	ref, err := a.refOf(ctx, id, revision)
	if err != nil {
		return store.Row{}, err
	}
	return a.findKnown(ctx, ref)
}

// fhirOf is a response with its definition.
func (a *API) fhirOf(r tasks.QuestionnaireResponse) (fhir.Response, error) {
	d, ok := a.cfg.Studies.Get(r.Study).Instruments().Get(r.Rule.ID, r.Rule.Version)
	if !ok || d.SHA256 != r.Rule.SHA256 {
		return fhir.Response{}, fmt.Errorf("the study does not have instrument %s version %s with sha256 %s any more; put its file back", r.Rule.ID, r.Rule.Version, r.Rule.SHA256)
	}
	made := fhir.Response{
		ID: r.ID, Study: r.Study, Site: r.Site, PatientID: r.PatientID, VisitID: r.VisitID, Definition: d,
		Language: r.Language, Authored: r.Authored, Answers: r.Answers, Claims: r.Claims,
	}
	if r.Amends != nil {
		made.Amends = &fhir.Amends{Revision: r.Amends.Revision, Reason: r.Amends.Reason}
	}
	return made, nil
}

// fhirObservations answers GET Observation?derived-from=: the scores of a response's latest revision, none as long as it
// is not scored.
func (a *API) fhirObservations(c *gin.Context) {
	query, err := fhirQuery(c, "derived-from")
	if err == nil && query["derived-from"] == "" {
		err = invalid("derived-from", textMissing)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	id := strings.TrimPrefix(query["derived-from"], fhirResponse+"/")
	row, err := a.findFHIRResponse(c.Request.Context(), id, "")
	if err != nil {
		a.fail(c, err)
		return
	}
	var found []*fhir.Observation
	if result, scored := row.Result.(tasks.QuestionnaireResult); scored {
		r := row.Content.(tasks.QuestionnaireResponse)
		of, err := a.fhirOf(r)
		if err != nil {
			a.fail(c, err)
			return
		}
		for _, score := range result.Scores {
			found = append(found, fhir.NewObservation(of, r.Revision, score, row.FinishedAt))
		}
	}
	if !row.Status.Final() {
		setRetryAfter(c.Writer.Header(), pollAfter(row))
	}
	c.Header("Cache-Control", "private, no-cache")
	a.answer(c, fhir.MediaType, encodeJSON(fhir.NewBundle(fhirSelf(c.Request), found, func(o *fhir.Observation) string { return "urn:uuid:" + o.ID })))
}

// fhirAdverseEvent answers GET AdverseEvent/{id}. An exercise is none: whoever asks for FHIR counts what patients had.
func (a *API) fhirAdverseEvent(c *gin.Context) {
	if _, err := fhirQuery(c); err != nil {
		a.fail(c, err)
		return
	}
	row, err := a.findCase(c.Request.Context(), c.Param("id"))
	if err != nil {
		a.fail(c, err)
		return
	}
	body := encodeJSON(fhir.NewAdverseEvent(fhirCase(row)))
	h := c.Writer.Header()
	tag := bodyTag(body)
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, no-cache")
	if etagMatches(c.GetHeader("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	a.answer(c, fhir.MediaType, body)
}

// findCase looks up an adverse event that FHIR can show.
func (a *API) findCase(ctx context.Context, id string) (store.Row, error) {
	ref := adverseEventRef(id)
	if !fhir.ValidID(id) {
		return store.Row{}, noSubmission(ref)
	}
	row, err := a.findKnown(ctx, ref)
	if err == nil && row.Content.(tasks.AdverseEvent).Exercise {
		err = noSubmission(ref)
	}
	return row, err
}

func fhirCase(row store.Row) fhir.Case {
	e := row.Content.(tasks.AdverseEvent)
	standing := e.Standing()
	made := fhir.Case{
		ID: row.ID, Study: row.Study, Site: row.Site, PatientID: row.PatientID, VisitID: row.VisitID,
		Known: e.Clock(row.ReceivedAt).From, Received: row.ReceivedAt, State: string(standing.State),
	}
	if standing.Acknowledged != nil {
		made.Decision = string(standing.Acknowledged.Decision)
	}
	if e.Source != nil {
		made.Response, made.Revision, made.Flag = e.Source.ID, e.Source.Revision, e.Flag.Code
	}
	if r := e.Report; r != nil {
		made.Description, made.Reporter = r.Description, r.Reporter
		made.Onset, _ = jsonfile.ParseTime(r.OnsetAt) // it was checked when it came in; none: zero
		for _, criterion := range tasks.SeriousnessCriteria() {
			if slices.Contains(r.Seriousness, criterion.Code) {
				made.Seriousness = append(made.Seriousness, fhir.Criterion(criterion))
			}
		}
	}
	return made
}
