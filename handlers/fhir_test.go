package handlers_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const fhirID = "0b5ce0c8-9f4e-4f5a-8f0d-3d4a9f8f6f11"

// fhirQR1 is qr1 in FHIR, with an item more that claims a total of 13.
func fhirQR1() string {
	const text = `{"resourceType":"QuestionnaireResponse","id":"` + fhirID + `","language":"zh-CN",
 "extension":[{"url":"http://hl7.org/fhir/StructureDefinition/workflow-researchStudy","valueReference":{"identifier":{"value":"S1"}}}],
 "questionnaire":"urn:casepress:questionnaire:phq-9|1","status":"completed","subject":{"reference":"Patient/P001"},"encounter":{"identifier":{"value":"V02"}},
 "authored":"%s","item":[%s,{"linkId":"/44261-6","answer":[{"valueDecimal":13}]}]}`
	var items []string
	for i, link := range strings.Fields("/44250-9 /44255-8 /44259-0 /44254-1 /44251-7 /44258-2 /44252-5 /44253-3 /44260-8") {
		items = append(items, fmt.Sprintf(`{"linkId":%q,"answer":[{"valueInteger":%d}]}`, link, []int{0, 0, 0, 1, 2, 1, 3, 2, 1}[i]))
	}
	return fmt.Sprintf(text, tonight, strings.Join(items, ","))
}

func (s *service) putFHIR(id, body string, headers ...string) answer {
	s.Helper()
	if !slices.Contains(headers, "Content-Type") {
		headers = append(headers, "Content-Type", "application/fhir+json")
	}
	return s.do(s.request(http.MethodPut, "/fhir/R4/QuestionnaireResponse/"+id, strings.NewReader(body), headers...))
}

// issue returns the issue whose details have a code.
func (a answer) issue(code string) map[string]any {
	a.Helper()
	for _, one := range a.get("issue").([]any) {
		issue := one.(map[string]any)
		details, ok := issue["details"].(map[string]any)
		if ok && details["coding"].([]any)[0].(map[string]any)["code"] == code {
			return issue
		}
	}
	require.Fail(a, "no issue", "%s in %s", code, a.body)
	return nil
}

// scored waits until the response is.
func (s *service) scored(id string) answer {
	s.Helper()
	done := s.get("/questionnaire-responses/" + id + "?wait=20s").is(200)
	require.Equal(s, "completed", done.get("status"))
	return done
}

