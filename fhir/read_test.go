package fhir_test

import (
	"cmp"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/fhir"
	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

// whole is a response with its total, which HL7's guide on structured data capture publishes as 13; the
// answers add up to 10.
const whole = `{"resourceType":"QuestionnaireResponse","id":"` + uuid + `","language":"en",
 "extension":[{"url":"http://hl7.org/fhir/StructureDefinition/workflow-researchStudy","valueReference":{"reference":"ResearchStudy/S1"}},
  {"url":"http://example.org/unknown","valueAge":{"value":3}}],
 "questionnaire":"urn:casepress:questionnaire:phq-9|1","status":"completed",
 "subject":{"reference":"Patient/P001","display":"P."},"encounter":{"identifier":{"value":"V02"}},
 "authored":"2026-11-26T20:03:11+08:00","source":{"reference":"Patient/P001"},
 "item":[
  {"linkId":"/44250-9","text":"Little interest","answer":[{"valueCoding":{"system":"http://loinc.org","code":"LA6568-5","display":"Not at all"}}]},
  {"linkId":"/44255-8","answer":[{"valueCoding":{"code":"LA6568-5"}}]},
  {"linkId":"/44259-0","answer":[{"valueInteger":0}]},
  {"linkId":"/44254-1","answer":[{"valueDecimal":1.0}]},
  {"linkId":"/44251-7","answer":[{"valueCoding":{"system":"urn:casepress:questionnaire:phq-9:options:frequency","code":"2"}}]},
  {"linkId":"/44258-2","answer":[{"valueCoding":{"code":"1"}}]},
  {"linkId":"/44252-5","answer":[{"id":"x","valueInteger":3,"_valueInteger":{"id":"y"}}]},
  {"linkId":"/44253-3","answer":[{"valueInteger":2}]},
  {"linkId":"/44260-8","answer":[{"valueInteger":1}]},
  {"linkId":"/44261-6","answer":[{"valueDecimal":13}]},
  {"linkId":"instruction"}
 ]}`

func TestReadsWhatOthersWrite(t *testing.T) {
	r := read(t, []byte(whole), uuid)
	d := get(t, "phq-9")
	require.Equal(t, fhir.Response{
		ID: uuid, Study: "S1", PatientID: "P001", VisitID: "V02", Definition: r.Definition, Language: "en", Authored: "2026-11-26T20:03:11+08:00",
		Answers: instrument.Answers{"1": {}, "2": {}, "3": {}, "4": {Value: 1}, "5": {Value: 2}, "6": {Value: 1}, "7": {Value: 3}, "8": {Value: 2}, "9": {Value: 1}},
		Claims:  instrument.Claims{"total": "13"},
	}, r)
	require.Equal(t, d.Identity, r.Definition.Identity)
	scored, err := instrument.Score(r.Definition, r.Answers)
	require.NoError(t, err)
	require.Equal(t, []instrument.Mismatch{{Score: "total", Claimed: "13", Computed: "10"}}, instrument.Compare(scored, r.Claims))
}

// TestReadsTheExample reads the response in docs/fhir.md.
func TestReadsTheExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/fhir.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(doc), "```json\n")
	require.True(t, found)
	example, _, _ := strings.Cut(rest, "```")
	r := read(t, []byte(example), uuid)
	require.Equal(t, instrument.Answers{"1": {Value: 1}, "2": {Value: 2}}, r.Answers)
	require.Equal(t, "S1", r.Study)
}

// change replaces a part of the whole, which must be there once.
func change(t testing.TB, old, with string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(whole, old), old)
	return strings.Replace(whole, old, with, 1)
}

