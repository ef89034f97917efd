package handlers

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"casepress/tasks/instrument"
)

// instrumentSummary is an instrument as a list shows it.
type instrumentSummary struct {
	instrument.Identity
	Title instrument.Text `json:"title"`
	// Languages are those in which the wording is there; none: the patient reads it elsewhere.
	Languages []string `json:"languages"`
	URL       string   `json:"url"`
}

// instrumentAnswer is all that a client needs to put the questions to a patient, and to read the scores.
type instrumentAnswer struct {
	instrumentSummary
	Instruction instrument.Text   `json:"instruction,omitempty"`
	Codes       []instrument.Code `json:"codes"`
	Copyright   []string          `json:"copyright"`
	Licence     string            `json:"licence"`
	Source      []string          `json:"source"`
	Items       []itemAnswer      `json:"items"`
	Scores      []scoreAnswer     `json:"scores"`
	Flags       []flagAnswer      `json:"flags"`
}

type itemAnswer struct {
	ID     string            `json:"id"`
	LinkID string            `json:"linkId"`
	Codes  []instrument.Code `json:"codes"`
	Text   instrument.Text   `json:"text,omitempty"`
	// NotAsked says that "not-asked" is an answer, too.
	NotAsked bool           `json:"notAsked"`
	Options  []optionAnswer `json:"options"`
}

type optionAnswer struct {
	Value int64             `json:"value"`
	Text  instrument.Text   `json:"text,omitempty"`
	Codes []instrument.Code `json:"codes"`
}

type scoreAnswer struct {
	ID    string             `json:"id"`
	Title instrument.Text    `json:"title"`
	Codes []instrument.Code  `json:"codes"`
	Items []string           `json:"items"`
	Least instrument.Decimal `json:"least"`
	Most  instrument.Decimal `json:"most"`
	Bands []bandAnswer       `json:"bands"`
}

type bandAnswer struct {
	Code string             `json:"code"`
	From instrument.Decimal `json:"from"`
	To   instrument.Decimal `json:"to"`
	Text instrument.Text    `json:"text"`
}

type flagAnswer struct {
	Code   string          `json:"code"`
	Item   string          `json:"item,omitempty"`
	Score  string          `json:"score,omitempty"`
	Urgent bool            `json:"urgent"`
	Text   instrument.Text `json:"text"`
}

func showSummary(d *instrument.Definition, study string) instrumentSummary {
	url := "/instruments/" + d.ID + "?version=" + d.Version
	if study != "" {
		url += "&study=" + study
	}
	return instrumentSummary{Identity: d.Identity, Title: d.Title, Languages: list(d.Languages), URL: url}
}

// showInstrument shows the wording in one language, or in all if it is "". What is for staff, such as the names of
// bands, is always there in all.
func showInstrument(d *instrument.Definition, rules []instrument.Rule, study, language string) instrumentAnswer {
	a := instrumentAnswer{
		instrumentSummary: showSummary(d, study), Instruction: wording(d.Instruction, language), Codes: list(d.Codes),
		Copyright: d.Copyright, Licence: d.Licence, Source: d.Source, Items: []itemAnswer{}, Scores: []scoreAnswer{}, Flags: []flagAnswer{},
	}
	for _, it := range d.Items {
		item := itemAnswer{ID: it.ID, LinkID: it.LinkID, Codes: list(it.Codes), Text: wording(it.Text, language), NotAsked: it.MayBeNotAsked, Options: []optionAnswer{}}
		for _, o := range it.Options {
			item.Options = append(item.Options, optionAnswer{o.Value, wording(o.Text, language), list(o.Codes)})
		}
		a.Items = append(a.Items, item)
	}
	for _, s := range d.Scores {
		score := scoreAnswer{ID: s.ID, Title: s.Title, Codes: list(s.Codes), Items: list(s.Items), Least: s.Least, Most: s.Most, Bands: []bandAnswer{}}
		for _, b := range s.Bands {
			score.Bands = append(score.Bands, bandAnswer{b.Code, b.From, b.To, b.Text})
		}
		a.Scores = append(a.Scores, score)
	}
	for _, f := range d.Flags {
		a.Flags = append(a.Flags, flagAnswer{f.Code, f.Item, f.Score, f.Urgent, f.Text})
	}
	for _, r := range rules {
		if r.Instrument == d.ID {
			a.Flags = append(a.Flags, flagAnswer{r.Code, r.Item, r.Score, r.Urgent, r.Text})
		}
	}
	return a
}

func wording(t instrument.Text, language string) instrument.Text {
	if language == "" || t == nil {
		return t
	}
	return instrument.Text{language: t[language]}
}

// instrumentRoutes serves the definitions of instruments.
func (a *API) instrumentRoutes(e *gin.Engine) {
	get(e, "/instruments", a.instruments)
	get(e, "/instruments/:id", a.instrument)
}

// instruments answers GET /instruments: what responses of a study may name. It refuses a site that the study does not
// have, so that a page learns of it before the first question, and not when the patient hands the answers in.
func (a *API) instruments(c *gin.Context) {
	query, err := queryOf(c, "study", "site")
	if err == nil {
		for _, wrong := range []*fieldFault{checkStudy(query["study"]), checkSite(a.cfg.Studies, query["study"], query["site"])} {
			if wrong != nil && err == nil {
				err = &fault{code: codeInvalidInput, fields: []fieldFault{*wrong}}
			}
		}
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	answer := struct {
		Items []instrumentSummary `json:"items"`
	}{[]instrumentSummary{}}
	for _, d := range a.cfg.Studies.Get(query["study"]).Instruments().All() {
		answer.Items = append(answer.Items, showSummary(d, query["study"]))
	}
	a.answerTagged(c, "application/json", encodeJSON(answer))
}

// instrument answers GET /instruments/{id}.
func (a *API) instrument(c *gin.Context) {
	query, err := queryOf(c, "study", "version", "language")
	if err == nil {
		if wrong := checkStudy(query["study"]); wrong != nil {
			err = &fault{code: codeInvalidInput, fields: []fieldFault{*wrong}}
		}
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	s := a.cfg.Studies.Get(query["study"])
	d, ok := s.Instruments().Get(c.Param("id"), query["version"])
	if !ok {
		a.fail(c, refuse(codeNoInstrument))
		return
	}
	if language := query["language"]; language != "" && !slices.Contains(d.Languages, language) {
		wrong := invalid("language", textNoWording)
		if len(d.Languages) > 0 {
			wrong = invalid("language", textBadChoice, strings.Join(d.Languages, ", "))
		}
		a.fail(c, wrong)
		return
	}
	a.answerTagged(c, "application/json", encodeJSON(showInstrument(d, s.Flags, query["study"], query["language"])))
}

// answerTagged answers with what seldom changes, or that it has not changed.
func (a *API) answerTagged(c *gin.Context, mediaType string, body []byte) {
	h := c.Writer.Header()
	tag := bodyTag(body)
	h.Set("Etag", tag)
	h.Set("Cache-Control", "no-cache")
	if etagMatches(c.GetHeader("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	a.answer(c, mediaType, body)
}