func TestFHIRQuestionnaireResponse(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := fhirQR1()
	first := s.putFHIR(fhirID, body).is(http.StatusCreated)
	require.Equal(t, "/fhir/R4/QuestionnaireResponse/"+fhirID+"/_history/1", first.Header.Get("Location"))
	require.Equal(t, `W/"1"`, first.Header.Get("ETag"))
	require.Equal(t, "application/fhir+json", first.Header.Get("Content-Type"))
	receipt := first.get("extension").([]any)[0].(map[string]any)
	require.Equal(t, "urn:casepress:receipt", receipt["url"])
	require.Equal(t, map[string]any{"url": "sha256", "valueString": digestOf(body)}, receipt["extension"].([]any)[0])
	require.Equal(t, "请拨打 0800 123。", first.issue("crisis-text")["details"].(map[string]any)["text"], "in the patient's language")
	require.Equal(t, "raised by item 9 with 1; urgent: true", first.issue("phq-9-item-9")["diagnostics"])
	require.Equal(t, "information", first.get("issue").([]any)[0].(map[string]any)["severity"])

	again := s.putFHIR(fhirID, body).is(http.StatusCreated)
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	require.Equal(t, receipt, again.get("extension").([]any)[0])
	require.Equal(t, first.get("issue").([]any)[1:], again.get("issue").([]any)[1:], "flags and crisis text again")
	conflict := s.putFHIR(fhirID, strings.Replace(body, `"valueDecimal":13`, `"valueDecimal":10`, 1)).is(http.StatusConflict)
	require.Equal(t, "conflict", conflict.issue("id-conflict")["code"])

	done := s.scored(fhirID)
	require.Equal(t, []any{map[string]any{"score": "total", "claimed": float64(13), "computed": float64(10)}}, done.get("mismatches"), "a claim proves nothing")
	require.Equal(t, "P001", done.get("patientId"))
	require.Equal(t, "V02", done.get("visitId"))
	require.Equal(t, "zh-CN", done.get("language"))
	require.Len(t, done.get("adverseEvents"), 1)
	require.Equal(t, "application/fhir+json", done.get("original.mediaType"))
	require.Equal(t, body, string(s.get(done.get("original.url").(string)).is(200).body))

	for _, path := range []string{"", "/_history/1"} {
		got := s.get("/fhir/R4/QuestionnaireResponse/" + fhirID + path).is(200)
		require.Equal(t, body, string(got.body), "the bytes as they came")
		require.Equal(t, `W/"1"`, got.Header.Get("ETag"))
		s.get("/fhir/R4/QuestionnaireResponse/"+fhirID+path, "If-None-Match", `W/"1"`).is(http.StatusNotModified)
	}
	require.Equal(t, "not-found", s.get("/fhir/R4/QuestionnaireResponse/" + fhirID + "/_history/2").is(404).issue("submission-not-found")["code"])
	s.get("/fhir/R4/QuestionnaireResponse/" + fhirID + "/_history/x").is(400)
	s.get("/fhir/R4/QuestionnaireResponse/none").is(404)

	bundle := s.get("/fhir/R4/Observation?derived-from=QuestionnaireResponse/" + fhirID).is(200)
	require.Equal(t, "searchset", bundle.get("type"))
	require.Equal(t, float64(2), bundle.get("total"))
	total := bundle.get("entry").([]any)[0].(map[string]any)["resource"].(map[string]any)
	require.Equal(t, float64(10), total["valueQuantity"].(map[string]any)["value"])
	require.Equal(t, "44261-6", total["code"].(map[string]any)["coding"].([]any)[0].(map[string]any)["code"])
	require.Equal(t, []any{map[string]any{"reference": "QuestionnaireResponse/" + fhirID}}, total["derivedFrom"])
	require.Equal(t, bundle.body, s.get("/fhir/R4/Observation?derived-from="+fhirID+"&_format=json").is(200).strip("&_format=json", "QuestionnaireResponse/"))
	s.get("/fhir/R4/Observation").is(400).issue("invalid-input")
	s.get("/fhir/R4/Observation?derived-from=none").is(404)
	s.get("/fhir/R4/Observation?subject=P001").is(400)
}

// strip returns a body with the address of the search as it would be by the long form of its reference.
func (a answer) strip(rest, prefix string) []byte {
	body := strings.Replace(string(a.body), rest, "", 1)
	return []byte(strings.Replace(body, "derived-from=", "derived-from="+prefix, 1))
}