func TestReadsMissingAnswersAndReasons(t *testing.T) {
	const first = `"answer":[{"valueCoding":{"system":"http://loinc.org","code":"LA6568-5","display":"Not at all"}}]`
	const reason = `"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"asked-declined"}]`
	for _, with := range []string{
		`"definition":"http://example.org"`,
		reason,
		`"answer":[{` + reason + `}]`,
		`"answer":[{"valueCoding":{` + reason + `}}]`,
		`"answer":[{"_valueInteger":{` + reason + `}}]`,
		`"answer":[{"valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"asked-declined"}}]`,
		`"answer":[{"valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"asked-declined"}}],` + reason,
	} {
		r := read(t, []byte(change(t, first, with)), uuid)
		require.NotContains(t, r.Answers, "1", with)
		require.Len(t, r.Answers, 8)
	}

	// A claim that there is no score.
	r := read(t, []byte(change(t, `"answer":[{"valueDecimal":13}]`, reason)), uuid)
	require.Equal(t, instrument.Claims{"total": ""}, r.Claims)
	// An item of a score without an answer claims nothing.
	r = read(t, []byte(change(t, `,"answer":[{"valueDecimal":13}]`, "")), uuid)
	require.Empty(t, r.Claims)
	for _, with := range []string{`{"valueInteger":13}`, `{"valueQuantity":{"value":13,"unit":"points"}}`} {
		r = read(t, []byte(change(t, `{"valueDecimal":13}`, with)), uuid)
		require.Equal(t, instrument.Claims{"total": "13"}, r.Claims)
	}

	// Nothing was answered at all: FHIR has no empty lists.
	before, _, found := strings.Cut(whole, ",\n \"item\"")
	require.True(t, found)
	require.Empty(t, read(t, []byte(before+"}"), uuid).Answers)

	// The form's language, if it has one and the response does not say.
	r = read(t, []byte(change(t, `"language":"en",`, "")), uuid)
	require.Equal(t, "en", r.Language)
	r = read(t, []byte(change(t, `"authored":"2026-11-26T20:03:11+08:00"`, `"authored":"2026-11-26T12:03:11.250Z"`)), uuid)
	require.Equal(t, "2026-11-26T12:03:11.250Z", r.Authored)
}

func TestReadsNotAsked(t *testing.T) {
	for _, item := range []string{
		`{"linkId":"4","answer":[{"valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"not-applicable"}}]}`,
		`{"linkId":"4","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"not-asked"}]}`,
	} {
		r := read(t, []byte(`{"resourceType":"QuestionnaireResponse","id":"a","questionnaire":"urn:casepress:questionnaire:phq-15|1","status":"completed",
			"subject":{"identifier":{"value":"P1"}},"authored":"2026-11-26T20:03:11+08:00","item":[`+item+`]}`), "a")
		require.Equal(t, instrument.Answers{"4": {NotAsked: true}}, r.Answers)
	}
}

// failure is the outcome of problems.
func failure(problems []jsonfile.Problem) *fhir.OperationOutcome {
	var faults []fhir.Fault
	for _, p := range problems {
		faults = append(faults, fhir.Fault{Pointer: cmp.Or(p.Pointer, "/"), Detail: p.Message})
	}
	return fhir.NewFailure(400, "invalid-input", "", "en", "QuestionnaireResponse", faults)
}

