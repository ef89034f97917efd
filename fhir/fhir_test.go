package fhir_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/fhir"
	"casepress/tasks/instrument"
)

// definitions are the shipped ones and one that has whatever they lack: translated wording, linkIds
// that casepress would have chosen itself, weights that are fractions, codes of two systems, an id with
// an underscore.
func definitions(t testing.TB) *instrument.Definitions {
	t.Helper()
	ds, err := instrument.Load("testdata")
	require.NoError(t, err)
	return ds
}

func get(t testing.TB, id string) *instrument.Definition {
	t.Helper()
	d, ok := definitions(t).Get(id, "")
	require.True(t, ok)
	return d
}

func encode(t testing.TB, resource any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	require.NoError(t, e.Encode(resource))
	return b.Bytes()
}

// write leaves a resource for the validator of interop/fhir, if it asks for them.
func write(t testing.TB, name string, resource any) {
	t.Helper()
	content := encode(t, resource)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(content, &fields))
	if folder := os.Getenv("CASEPRESS_FHIR_RESOURCES"); folder != "" {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+".json"), content, 0o600))
	}
}

// read reads what must be accepted.
func read(t testing.TB, document []byte, id string) fhir.Response {
	t.Helper()
	ds := definitions(t)
	r, problems := fhir.ReadQuestionnaireResponse(document, id, func(string) *instrument.Definitions { return ds })
	require.Empty(t, problems)
	return r
}

// someAnswers are answers to some items, by chance.
func someAnswers(d *instrument.Definition, share float64, random *rand.Rand) instrument.Answers {
	answers := instrument.Answers{}
	for i := range d.Items {
		it := &d.Items[i]
		switch {
		case random.Float64() >= share:
		case it.MayBeNotAsked && random.IntN(2) == 0:
			answers[it.ID] = instrument.Answer{NotAsked: true}
		default:
			answers[it.ID] = instrument.Answer{Value: it.Options[random.IntN(len(it.Options))].Value}
		}
	}
	return answers
}

const uuid = "0b5ce0c8-9f4e-4f5a-8f0d-3d4a9f8f6f11"

// TestEverythingThereAndBack writes a form, responses and scores of each definition, and reads the
// responses again. What it writes goes to HAPI's validator: see interop/fhir.
func TestEverythingThereAndBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, d := range definitions(t).All() {
		t.Run(d.ID, func(t *testing.T) {
			for _, language := range append([]string{"", "xx"}, d.Languages...) {
				write(t, "Questionnaire-"+d.ID+"-"+language, fhir.NewQuestionnaire(d, language))
			}
			for i, share := range []float64{1, 0.99, 0.9, 0.5, 0.01} {
				if i > 1 && len(d.Scores) > 20 {
					break // the validator takes its time
				}
				r := fhir.Response{
					ID: uuid, PatientID: "P_001", Definition: d, Language: "de", Authored: "2026-11-26T20:03:11.250+08:00",
					Answers: someAnswers(d, share, random),
				}
				if len(r.Answers) == 0 {
					r.Answers[d.Items[0].ID] = instrument.Answer{Value: d.Items[0].Options[0].Value}
				}
				if i > 0 {
					r.Study, r.Site, r.VisitID, r.Language = "S1", "101", "V02", "en"
					r.Claims = instrument.Claims{d.Scores[0].ID: "13.50"}
				}
				if i > 1 {
					r.Claims[d.Scores[len(d.Scores)-1].ID] = ""
					r.Amends = &fhir.Amends{Revision: i - 1, Reason: "Item 3 was mistyped: “2”, not 1"}
				}
				name := fmt.Sprintf("%s-%d", d.ID, i)
				resource := fhir.NewQuestionnaireResponse(r, &fhir.Meta{VersionID: strconv.Itoa(i + 1), LastUpdated: "2026-11-26T12:03:12.000001Z"})
				write(t, "QuestionnaireResponse-"+name, resource)
				require.Equal(t, r, read(t, encode(t, resource), uuid))

				scored, err := instrument.Score(d, r.Answers)
				require.NoError(t, err)
				var all []*fhir.Observation
				for _, result := range scored.Scores {
					all = append(all, fhir.NewObservation(r, i+1, result, time.Date(2026, 11, 26, 12, 3, 12, 1000, time.UTC)))
				}
				write(t, "Observations-"+name, fhir.NewBundle("http://127.0.0.1/fhir/R4/Observation?derived-from=QuestionnaireResponse/"+uuid, all,
					func(o *fhir.Observation) string { return "urn:uuid:" + o.ID }))
			}
		})
	}
	write(t, "CapabilityStatement", fhir.NewCapabilityStatement("http://127.0.0.1:8080/fhir/R4", time.Date(2026, 11, 26, 12, 3, 12, 0, time.UTC)))
	write(t, "Questionnaires", fhir.NewBundle("http://127.0.0.1/fhir/R4/Questionnaire", []*fhir.Questionnaire{fhir.NewQuestionnaire(get(t, "phq-9"), "")},
		func(q *fhir.Questionnaire) string { return "http://127.0.0.1/fhir/R4/Questionnaire/" + q.ID }))
	write(t, "OperationOutcome-accepted", fhir.NewAcceptance(fhir.Acceptance{
		Message: "It is stored.", Language: "en", SHA256: strings.Repeat("a", 64), Sequence: 1 << 40, ReceivedAt: time.Date(2026, 11, 26, 12, 3, 12, 0, time.UTC),
		Flags: []instrument.FlagResult{
			{Code: "phq-9-item-9", Item: "9", State: instrument.Raised, Urgent: true, Value: "1"}, {Code: "severe", Score: "total", State: instrument.Unknown},
		},
		Warnings:   []fhir.Warning{{Code: "late", Detail: "the answers arrived late"}},
		CrisisText: "请拨打 0800 123。", CrisisLanguage: "zh-CN",
	}))
	write(t, "OperationOutcome-failure", fhir.NewFailure(400, "invalid-input", "", "en", "QuestionnaireResponse", []fhir.Fault{
		{Pointer: "/item/3/answer/0/valueCoding/code", Detail: "is no option"}, {Pointer: "/", Detail: "is empty"}, {Detail: "the query"},
	}))
	for status := 400; status < 600; status++ {
		if http.StatusText(status) != "" {
			write(t, fmt.Sprintf("OperationOutcome-%d", status), fhir.NewFailure(status, "id-conflict", "There is another response of this id.", "en", "", nil))
		}
	}
}