func TestFHIRAmendment(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := fhirQR1()
	amend := func(revision int) string {
		with := fmt.Sprintf(`"extension":[{"url":"urn:casepress:amends","extension":[{"url":"revision","valueInteger":%d},{"url":"reason","valueString":"mistyped"}]},`, revision)
		amended := strings.Replace(body, `"extension":[`, with, 1)
		amended = strings.Replace(amended, `"status":"completed"`, `"status":"amended"`, 1)
		return strings.Replace(amended, `{"linkId":"/44260-8","answer":[{"valueInteger":1}]}`, `{"linkId":"/44260-8","answer":[{"valueInteger":0}]}`, 1)
	}
	s.putFHIR(fhirID, amend(1)).is(409).issue("nothing-to-amend")
	s.putFHIR(fhirID, body).is(201)
	s.putFHIR(fhirID, amend(1), "If-Match", `W/"2"`).is(412).issue("precondition-failed")
	s.putFHIR(fhirID, body, "If-Match", `W/"1"`).is(412)
	second := s.putFHIR(fhirID, amend(1), "If-Match", `W/"1"`).is(201)
	require.Equal(t, `W/"2"`, second.Header.Get("ETag"))
	require.Equal(t, "true", s.putFHIR(fhirID, amend(1)).is(201).Header.Get("Idempotency-Replayed"))
	s.putFHIR(fhirID, strings.Replace(amend(1), "mistyped", "again", 1)).is(409).issue("revision-conflict")
	s.putFHIR(fhirID, amend(5)).is(409).issue("revision-conflict")
	other := s.putFHIR(fhirID, strings.Replace(amend(2), "Patient/P001", "Patient/P002", 1)).is(400)
	require.Equal(t, []any{"QuestionnaireResponse.subject"}, other.issue("invalid-input")["expression"])

	require.Equal(t, float64(2), s.scored(fhirID).get("revision"))
	require.Equal(t, amend(1), string(s.get("/fhir/R4/QuestionnaireResponse/"+fhirID).is(200).body))
	require.Equal(t, body, string(s.get("/fhir/R4/QuestionnaireResponse/"+fhirID+"/_history/1").is(200).body))
	total := s.get("/fhir/R4/Observation?derived-from=" + fhirID).is(200).get("entry").([]any)[0].(map[string]any)["resource"].(map[string]any)
	require.Equal(t, float64(9), total["valueQuantity"].(map[string]any)["value"], "of the latest revision")
}

// A response that came by the native route is a resource, too, and ids are shared.
func TestFHIRShowsNativeResponses(t *testing.T) {
	s := open(t, withStudies(t, s1))
	native := strings.Replace(responseQR1(), `"answers":{`, `"site":"101","answers":{"difficulty":2,`, 1)
	s.send(http.MethodPost, "/questionnaire-responses", native).is(201)
	got := s.get("/fhir/R4/QuestionnaireResponse/QR-1").is(200)
	require.Equal(t, "1", got.get("meta.versionId"))
	require.Equal(t, "urn:casepress:questionnaire:phq-9|1", got.get("questionnaire"))
	require.Equal(t, "P001", got.get("subject.identifier.value"))
	require.Equal(t, "V02", got.get("encounter.identifier.value"))
	require.Len(t, got.get("item"), 11)
	s.putFHIR("QR-1", string(got.body)).is(409).issue("id-conflict")

	// What casepress writes it takes.
	copied := strings.ReplaceAll(string(got.body), "QR-1", "QR-2")
	s.putFHIR("QR-2", copied).is(201)
	first, second := s.scored("QR-1"), s.scored("QR-2")
	for _, same := range []string{"answers", "scores", "mismatches", "flags", "language", "times.authored", "study", "site", "visitId"} {
		require.Equal(t, first.get(same), second.get(same), same)
	}
}

