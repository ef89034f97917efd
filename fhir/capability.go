package fhir

import "time"

// NewCapabilityStatement says what casepress offers. base is the address of the FHIR routes, and
// since when the server runs as it does.
func NewCapabilityStatement(base string, since time.Time) *CapabilityStatement {
	return &CapabilityStatement{
		ResourceType:   "CapabilityStatement",
		Status:         "active",
		Date:           since.UTC().Format("2006-01-02T15:04:05Z"),
		Kind:           "instance",
		Software:       Software{Name: "casepress"},
		Implementation: Implementation{Description: "Questionnaires of clinical trials: takes responses, scores them. Adverse events, to read.", URL: base},
		FHIRVersion:    Version,
		Format:         []string{MediaType, "json"},
		Rest: []Rest{{
			Mode:          "server",
			Documentation: "What is not listed is not offered: no transactions, no PATCH, no DELETE, no chained search, no terminology, no Subscription.",
			Resource: []RestResource{
				{
					Type:          "Questionnaire",
					Documentation: "The instruments, in their latest versions or in the one that is named. The parameter study shows those of a study.",
					Interaction:   []Interaction{{Code: "read"}, {Code: "vread"}, {Code: "search-type"}},
					Versioning:    "versioned",
					SearchParam: []SearchParam{
						{Name: "url", Type: "uri", Documentation: "required"},
						{Name: "version", Type: "token"},
						{Name: "study", Type: "string", Documentation: "casepress's own: the id of a study, which may have instruments of its own"},
					},
				},
				{
					Type: "QuestionnaireResponse",
					Documentation: "Created with an id that the client makes. The same bytes again get the same answer; other bytes are refused " +
						"unless they amend the latest revision and say why.",
					Interaction:  []Interaction{{Code: "read"}, {Code: "vread"}, {Code: "update"}},
					Versioning:   "versioned",
					UpdateCreate: true,
				},
				{
					Type:          "Observation",
					Documentation: "The scores of a response's latest revision.",
					Interaction:   []Interaction{{Code: "search-type"}},
					Versioning:    "no-version",
					SearchParam:   []SearchParam{{Name: "derived-from", Type: "reference", Documentation: "QuestionnaireResponse/ and the id; required"}},
				},
				{
					Type:          "AdverseEvent",
					Documentation: "What was reported, and urgent flags. Exercises are not among them.",
					Interaction:   []Interaction{{Code: "read"}},
					Versioning:    "no-version",
				},
			},
		}},
	}
}