func TestQuestionnaire(t *testing.T) {
	d := get(t, "phq-9")
	q := fhir.NewQuestionnaire(d, "zh-CN") // which has no wording, so it is in English
	require.Equal(t, "en", q.Language)
	require.Equal(t, "urn:casepress:questionnaire:phq-9", q.URL)
	require.Equal(t, "1", q.Version)
	require.Equal(t, "Phq9", q.Name)
	require.Equal(t, []fhir.Identifier{{System: "urn:casepress:definition-sha256", Value: d.SHA256}}, q.Identifier)
	require.Equal(t, []fhir.Coding{{System: "http://loinc.org", Code: "44249-1"}}, q.Code)
	require.Contains(t, q.Copyright, "Copyright © Pfizer Inc.")
	require.Contains(t, q.Copyright, "Regenstrief Institute")
	require.Len(t, q.Item, 1+10+1+2)
	require.Equal(t, "display", q.Item[0].Type)
	require.Equal(t, d.Instruction["en"], q.Item[0].Text)

	// LOINC's third question is 44259-0: its codes are not in the order of the form.
	third, err := json.Marshal(q.Item[3])
	require.NoError(t, err)
	require.JSONEq(t, `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/questionnaire-itemControl",
			"valueCodeableConcept":{"coding":[{"system":"http://hl7.org/fhir/questionnaire-item-control","code":"radio-button"}]}}],
		"linkId":"/44259-0","code":[{"system":"http://loinc.org","code":"44259-0"}],"prefix":"3",
		"text":"Trouble falling or staying asleep, or sleeping too much","type":"choice","answerOption":[
		{"valueCoding":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/ordinalValue","valueDecimal":0}],"system":"http://loinc.org","code":"LA6568-5","display":"Not at all"}},
		{"valueCoding":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/ordinalValue","valueDecimal":1}],"system":"http://loinc.org","code":"LA6569-3","display":"Several days"}},
		{"valueCoding":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/ordinalValue","valueDecimal":2}],"system":"http://loinc.org","code":"LA6570-1","display":"More than half the days"}},
		{"valueCoding":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/ordinalValue","valueDecimal":3}],"system":"http://loinc.org","code":"LA6571-9","display":"Nearly every day"}}]}`, string(third))

	require.Contains(t, q.Item[11].Text, "No permission required to reproduce", "it must be shown with the wording")
	total, err := json.Marshal(q.Item[12])
	require.NoError(t, err)
	require.JSONEq(t, `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/questionnaire-hidden","valueBoolean":true}],"linkId":"/44261-6",
		"code":[{"system":"http://loinc.org","code":"44261-6"}],"text":"Total","_text":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/translation",
		"extension":[{"url":"lang","valueCode":"zh-CN"},{"url":"content","valueString":"总分"}]}]},"type":"decimal","readOnly":true}`, string(total))
	require.Equal(t, "score/algorithm", q.Item[13].LinkID)
}