func TestRefuses(t *testing.T) {
	const nine = `{"linkId":"/44260-8","answer":[{"valueInteger":1}]}`
	answer := func(a string) string { return `{"linkId":"/44260-8","answer":[` + a + `]}` }
	const reason = `{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"asked-declined"}`
	const options = "it has http://loinc.org|LA6568-5, http://loinc.org|LA6569-3, http://loinc.org|LA6570-1, http://loinc.org|LA6571-9"
	const amends = `"extension":[{"url":"urn:casepress:amends","extension":[{"url":"revision","valueInteger":1},{"url":"reason","valueString":"mistyped"}]},`
	const at = "QuestionnaireResponse"
	const answer9 = "QuestionnaireResponse.item[8].answer[0]"
	for _, c := range []struct{ old, with, expression, diagnostics string }{
		{"\n ]}", "\n ]", "QuestionnaireResponse", "ends before its object is closed"},
		{`"language":"en"`, `"language":"en","language":"en"`, at + ".language", "language: comes twice; keep one; it stands first in line 1, column 85"},
		{`{"valueDecimal":1.0}`, `{"valueDecimal":1.0,"valueDecimal":2}`, at + ".item[3].answer[0].value", "comes twice; keep one"},
		{`"language":"en"`, `"Language":"en"`, at + ".Language", `Language: unknown member; write "language"`},
		{`"language":"en"`, `"language":"english!"`, at + ".language", `must be a BCP 47 language tag`},
		{`"language":"en"`, `"implicitRules":"http://example.org"`, at + ".implicitRules", "changes the meaning of the resource"},
		{`"language":"en"`, `"modifierExtension":[{"url":"x"}]`, at + ".modifierExtension", "changes the meaning of the resource"},
		{`"resourceType":"QuestionnaireResponse"`, `"resourceType":"Observation"`, at + ".resourceType", `must be "QuestionnaireResponse", not "Observation"`},
		{`"id":"` + uuid + `"`, `"id":"another"`, at + ".id", `is "another", and the address says "` + uuid + `"; they must be the same`},
		{`"id":"` + uuid + `",`, ``, at + ".id", `"id" is missing`},
		{`phq-9|1`, `phq-9|2`, at + ".questionnaire", `questionnaire: there is no version "2" of phq-9; the latest is 1`},
		{`phq-9|1`, `phq-9`, at + ".questionnaire", "questionnaire: names no version; add the version of the Questionnaire that was answered: urn:casepress:questionnaire:phq-9|1"},
		{`phq-9|1`, `phq-99|1`, at + ".questionnaire", `there is no instrument "phq-99"`},
		{`urn:casepress:questionnaire:phq-9|1`, `http://loinc.org/q/44249-1`, at + ".questionnaire", "such as urn:casepress:questionnaire:phq-9|1, not \"http://loinc.org/q/44249-1\""},
		{`"status":"completed"`, `"status":"in-progress"`, at + ".status", `must be one of completed, amended, not "in-progress"`},
		{`"status":"completed"`, `"status":"amended"`, at + ".status", "an amendment needs the extension urn:casepress:amends"},
		{`"extension":[`, amends, at + ".status", "must be amended, as there is the extension"},
		{`{"url":"http://example.org/unknown","valueAge":{"value":3}}`, `{"url":"urn:casepress:amends","extension":[{"url":"revision","valueInteger":0}]}`,
			at + ".extension[1].extension[0].value", "must be a whole number from 1 to 999"},
		{`{"url":"http://example.org/unknown","valueAge":{"value":3}}`, `{"valueAge":{"value":3}}`, at + ".extension[1].url", `"url" is missing`},
		{`{"url":"http://example.org/unknown","valueAge":{"value":3}}`, `{"url":"http://hl7.org/fhir/StructureDefinition/workflow-researchStudy"}`, at + ".extension[1]", "comes twice"},
		{`"valueReference":{"reference":"ResearchStudy/S1"}`, `"valueString":"S1"`, at + ".extension[0]", `"valueReference" is missing`},
		{`{"reference":"Patient/P001","display":"P."}`, `{"display":"P."}`, at + ".subject", `names nobody; give {"identifier": {"value": …}} or {"reference": "Patient/…"}`},
		{`{"reference":"Patient/P001","display":"P."}`, `{"reference":"http://example.org/Patient/P001"}`, at + ".subject.reference", `must be "Patient/" and an id`},
		{`{"reference":"Patient/P001","display":"P."}`, `{"identifier":{"value":"P 1"}}`, at + ".subject.identifier.value", "must be 1 to 64 of"},
		{`"2026-11-26T20:03:11+08:00"`, `"2026-11-26"`, at + ".authored", `must be a time with its zone such as "2026-11-26T20:03:11+08:00", not "2026-11-26"`},
		{`"2026-11-26T20:03:11+08:00"`, `"2026-11-26t20:03:11z"`, at + ".authored", `must be "2026-11-26T20:03:11Z"`},
		{`"2026-11-26T20:03:11+08:00"`, `"2026-11-26T20:03:11+23:00"`, at + ".authored", "must be in a zone up to 14:00 from UTC"},
		{`"2026-11-26T20:03:11+08:00"`, `"0000-11-26T20:03:11+08:00"`, at + ".authored", "must be in a year from 0001 on"},
		{`"2026-11-26T20:03:11+08:00"`, `"2026-11-26T20:03:11,5Z"`, at + ".authored", "must be a time with its zone"},
		{`"2026-11-26T20:03:11+08:00"`, `"2026-02-30T20:03:11Z"`, at + ".authored", "must be a time with its zone"},
		{`{"linkId":"instruction"}`, `{"linkId":"instruction","answer":[{"valueInteger":1}]}`, at + ".item[10].answer", "instruction is a text and takes no answer"},
		{`{"linkId":"instruction"}`, `{"linkId":"/44250-9"}`, at + ".item[10].linkId", `"/44250-9" comes twice; keep one`},
		{`{"linkId":"instruction"}`, `{"linkId":"/44250"}`, at + ".item[10].linkId", `"/44250" is no linkId of phq-9 version 1; it has /44250-9, /44255-8`},
		{`{"linkId":"instruction"}`, `{"text":"a"}`, at + ".item[10].linkId", `"linkId" is missing`},
		{`{"linkId":"instruction"}`, `{"linkId":"instruction","item":[{"linkId":"/44250-9"}]}`, at + ".item[10].item", "has no items within items"},
		{`{"linkId":"instruction"}`, `{"linkId":"instruction","we ird/~` + "`" + `\"é":1}`, at + ".item[10].`we ird/~\\`\\\\\"é`", "unknown member"},
		{nine, answer(``), "QuestionnaireResponse.item[8].answer", "has 0 items"},
		{nine, answer(`{}`), answer9, "has no value; leave the answer out if there was none"},
		{nine, answer(`{"valueInteger":1},{"valueInteger":1}`), "QuestionnaireResponse.item[8].answer", "has 2 answers; the item takes one"},
		{nine, answer(`{"valueInteger":1,"valueDecimal":1}`), answer9 + ".value", "is a second value; an answer has one"},
		{nine, answer(`{"valueInteger":1,"extension":[` + reason + `]}`), answer9 + ".value", "is a value beside a reason why there is none"},
		{nine, answer(`{"valueInteger":1,"item":[{"linkId":"x"}]}`), answer9 + ".item", "has no items within answers"},
		{nine, answer(`{"valueInteger":4}`), answer9 + ".value", "4 is no option of this item; " + options},
		{nine, answer(`{"valueInteger":1.0}`), answer9 + ".value", "must be a whole number, not 1.0"},
		{nine, answer(`{"valueInteger":"1"}`), answer9 + ".value", "must be a whole number, not a string"},
		{nine, answer(`{"valueDecimal":1.5}`), answer9 + ".value", "1.5 is no option of this item; " + options},
		{nine, answer(`{"valueDecimal":1e0}`), answer9 + ".value", "without an exponent"},
		{nine, answer(`{"valueDecimal":"1"}`), answer9 + ".value", "not a string"},
		{nine, answer(`{"valueString":"1"}`), answer9 + ".value", "an answer to this item is a valueCoding, or the option's value as a valueInteger, not a valueString"},
		{nine, answer(`{"valueCoding":{"system":"http://loinc.org","code":"LA6572-7"}}`), answer9 + ".value", "http://loinc.org|LA6572-7 is no option of this item; " + options},
		{nine, answer(`{"valueCoding":{"system":"http://snomed.info/sct","code":"LA6568-5"}}`), answer9 + ".value", "is no option of this item"},
		{nine, answer(`{"valueCoding":{"system":"http://loinc.org","code":"1"}}`), answer9 + ".value", "http://loinc.org|1 is no option of this item"},
		{nine, answer(`{"valueCoding":{"display":"Not at all"}}`), answer9 + ".value", "| is no option of this item"},
		{nine, answer(`{"valueCoding":{"code":1}}`), answer9 + ".value.code", "must be a string, not a number"},
		{nine, answer(`{"valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"not-applicable"}}`), answer9 + ".value", "this item is asked of everybody"},
		{nine, answer(`{"valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"why"}}`), answer9 + ".value.code", "must be one of unknown, "},
		{nine, answer(`{"valueCoding":{"system":"http://loinc.org","code":"LA6571-9","extension":[` + reason + `]}}`), answer9 + ".value.code", "is a code beside a reason why there is none"},
		{nine, answer(`{"extension":[` + reason + `],"_valueInteger":{"extension":[` + strings.Replace(reason, "asked-declined", "masked", 1) + `]}}`),
			answer9 + ".value.extension[0]", "is another reason than asked-declined; keep one of them"},
		{nine, answer(`{"valueInteger":null}`), answer9 + ".value", "must be a whole number, not null"},
		{`{"valueDecimal":13}`, `{"valueDecimal":1e3}`, at + ".item[9].answer[0].value", "without an exponent"},
		{`{"valueDecimal":13}`, `{"valueQuantity":{"value":13,"comparator":"<"}}`, at + ".item[9].answer[0].value.comparator", "changes the meaning"},
		{`{"valueDecimal":13}`, `{"valueString":"13"}`, at + ".item[9].answer[0].value", "a score is a valueDecimal, valueInteger or valueQuantity, not a valueString"},
	} {
		ds := definitions(t)
		document := []byte(change(t, c.old, c.with))
		_, problems := fhir.ReadQuestionnaireResponse(document, uuid, func(string) *instrument.Definitions { return ds })
		require.NotEmpty(t, problems, c.with)
		o := failure(problems)
		found := false
		for _, issue := range o.Issue {
			require.Equal(t, "error", issue.Severity)
			found = found || strings.Contains(issue.Diagnostics, c.diagnostics) && len(issue.Expression) == 1 && issue.Expression[0] == c.expression
		}
		require.True(t, found, "%s\nwanted %s: %s\nis %s", c.with, c.expression, c.diagnostics, encode(t, o))
	}
}

