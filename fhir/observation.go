package fhir

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"casepress/tasks/instrument"
)

// NewObservation writes a score of one revision of a response. made is when it was computed. The
// result must be one of the response's definition.
//
// The value is a quantity in "{score}", rounded as the definition says; the exact one, how many items
// were answered and which were imputed stand in the note, the rule in the method, the band in the
// interpretation, and all bands in the reference range. A score that could not be made has the reason
// in place of the value. The id is a UUID made of the response, the revision, the score and the rule: the same
// score has the same id each time that it is written, and one by another rule has another.
func NewObservation(r Response, revision int, result instrument.Result, made time.Time) *Observation {
	d := r.Definition
	w := writer{d: d, language: languageOf(d, r.Language)}
	o := &Observation{
		ResourceType:      "Observation",
		ID:                observationID(r.ID, revision, result),
		Extension:         studyExtension(r.Study),
		Status:            "final",
		Category:          []CodeableConcept{{Coding: []Coding{{System: systemCategory, Code: "survey", Display: "Survey"}}}},
		Subject:           patient(r.PatientID),
		Encounter:         visit(r.VisitID),
		EffectiveDateTime: strings.ToUpper(r.Authored),
		Issued:            instant(made),
		Performer:         []Reference{*patient(r.PatientID)}, // who answered
		Note:              []Annotation{{Text: note(result)}},
		Method: &CodeableConcept{
			Coding: []Coding{{System: systemDefinition, Code: result.Rule.SHA256}},
			Text:   fmt.Sprintf("%s version %s, sha256 %s", result.Rule.ID, result.Rule.Version, result.Rule.SHA256),
		},
		DerivedFrom: []Reference{derivedFrom(r.ID)},
	}
	o.Code = CodeableConcept{Coding: []Coding{{System: scoreSystem(d.ID), Code: result.ID}}, Text: result.ID}
	if i := slices.IndexFunc(d.Scores, func(s instrument.ScoreRule) bool { return s.ID == result.ID }); i >= 0 {
		s := &d.Scores[i]
		o.Code.Coding = append(codings(s.Codes), o.Code.Coding...)
		o.Code.Text, o.Code.TextElement = w.text(s.Title)
		for _, b := range s.Bands {
			text, _ := nearest(b.Text, w.language)
			o.ReferenceRange = append(o.ReferenceRange, ReferenceRange{Low: points(b.From), High: points(b.To), Text: text})
			if b.Code == result.Band {
				band := CodeableConcept{Coding: []Coding{{System: bandSystem(d.ID, s.ID), Code: b.Code}}}
				band.Text, band.TextElement = w.text(b.Text)
				o.Interpretation = []CodeableConcept{band}
			}
		}
	}
	if result.Value == "" {
		o.DataAbsentReason = &CodeableConcept{Coding: []Coding{{System: systemAbsentReason, Code: unknown, Display: "Unknown"}}, Text: result.Reason}
	} else {
		o.ValueQuantity = points(result.Value)
	}
	return o
}

func observationID(response string, revision int, result instrument.Result) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{response, strconv.Itoa(revision), result.ID, result.Rule.SHA256}, "\n")))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8 of RFC 9562
	return uuid.UUID(sum[:16]).String()
}

// derivedFrom names the response, by its identifier where FHIR does not allow its id.
func derivedFrom(id string) Reference {
	if !ValidID(id) {
		return Reference{Type: "QuestionnaireResponse", Identifier: &Identifier{System: systemResponse, Value: id}}
	}
	return Reference{Reference: "QuestionnaireResponse/" + id}
}

func points(v instrument.Decimal) *Quantity {
	return &Quantity{Value: v, Unit: "{score}", System: systemUCUM, Code: "{score}"}
}

func note(r instrument.Result) string {
	text := fmt.Sprintf("%d answered, %d missing", r.Answered, r.Missing)
	add := func(label string, value string) {
		if value != "" {
			text += "; " + label + " " + value
		}
	}
	add("not asked", strings.Join(r.NotAsked, ", "))
	add("imputed", strings.Join(r.Imputed, ", "))
	add("raw", r.Raw)
	add("exact", r.Exact)
	add("no score:", r.Reason)
	return text + "."
}

// NewBundle makes the answer to a search. self is the address of the search, and fullURL that of a
// resource.
func NewBundle[T any](self string, found []T, fullURL func(T) string) *Bundle {
	b := &Bundle{ResourceType: "Bundle", Type: "searchset", Total: len(found), Link: []BundleLink{{Relation: "self", URL: self}}}
	for _, one := range found {
		b.Entry = append(b.Entry, BundleEntry{FullURL: fullURL(one), Resource: one, Search: BundleSearch{Mode: "match"}})
	}
	return b
}