func TestQuestionnaireInOtherLanguages(t *testing.T) {
	d := get(t, "2_made.up")
	q := fhir.NewQuestionnaire(d, "en")
	require.Equal(t, "2-made.up", q.ID)
	require.Equal(t, "urn:casepress:questionnaire:2_made.up", q.URL)
	require.Equal(t, "Q2MadeUp", q.Name)
	require.Equal(t, "en", q.Language)
	require.Equal(t, "Choose.", q.Item[0].Text)
	require.Equal(t, "请选择。", q.Item[0].TextElement.Extension[0].Extension[1].ValueString)
	require.Equal(t, "zh-CN", fhir.NewQuestionnaire(d, "fr").Language, "the first of its languages")

	links := map[string]bool{}
	for _, item := range q.Item {
		require.False(t, links[item.LinkID], "%s is used twice", item.LinkID)
		links[item.LinkID] = true
	}
	b := q.Item[2].AnswerOption
	require.Equal(t, instrument.Decimal("-0.5"), b[0].ValueCoding.Extension[0].ValueDecimal)
	require.Equal(t, "urn:casepress:questionnaire:2_made.up:options:weighed", b[0].ValueCoding.System)
	require.Equal(t, "http://snomed.info/sct", b[1].ValueCoding.System)
	require.Equal(t, "not-applicable", b[3].ValueCoding.Code)
	require.Equal(t, instrument.Decimal("0.25"), b[3].ValueCoding.Extension[0].ValueDecimal)
}

// A definition without wording shows the numbers.
func TestQuestionnaireWithoutWording(t *testing.T) {
	q := fhir.NewQuestionnaire(get(t, "who-5"), "zh-CN")
	require.Equal(t, "世界卫生组织五项身心健康指标（WHO-5）", q.Title)
	require.Equal(t, "1", q.Item[0].Prefix)
	require.Equal(t, "5", q.Item[0].AnswerOption[5].ValueCoding.Display)
	require.Len(t, q.Item, 5+2)
}

func TestObservation(t *testing.T) {
	d := get(t, "phq-9")
	r := fhir.Response{ID: uuid, Study: "S1", PatientID: "P001", VisitID: "V02", Definition: d, Language: "en", Authored: "2026-11-26T20:03:11+08:00"}
	made := time.Date(2026, 11, 26, 12, 3, 12, 5000, time.UTC)
	score := func(answers string) *fhir.Observation {
		var err error
		r.Answers, err = instrument.ReadAnswers([]byte(answers))
		require.NoError(t, err)
		scored, err := instrument.Score(d, r.Answers)
		require.NoError(t, err)
		return fhir.NewObservation(r, 1, scored.Scores[0], made)
	}
	o := score(`{"1":2,"2":2,"3":2,"4":2,"5":2,"6":1,"7":1}`)
	whole := encode(t, o)
	o.ReferenceRange = o.ReferenceRange[:1]
	require.JSONEq(t, `{"resourceType":"Observation","id":"`+o.ID+`",
		"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/workflow-researchStudy","valueReference":{"type":"ResearchStudy","identifier":{"system":"urn:casepress:study","value":"S1"}}}],
		"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"survey","display":"Survey"}]}],
		"code":{"coding":[{"system":"http://loinc.org","code":"44261-6"},{"system":"urn:casepress:questionnaire:phq-9:scores","code":"total"}],"text":"Total",
			"_text":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/translation","extension":[{"url":"lang","valueCode":"zh-CN"},{"url":"content","valueString":"总分"}]}]}},
		"subject":{"type":"Patient","identifier":{"system":"urn:casepress:patient","value":"P001"}},
		"encounter":{"type":"Encounter","identifier":{"system":"urn:casepress:visit","value":"V02"}},
		"effectiveDateTime":"2026-11-26T20:03:11+08:00","issued":"2026-11-26T12:03:12.000005Z",
		"performer":[{"type":"Patient","identifier":{"system":"urn:casepress:patient","value":"P001"}}],
		"valueQuantity":{"value":15,"unit":"{score}","system":"http://unitsofmeasure.org","code":"{score}"},
		"interpretation":[{"coding":[{"system":"urn:casepress:questionnaire:phq-9:bands:total","code":"moderately-severe"}],"text":"moderately severe",
			"_text":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/translation","extension":[{"url":"lang","valueCode":"zh-CN"},{"url":"content","valueString":"中重度"}]}]}}],
		"note":[{"text":"7 answered, 2 missing; imputed 8, 9; exact 108/7."}],
		"method":{"coding":[{"system":"urn:casepress:definition-sha256","code":"`+d.SHA256+`"}],"text":"phq-9 version 1, sha256 `+d.SHA256+`"},
		"referenceRange":[{"low":{"value":0,"unit":"{score}","system":"http://unitsofmeasure.org","code":"{score}"},
			"high":{"value":4,"unit":"{score}","system":"http://unitsofmeasure.org","code":"{score}"},"text":"none or minimal"}],
		"derivedFrom":[{"reference":"QuestionnaireResponse/`+uuid+`"}]}`, string(encode(t, o)))
	require.Equal(t, 5, strings.Count(string(whole), `"high"`), "all bands are there")

	none := score(`{"1":2}`)
	require.Nil(t, none.ValueQuantity)
	require.Empty(t, none.Interpretation)
	require.Equal(t, "8 of 9 answers are missing; at most 2 may be", none.DataAbsentReason.Text)
	require.Equal(t, "unknown", none.DataAbsentReason.Coding[0].Code)

	require.Equal(t, o.ID, none.ID, "the same score of the same revision by the same rule")
	scored, err := instrument.Score(d, r.Answers)
	require.NoError(t, err)
	other := scored.Scores[0]
	other.Rule.SHA256 = strings.Repeat("0", 64)
	ids := map[string]bool{o.ID: true}
	for _, id := range []string{
		fhir.NewObservation(r, 2, scored.Scores[0], made).ID, fhir.NewObservation(r, 1, scored.Scores[1], made).ID, fhir.NewObservation(r, 1, other, made).ID,
	} {
		require.False(t, ids[id])
		ids[id] = true
	}
	r.ID = "QR_1" // an id that FHIR does not have
	require.Equal(t, "QR_1", fhir.NewObservation(r, 1, scored.Scores[0], made).DerivedFrom[0].Identifier.Value)
	require.Empty(t, fhir.NewQuestionnaireResponse(r, nil).ID)
}