// TestRefusesToGuessTheLanguage holds that the language must be said where a form has no wording or more than one.
func TestRefusesToGuessTheLanguage(t *testing.T) {
	ds := definitions(t)
	for _, id := range []string{"who-5", "2_made.up"} {
		d := get(t, id)
		document := encode(t, fhir.NewQuestionnaireResponse(fhir.Response{ID: uuid, PatientID: "P1", Definition: d, Authored: "2026-11-26T20:03:11+08:00"}, nil))
		_, problems := fhir.ReadQuestionnaireResponse(document, uuid, func(string) *instrument.Definitions { return ds })
		require.Len(t, problems, 1)
		require.Contains(t, problems[0].Message, `"language" is missing`)
	}
}

// TestRefusesOnce holds that one mistake is one issue.
func TestRefusesOnce(t *testing.T) {
	ds := definitions(t)
	for _, c := range []string{
		change(t, `"valueInteger":3,`, `"valueInteger":[],`),
		change(t, `"LA6568-5","display":"Not at all"`, `"x"`),
		change(t, `{"valueDecimal":13}`, `{"valueDecimal":"13"}`),
		change(t, `{"valueDecimal":13}`, `{"valueQuantity":{}}`),
		change(t, `{"valueDecimal":13}`, `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"why"}]}`),
		change(t, `"status":"completed"`, `"status":"stopped"`),
	} {
		_, problems := fhir.ReadQuestionnaireResponse([]byte(c), uuid, func(string) *instrument.Definitions { return ds })
		require.Len(t, problems, 1)
	}
}