func TestFHIRRefuses(t *testing.T) {
	s := open(t, withStudies(t, s1))
	body := fhirQR1()
	bad := s.putFHIR(fhirID, strings.Replace(body, `"/44259-0"`, `"/x"`, 1)).is(400)
	require.Equal(t, []any{"QuestionnaireResponse.item[2].linkId"}, bad.issue("invalid-input")["expression"])
	require.Contains(t, bad.issue("invalid-input")["diagnostics"], `"/x" is no linkId of phq-9 version 1`)
	site := `"extension":[{"url":"urn:casepress:site","valueString":"102"},`
	bad = s.putFHIR(fhirID, strings.Replace(body, `"extension":[`, site, 1)).is(400)
	require.Equal(t, []any{"QuestionnaireResponse.extension"}, bad.issue("invalid-input")["expression"])
	require.Contains(t, bad.issue("invalid-input")["diagnostics"], "102 is not a site of the study S1")
	require.Equal(t, []any{"QuestionnaireResponse"}, s.putFHIR(fhirID, "").is(400).issue("invalid-input")["expression"])
	require.Nil(t, s.putFHIR("a_b", body).is(400).issue("invalid-input")["expression"])
	s.putFHIR("another", body).is(400)
	require.Equal(t, "not-supported", s.putFHIR(fhirID, body, "Content-Type", "application/fhir+xml").is(415).issue("unsupported-media-type")["code"])
	require.Equal(t, "too-long", s.putFHIR(fhirID, body+strings.Repeat(" ", 64<<10)).is(413).issue("body-too-large")["code"])
	require.Equal(t, "zh-CN", s.putFHIR(fhirID, "{}", "Accept-Language", "zh-CN").is(400).get("language"))
	s.putFHIR(fhirID+"?x=1", body).is(400)
	s.putFHIR(fhirID+"?_format=xml", body).is(400)
	s.putFHIR(fhirID, body, "Content-Digest", "sha-256=:AAAA:").is(400)
	require.Equal(t, "not-supported", s.send(http.MethodPost, "/fhir/R4/QuestionnaireResponse/x", "{}").is(405).issue("method-not-allowed")["code"])
	require.Equal(t, "not-found", s.get("/fhir/R4/Patient/1").is(404).issue("no-such-address")["code"])
	s.get("/questionnaire-responses/"+fhirID).is(404, "submission-not-found")
	s.putFHIR(fhirID+"?_format=json&_pretty=true", body, "Content-Type", "application/json; charset=utf-8").is(201)
}

func TestFHIRQuestionnaires(t *testing.T) {
	s := open(t, withStudies(t, s1))
	q := s.get("/fhir/R4/Questionnaire/phq-9").is(200)
	require.Equal(t, "urn:casepress:questionnaire:phq-9", q.get("url"))
	require.Equal(t, "1", q.get("version"))
	require.Equal(t, "en", q.Header.Get("Content-Language"))
	s.get("/fhir/R4/Questionnaire/phq-9", "If-None-Match", q.Header.Get("ETag")).is(304)
	require.Equal(t, q.body, s.get("/fhir/R4/Questionnaire/phq-9/_history/1?_format=json&_pretty=true").is(200).body)
	require.Equal(t, "not-found", s.get("/fhir/R4/Questionnaire/phq-9/_history/2").is(404).issue("instrument-not-found")["code"])
	s.get("/fhir/R4/Questionnaire/none").is(404)
	s.get("/fhir/R4/Questionnaire/phq-9?study=S1").is(200)
	s.get("/fhir/R4/Questionnaire/phq-9?study=S%201").is(400)
	s.get("/fhir/R4/Questionnaire/phq-9?_format=xml").is(400)
	require.Equal(t, "zh-CN", s.get("/fhir/R4/Questionnaire/who-5", "Accept-Language", "zh").is(200).get("language"), "of a title without wording")

	for query, want := range map[string]int{
		"?url=urn:casepress:questionnaire:phq-9":               1,
		"?url=urn:casepress:questionnaire:phq-9&version=1":     1,
		"?url=urn:casepress:questionnaire:phq-9%7C1":           1,
		"?url=urn:casepress:questionnaire:phq-9%7C1&version=2": 0,
		"?url=urn:casepress:questionnaire:phq-9&version=2":     0,
		"?url=http://loinc.org/q/44249-1&study=S1&version=1":   0,
	} {
		bundle := s.get("/fhir/R4/Questionnaire" + query).is(200)
		require.Equal(t, float64(want), bundle.get("total"), query)
		if want > 0 {
			entry := bundle.get("entry").([]any)[0].(map[string]any)
			require.Equal(t, s.url+"/fhir/R4/Questionnaire/"+entry["resource"].(map[string]any)["id"].(string), entry["fullUrl"])
		}
	}
	s.get("/fhir/R4/Questionnaire").is(400).issue("invalid-input")
	metadata := s.get("/fhir/R4/metadata").is(200)
	require.Equal(t, "4.0.1", metadata.get("fhirVersion"))
	require.Equal(t, s.url+"/fhir/R4", metadata.get("implementation.url"))
	date, err := time.Parse(time.RFC3339, metadata.get("date").(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), date, time.Hour)
	var types []string
	for _, r := range metadata.get("rest").([]any)[0].(map[string]any)["resource"].([]any) {
		types = append(types, r.(map[string]any)["type"].(string))
	}
	slices.Sort(types)
	require.Equal(t, []string{"AdverseEvent", "Observation", "Questionnaire", "QuestionnaireResponse"}, types)
}

