package fhir

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"casepress/tasks/instrument"
)

// The types of items that casepress makes.
const (
	typeChoice  = "choice"
	typeDecimal = "decimal"
	typeDisplay = "display"
)

// NewQuestionnaire makes the form of a definition: its instruction, a question for each item, the
// copyright lines where there is wording, and a hidden item for each score, in which a client that
// computes scores may say what it has got. language is what its texts are in, with those in other
// languages as translations; a language that the definition does not have stands for its first.
//
// An option is a coding of its first code, or else of a code system of the definition whose codes are
// the values; its weight is an ordinalValue. An item that need not be asked has one option more, "Not
// Applicable".
func NewQuestionnaire(d *instrument.Definition, language string) *Questionnaire {
	w := writer{d: d, links: linksOf(d), language: languageOf(d, language)}
	q := &Questionnaire{
		ResourceType: "Questionnaire",
		ID:           ResourceID(d.ID),
		Meta:         &Meta{VersionID: d.Version},
		Language:     w.language,
		URL:          CanonicalURL(d.ID),
		Identifier:   []Identifier{{System: systemDefinition, Value: d.SHA256}},
		Version:      d.Version,
		Name:         nameOf(d.ID),
		Status:       "active",
		SubjectType:  []string{"Patient"},
		Description:  strings.Join(d.Source, "\n\n"),
		Copyright:    strings.Join(append(slices.Clone(d.Copyright), d.Licence), "\n\n"),
		Code:         codings(d.Codes),
	}
	q.Title, q.TitleElement = w.text(d.Title)
	if d.Instruction != nil {
		q.Item = append(q.Item, w.display(w.links.instruction, d.Instruction))
	}
	for i := range d.Items {
		q.Item = append(q.Item, w.question(&d.Items[i]))
	}
	if len(d.Languages) > 0 { // it must be shown with the wording
		q.Item = append(q.Item, QuestionnaireItem{LinkID: w.links.copyright, Text: strings.Join(d.Copyright, " "), Type: typeDisplay})
	}
	for i := range d.Scores {
		q.Item = append(q.Item, w.score(i))
	}
	return q
}

// writer writes resources of one definition in one language.
type writer struct {
	d        *instrument.Definition
	links    links
	language string
}

func languageOf(d *instrument.Definition, language string) string {
	switch {
	case slices.Contains(d.Languages, language):
		return language
	case len(d.Languages) > 0:
		return d.Languages[0]
	}
	_, has := nearest(d.Title, language)
	return has
}

// nearest returns a text in a language or, if there is none, in English or in its first, and which it
// is in.
func nearest(t instrument.Text, language string) (text, in string) {
	for _, in := range []string{language, "en"} {
		if text, ok := t[in]; ok {
			return text, in
		}
	}
	for _, in := range slices.Sorted(maps.Keys(t)) {
		return t[in], in
	}
	return "", ""
}

// text returns a text in the writer's language, and an element with its translations.
func (w *writer) text(t instrument.Text) (string, *Element) {
	main, in := nearest(t, w.language)
	var e Element
	for _, lang := range slices.Sorted(maps.Keys(t)) {
		if lang != in {
			e.Extension = append(e.Extension, Extension{URL: extensionTranslation, Extension: []Extension{
				{URL: "lang", ValueCode: lang},
				{URL: "content", ValueString: t[lang]},
			}})
		}
	}
	if e.Extension == nil {
		return main, nil
	}
	return main, &e
}

func (w *writer) display(link string, t instrument.Text) QuestionnaireItem {
	item := QuestionnaireItem{LinkID: link, Type: typeDisplay}
	item.Text, item.TextElement = w.text(t)
	return item
}

func (w *writer) question(it *instrument.Item) QuestionnaireItem {
	q := QuestionnaireItem{
		Extension: []Extension{{URL: extensionControl, ValueCodeableConcept: &CodeableConcept{
			Coding: []Coding{{System: systemControl, Code: "radio-button"}}, // all options are to be seen at once
		}}},
		LinkID: it.LinkID, Code: codings(it.Codes), Type: typeChoice,
	}
	q.Text, q.TextElement = w.text(it.Text)
	if it.ID[0] >= '0' && it.ID[0] <= '9' {
		q.Prefix = it.ID // the number on the paper form
	}
	for i := range it.Options {
		c := w.option(it, &it.Options[i])
		c.Extension = []Extension{{URL: extensionOrdinal, ValueDecimal: it.Options[i].Weight()}}
		q.AnswerOption = append(q.AnswerOption, AnswerOption{c})
	}
	if it.MayBeNotAsked {
		c := Coding{System: systemAbsentReason, Code: notApplicable, Display: "Not Applicable"}
		c.Extension = []Extension{{URL: extensionOrdinal, ValueDecimal: it.NotAskedWeight()}}
		q.AnswerOption = append(q.AnswerOption, AnswerOption{c})
	}
	return q
}

// option is the coding of an option without its weight.
func (w *writer) option(it *instrument.Item, o *instrument.Option) Coding {
	c := Coding{System: optionSystem(w.d.ID, it.OptionSet), Code: strconv.FormatInt(o.Value, 10)}
	if len(o.Codes) > 0 {
		c = codings(o.Codes)[0]
	}
	if c.Display, c.DisplayElement = w.text(o.Text); c.Display == "" {
		c.Display = strconv.FormatInt(o.Value, 10) // there is no wording
	}
	return c
}

func (w *writer) score(i int) QuestionnaireItem {
	s := &w.d.Scores[i]
	q := QuestionnaireItem{
		Extension: []Extension{{URL: extensionHidden, ValueBoolean: true}},
		LinkID:    w.links.scores[i],
		Code:      codings(s.Codes),
		Type:      typeDecimal,
		ReadOnly:  true,
	}
	q.Text, q.TextElement = w.text(s.Title)
	return q
}

func codings(codes []instrument.Code) []Coding {
	var all []Coding
	for _, c := range codes {
		all = append(all, Coding{System: c.System, Code: c.Code})
	}
	return all
}

// nameOf makes a name for programs of an id: "Phq9" of "phq-9".
func nameOf(id string) string {
	var b strings.Builder
	up := true
	for _, r := range id {
		if r == '-' || r == '.' || r == '_' {
			up = true
			continue
		}
		if up {
			r = unicode.ToUpper(r)
		}
		up = false
		b.WriteRune(r)
	}
	if name := b.String(); name != "" && unicode.IsUpper(rune(name[0])) {
		return name
	}
	return "Q" + b.String()
}