// TestLargestAndDeepest holds that neither size nor depth does harm.
func TestLargestAndDeepest(t *testing.T) {
	ds := definitions(t)
	reject := func(document string) string {
		_, problems := fhir.ReadQuestionnaireResponse([]byte(document), uuid, func(string) *instrument.Definitions { return ds })
		require.Len(t, problems, 1)
		return problems[0].Message
	}
	require.Contains(t, reject(whole+strings.Repeat(" ", fhir.MaxResponseBytes)), "is larger than "+strconv.Itoa(fhir.MaxResponseBytes)+" bytes")
	require.Contains(t, reject(change(t, `{"linkId":"instruction"}`, strings.Repeat(`{"linkId":"a","item":[`, 2000)+strings.Repeat("]}", 2000))), "deeper than 32")
	require.Contains(t, reject(""), "is empty")
	require.Contains(t, reject("[]"), "must be an object, not an array")
}

func FuzzReadQuestionnaireResponse(f *testing.F) {
	f.Add([]byte(whole))
	for _, d := range definitions(f).All() {
		r := fhir.Response{ID: uuid, PatientID: "P1", Definition: d, Language: "en", Authored: "2026-11-26T20:03:11+08:00",
			Answers: instrument.Answers{d.Items[0].ID: {Value: d.Items[0].Options[0].Value}}, Claims: instrument.Claims{d.Scores[0].ID: ""}}
		content, err := json.Marshal(fhir.NewQuestionnaireResponse(r, nil))
		require.NoError(f, err)
		f.Add(content)
	}
	ds := definitions(f)
	all := func(string) *instrument.Definitions { return ds }
	f.Fuzz(func(t *testing.T, document []byte) {
		r, problems := fhir.ReadQuestionnaireResponse(document, uuid, all)
		if len(problems) > 0 {
			encode(t, failure(problems))
			return
		}
		_, err := instrument.Score(r.Definition, r.Answers)
		require.NoError(t, err, "whatever is read can be scored")
		require.NotEmpty(t, r.PatientID)
		require.NotEmpty(t, r.Language)
		again, problems := fhir.ReadQuestionnaireResponse(encode(t, fhir.NewQuestionnaireResponse(r, nil)), uuid, all)
		require.Empty(t, problems)
		require.Len(t, again.Claims, len(r.Claims))
		if len(r.Claims) == 0 {
			again.Claims = r.Claims
		}
		require.Equal(t, r, again)
	})
}