func TestAdverseEvent(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 26, 12, minute, 0, 500_000_000, time.UTC) }
	reported := fhir.Case{
		ID: "AE-1", Study: "S1", Site: "01", PatientID: "P001", VisitID: "V02", Description: "<Rash> on both arms.\n皮疹", Reporter: "Nurse Wang",
		Onset: at(0), Known: at(1), Received: at(2), State: "acknowledged", Decision: "sae",
		Seriousness: []fhir.Criterion{{Code: "C83052", Name: "requires inpatient hospitalisation"}, {Code: "C82521", Name: "other medically important condition"}},
	}
	write(t, "AdverseEvent-reported", fhir.NewAdverseEvent(reported))
	require.JSONEq(t, `{"resourceType":"AdverseEvent","id":"AE-1","actuality":"actual","event":{"text":"<Rash> on both arms.\n皮疹"},
		"extension":[{"url":"urn:casepress:case-state","valueCode":"acknowledged"},{"url":"urn:casepress:decision","valueCode":"sae"},{"url":"urn:casepress:site","valueString":"01"}],
		"subject":{"type":"Patient","identifier":{"system":"urn:casepress:patient","value":"P001"}},
		"encounter":{"type":"Encounter","identifier":{"system":"urn:casepress:visit","value":"V02"}},
		"study":[{"type":"ResearchStudy","identifier":{"system":"urn:casepress:study","value":"S1"}}],
		"date":"2026-11-26T12:00:00.500000Z","detected":"2026-11-26T12:01:00.500000Z","recordedDate":"2026-11-26T12:02:00.500000Z","recorder":{"display":"Nurse Wang"},
		"seriousness":{"coding":[
			{"system":"http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl","code":"C83052","display":"requires inpatient hospitalisation"},
			{"system":"http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl","code":"C82521","display":"other medically important condition"}]}}`,
		string(encode(t, fhir.NewAdverseEvent(reported))))

	flag := fhir.Case{ID: "flag-1", PatientID: "P001", Flag: "phq-9-item-9", Response: "QR-1", Revision: 2, Known: at(1), Received: at(1), State: "open"}
	write(t, "AdverseEvent-flag", fhir.NewAdverseEvent(flag))
	require.JSONEq(t, `{"resourceType":"AdverseEvent","id":"flag-1","actuality":"actual","event":{"coding":[{"system":"urn:casepress:flag","code":"phq-9-item-9"}]},
		"extension":[{"url":"urn:casepress:case-state","valueCode":"open"},{"url":"urn:casepress:derived-from","valueReference":{"reference":"QuestionnaireResponse/QR-1/_history/2"}}],
		"subject":{"type":"Patient","identifier":{"system":"urn:casepress:patient","value":"P001"}},
		"detected":"2026-11-26T12:01:00.500000Z","recordedDate":"2026-11-26T12:01:00.500000Z"}`, string(encode(t, fhir.NewAdverseEvent(flag))))
	flag.Response = "QR_1" // FHIR has no such id
	write(t, "AdverseEvent-flag-native", fhir.NewAdverseEvent(flag))
	require.Contains(t, string(encode(t, fhir.NewAdverseEvent(flag))), `"identifier"`)
}
