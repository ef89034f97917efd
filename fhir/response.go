package fhir

import (
	"slices"
	"strconv"
	"strings"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

// Response is a patient's answers to an instrument: what a QuestionnaireResponse says of them.
type Response struct {
	// ID is the id of the response.
	ID string
	// Study, Site and VisitID are empty if the response belongs to none.
	Study, Site, PatientID, VisitID string
	// Definition is that of the instrument, in the version that the response names.
	Definition *instrument.Definition
	// Language is the one in which the patient read the questions.
	Language string
	// Authored is when the answers were given, RFC 3339 as it was written, zone included.
	Authored string
	Answers  instrument.Answers
	// Claims are the scores that the client has computed. They prove nothing.
	Claims instrument.Claims
	// Amends is set of a response that takes the place of an earlier revision.
	Amends *Amends
}

// Amends says which revision a response takes the place of, and why.
type Amends struct {
	Revision int
	Reason   string
}

// The values of status that casepress reads and writes.
const (
	statusCompleted = "completed"
	statusAmended   = "amended"
)

// Of the reasons why there is no answer, those that say that the patient was not asked, and one that
// says nothing.
const (
	notApplicable = "not-applicable"
	notAsked      = "not-asked"
	unknown       = "unknown"
)

// absentReasons is the value set http://hl7.org/fhir/R4/valueset-data-absent-reason.html.
var absentReasons = []string{
	unknown, "asked-unknown", "temp-unknown", notAsked, "asked-declined", "masked", notApplicable, "unsupported",
	"as-text", "error", "not-a-number", "negative-infinity", "positive-infinity", "not-performed", "not-permitted",
}

// NewQuestionnaireResponse writes a response, with its claims in the items of the scores. meta is what
// the server says of its copy; nil if there is nothing to say. An id that FHIR does not allow, which a
// client of the native API may have given, stands in the identifier alone. A claim of a score that the
// instrument does not have is left out.
//
// [ReadQuestionnaireResponse] makes the same response of it.
func NewQuestionnaireResponse(r Response, meta *Meta) *QuestionnaireResponse {
	w := writer{d: r.Definition, links: linksOf(r.Definition), language: r.Language}
	q := &QuestionnaireResponse{
		ResourceType:  "QuestionnaireResponse",
		Meta:          meta,
		Language:      r.Language,
		Extension:     studyExtension(r.Study),
		Identifier:    &Identifier{System: systemResponse, Value: r.ID},
		Questionnaire: CanonicalURL(r.Definition.ID) + "|" + r.Definition.Version,
		Status:        statusCompleted,
		Subject:       patient(r.PatientID),
		Encounter:     visit(r.VisitID),
		Authored:      strings.ToUpper(r.Authored), // RFC 3339 allows t and z, R4 does not
	}
	if ValidID(r.ID) {
		q.ID = r.ID
	}
	if r.Site != "" {
		q.Extension = append(q.Extension, Extension{URL: extensionSite, ValueString: r.Site})
	}
	if r.Amends != nil {
		q.Status = statusAmended
		q.Extension = append(q.Extension, Extension{URL: extensionAmends, Extension: []Extension{
			{URL: "revision", ValueInteger: r.Amends.Revision},
			{URL: "reason", ValueString: r.Amends.Reason},
		}})
	}
	for i := range r.Definition.Items {
		it := &r.Definition.Items[i]
		if answer, ok := r.Answers[it.ID]; ok {
			q.Item = append(q.Item, w.answer(it, answer))
		}
	}
	for i := range r.Definition.Scores {
		s := &r.Definition.Scores[i]
		claim, ok := r.Claims[s.ID]
		if !ok {
			continue
		}
		item := ResponseItem{LinkID: w.links.scores[i]}
		if claim == "" {
			item.Extension = []Extension{{URL: extensionAbsentReason, ValueCode: unknown}}
		} else {
			item.Answer = []ItemValue{{ValueDecimal: claim}}
		}
		q.Item = append(q.Item, item)
	}
	return q
}

func (w *writer) answer(it *instrument.Item, a instrument.Answer) ResponseItem {
	item := ResponseItem{LinkID: it.LinkID}
	c := Coding{System: systemAbsentReason, Code: notApplicable, Display: "Not Applicable"}
	if !a.NotAsked {
		i := slices.IndexFunc(it.Options, func(o instrument.Option) bool { return o.Value == a.Value })
		c = w.option(it, &it.Options[i])
		c.DisplayElement = nil // translations stand in the Questionnaire
	}
	item.Answer = []ItemValue{{ValueCoding: &c}}
	return item
}

func patient(id string) *Reference {
	return &Reference{Type: "Patient", Identifier: &Identifier{System: systemPatient, Value: id}}
}

func visit(id string) *Reference {
	if id == "" {
		return nil
	}
	return &Reference{Type: "Encounter", Identifier: &Identifier{System: systemVisit, Value: id}}
}

func studyExtension(id string) []Extension {
	if id == "" {
		return nil
	}
	return []Extension{{URL: extensionStudy, ValueReference: study(id)}}
}

func study(id string) *Reference {
	return &Reference{Type: "ResearchStudy", Identifier: &Identifier{System: systemStudy, Value: id}}
}

// optionOf finds the option that a coding names: by one of its codes, or by its value in the code
// system of the definition. A coding without a system may name it by either.
func optionOf(d *instrument.Definition, it *instrument.Item, system, code string) (value int64, ok bool) {
	own := optionSystem(d.ID, it.OptionSet)
	found := 0
	for i := range it.Options {
		o := &it.Options[i]
		named := (system == own || system == "") && strconv.FormatInt(o.Value, 10) == code
		for _, c := range o.Codes {
			named = named || (system == c.System || system == "") && c.Code == code
		}
		if named {
			value = o.Value
			found++
		}
	}
	return value, found == 1
}

// optionsOf lists an item's options for a message.
func optionsOf(d *instrument.Definition, it *instrument.Item) string {
	const most = 10
	w := writer{d: d}
	var all []string
	for i := range it.Options {
		if i == most {
			all = append(all, "and more")
			break
		}
		c := w.option(it, &it.Options[i])
		all = append(all, c.System+"|"+c.Code)
	}
	return strings.Join(all, ", ")
}

func listed(words []string) string {
	const most = 20
	if len(words) > most {
		words = append(slices.Clone(words[:most]), "and more")
	}
	for i, w := range words {
		words[i] = jsonfile.Shown(w)
	}
	return strings.Join(words, ", ")
}
