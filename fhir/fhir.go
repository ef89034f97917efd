// Package fhir implements the mapping between what casepress has and HL7 FHIR R4 (4.0.1): a
// Questionnaire of a definition, a QuestionnaireResponse in both directions, an Observation of a
// score, an AdverseEvent of a case, and what a FHIR client expects around them (CapabilityStatement,
// OperationOutcome, Bundle).
//
// All functions are pure. Nothing here keeps a resource, serves one or knows a route. The structs have
// the elements that casepress writes and no others; every resource that it makes of a definition that
// [instrument.Check] accepts is valid by HAPI's validator, which interop/fhir holds.
//
// What there is of FHIR is in docs/fhir.md: which element is what, what is refused and what is passed
// over. There is no FHIRPath, no terminology, no profile and no resource but these.
//
// Sources: https://hl7.org/fhir/R4, and of the extensions the definitions at the addresses below.
package fhir

import (
	"strings"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

// Version is the version of FHIR.
const Version = "4.0.1"

// MediaType is that of all resources.
const MediaType = "application/fhir+json"

// The extensions that casepress writes and reads, first those of HL7.
const (
	extensionTranslation  = "http://hl7.org/fhir/StructureDefinition/translation"
	extensionOrdinal      = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
	extensionHidden       = "http://hl7.org/fhir/StructureDefinition/questionnaire-hidden"
	extensionControl      = "http://hl7.org/fhir/StructureDefinition/questionnaire-itemControl"
	extensionAbsentReason = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
	extensionStudy        = "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy"
	extensionAmends       = "urn:casepress:amends"
	extensionSite         = "urn:casepress:site"
	extensionState        = "urn:casepress:case-state"
	extensionDecision     = "urn:casepress:decision"
	extensionDerivedFrom  = "urn:casepress:derived-from"
	extensionReceipt      = "urn:casepress:receipt"
)

// The systems of codes and identifiers.
const (
	systemLOINC        = "http://loinc.org"
	systemUCUM         = "http://unitsofmeasure.org"
	systemAbsentReason = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
	systemLanguage     = "urn:ietf:bcp:47"
	systemNCI          = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
	systemControl      = "http://hl7.org/fhir/questionnaire-item-control"
	systemCategory     = "http://terminology.hl7.org/CodeSystem/observation-category"

	systemPatient    = "urn:casepress:patient"
	systemVisit      = "urn:casepress:visit"
	systemStudy      = "urn:casepress:study"
	systemResponse   = "urn:casepress:questionnaire-response"
	systemProblem    = "urn:casepress:problem"
	systemFlag       = "urn:casepress:flag"
	systemWarning    = "urn:casepress:warning"
	systemNotice     = "urn:casepress:notice"
	systemDefinition = "urn:casepress:definition-sha256"

	questionnaires = "urn:casepress:questionnaire:"
)

// CanonicalURL is the address by which a Questionnaire is named in FHIR, without its version. It is a
// name and leads nowhere: it is the same whatever the host of casepress is called.
func CanonicalURL(instrumentID string) string { return questionnaires + instrumentID }

// ResourceID is the id of an instrument's Questionnaire. FHIR's ids have no "_", so there is "-" in
// its place; no two instruments of a study differ in that alone.
func ResourceID(instrumentID string) string { return strings.ReplaceAll(instrumentID, "_", "-") }

// ValidID reports whether id is one that FHIR and casepress both allow: 1 to 64 of A-Z a-z 0-9 . -,
// but neither "." nor "..".
func ValidID(id string) bool { return jsonfile.ValidID(id) && !strings.Contains(id, "_") }

// The code systems of an instrument that has no codes of others.
func optionSystem(instrumentID, set string) string {
	return CanonicalURL(instrumentID) + ":options:" + set
}
func scoreSystem(instrumentID string) string { return CanonicalURL(instrumentID) + ":scores" }
func bandSystem(instrumentID, score string) string {
	return CanonicalURL(instrumentID) + ":bands:" + score
}

// links are the linkIds of a Questionnaire that the definition does not give itself.
type links struct {
	instruction, copyright string
	scores                 []string // by place in Definition.Scores
}

// linksOf chooses linkIds that no item of the definition has. That of a score is its LOINC code after a
// slash, as LHC-Forms writes those of LOINC's panels, or else "score/" and its id.
func linksOf(d *instrument.Definition) links {
	taken := make(map[string]bool, len(d.Items)+len(d.Scores)+2)
	for i := range d.Items {
		taken[d.Items[i].LinkID] = true
	}
	free := func(id string) string {
		for taken[id] {
			id += "-"
		}
		taken[id] = true
		return id
	}
	l := links{instruction: free("instruction"), copyright: free("copyright")}
	for i := range d.Scores {
		id := "score/" + d.Scores[i].ID
		for _, code := range d.Scores[i].Codes {
			if link := "/" + code.Code; code.System == systemLOINC && !taken[link] {
				id = link
				break
			}
		}
		l.scores = append(l.scores, free(id))
	}
	return l
}