// The command of docs/fhir.md works.
func TestFHIRExampleOfTheDocs(t *testing.T) {
	docs, err := os.ReadFile("../docs/fhir.md")
	require.NoError(t, err)
	_, body, found := strings.Cut(string(docs), " -d '")
	require.True(t, found)
	body, _, found = strings.Cut(body, "'\n```")
	require.True(t, found)
	open(t, withStudies(t)).putFHIR("QR-F1", body).is(http.StatusCreated)
}

func TestFHIRAdverseEvent(t *testing.T) {
	s := open(t, withCases(t, s1))
	const body = `{"id":%q,"study":"S1","patientId":"P001","visitId":"V02","description":"a rash","knownAt":%q,"onsetAt":"2026-11-26T08:00:00+14:00","seriousness":["C83052"],"exercise":%t}`
	s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(body, "AE-1", ago(time.Hour), false)).is(201)
	shown := s.get("/fhir/R4/AdverseEvent/AE-1").is(200)
	require.Equal(t, "application/fhir+json", shown.Header.Get("Content-Type"))
	require.Equal(t, "a rash", shown.get("event.text"))
	require.Equal(t, "2026-11-25T18:00:00.000000Z", shown.get("date"))
	require.Equal(t, []any{map[string]any{"system": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl", "code": "C83052", "display": "requires inpatient hospitalisation"}}, shown.get("seriousness.coding"))
	require.Equal(t, "S1", shown.get("study").([]any)[0].(map[string]any)["identifier"].(map[string]any)["value"])
	require.Equal(t, []any{map[string]any{"url": "urn:casepress:case-state", "valueCode": "open"}}, shown.get("extension"))
	s.get("/fhir/R4/AdverseEvent/AE-1", "If-None-Match", shown.Header.Get("ETag")).is(http.StatusNotModified)

	s.postJSON("/adverse-events/AE-1/acknowledge", `{"name":"Dr. Li","decision":"not-serious"}`).is(200)
	after := s.get("/fhir/R4/AdverseEvent/AE-1", "If-None-Match", shown.Header.Get("ETag")).is(200)
	require.Equal(t, []any{
		map[string]any{"url": "urn:casepress:case-state", "valueCode": "acknowledged"}, map[string]any{"url": "urn:casepress:decision", "valueCode": "not-serious"},
	}, after.get("extension"))
	require.Equal(t, shown.get("seriousness"), after.get("seriousness"), "what was reported stays")

	s.putFHIR(fhirID, fhirQR1()).is(http.StatusCreated)
	flag := s.scored(fhirID).get("adverseEvents").([]any)[0].(string)
	raised := s.get("/fhir/R4/AdverseEvent/" + flag).is(200)
	require.Equal(t, "phq-9-item-9", raised.get("event.coding").([]any)[0].(map[string]any)["code"])
	require.Contains(t, string(raised.body), `"reference":"QuestionnaireResponse/`+fhirID+`/_history/1"`)

	s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(body, "X-1", ago(time.Hour), true)).is(201)
	s.get("/fhir/R4/AdverseEvent/X-1").is(404).issue("submission-not-found")
	for _, id := range []string{"none", "AE_1", "%00"} {
		require.Equal(t, "OperationOutcome", s.get("/fhir/R4/AdverseEvent/"+id).get("resourceType"), id)
	}
	s.get("/fhir/R4/AdverseEvent/AE-1?study=S1").is(400)
}
