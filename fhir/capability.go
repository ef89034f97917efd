package fhir

import "time"

// NewCapabilityStatement says what casepress offers. base is the address of the FHIR routes, software
// the program's version, and since when the server runs as it does.
func NewCapabilityStatement(base, software string, since time.Time) *CapabilityStatement {
	return &CapabilityStatement{
		ResourceType:   "CapabilityStatement",
		Status:         "active",
		Date:           since.UTC().Format("2006-01-02T15:04:05Z"),
		Kind:           "instance",
		Software:       Software{Name: "casepress", Version: software},
		Implementation: Implementation{Description: "Questionnaires of clinical trials: takes responses, scores them.", URL: base},
		FHIRVersion:    Version,
		Format:         []string{MediaType, "json"},
		Rest: []Rest{{
			Mode:          "server",
			Documentation: "What is not listed is not offered: no transactions, no PATCH, no DELETE, no chained search, no terminology, no Subscription.",
			Resource: []RestResource{
				{
					Type:          "Questionnaire",
					Documentation: "The instruments. A version is named by url and version.",
					Interaction:   []Interaction{{Code: "read"}, {Code: "vread"}, {Code: "search-type"}},
					Versioning:    "versioned",
					SearchParam: []SearchParam{
						{Name: "url", Type: "uri"},
						{Name: "version", Type: "token"},
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
			},
		}},
	}
}
