package fhir

import "casepress/tasks/instrument"

// Extension is an element that FHIR does not have of itself. It has one value, or extensions.
type Extension struct {
	URL            string             `json:"url"`
	Extension      []Extension        `json:"extension,omitempty"`
	ValueBoolean   bool               `json:"valueBoolean,omitempty"`
	ValueCode      string             `json:"valueCode,omitempty"`
	ValueDecimal   instrument.Decimal `json:"valueDecimal,omitempty"`
	ValueInstant   string             `json:"valueInstant,omitempty"`
	ValueInteger   int                `json:"valueInteger,omitempty"`
	ValueString    string             `json:"valueString,omitempty"`
	ValueReference *Reference         `json:"valueReference,omitempty"`

	ValueCodeableConcept *CodeableConcept `json:"valueCodeableConcept,omitempty"`
}

// Element holds the extensions of a primitive value, which JSON cannot: "_text" beside "text".
type Element struct {
	Extension []Extension `json:"extension,omitempty"`
}

// Meta is what a server says of its copy of a resource.
type Meta struct {
	VersionID   string `json:"versionId,omitempty"`
	LastUpdated string `json:"lastUpdated,omitempty"`
}

// Identifier is what somebody calls a thing.
type Identifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value,omitempty"`
}

// Coding is a code of a system.
type Coding struct {
	Extension      []Extension `json:"extension,omitempty"`
	System         string      `json:"system,omitempty"`
	Code           string      `json:"code,omitempty"`
	Display        string      `json:"display,omitempty"`
	DisplayElement *Element    `json:"_display,omitempty"`
}

// CodeableConcept is a thing that has codes, a text, or both.
type CodeableConcept struct {
	Coding      []Coding `json:"coding,omitempty"`
	Text        string   `json:"text,omitempty"`
	TextElement *Element `json:"_text,omitempty"`
}

// Reference names another resource, by its address or by an identifier.
type Reference struct {
	Reference  string      `json:"reference,omitempty"`
	Type       string      `json:"type,omitempty"`
	Identifier *Identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

// Quantity is a number with its unit.
type Quantity struct {
	Value  instrument.Decimal `json:"value,omitempty"`
	Unit   string             `json:"unit,omitempty"`
	System string             `json:"system,omitempty"`
	Code   string             `json:"code,omitempty"`
}

// Questionnaire is a form.
type Questionnaire struct {
	ResourceType string              `json:"resourceType"`
	ID           string              `json:"id"`
	Meta         *Meta               `json:"meta,omitempty"`
	Language     string              `json:"language,omitempty"`
	URL          string              `json:"url"`
	Identifier   []Identifier        `json:"identifier,omitempty"`
	Version      string              `json:"version"`
	Name         string              `json:"name"`
	Title        string              `json:"title"`
	TitleElement *Element            `json:"_title,omitempty"`
	Status       string              `json:"status"`
	SubjectType  []string            `json:"subjectType,omitempty"`
	Description  string              `json:"description,omitempty"`
	Copyright    string              `json:"copyright,omitempty"`
	Code         []Coding            `json:"code,omitempty"`
	Item         []QuestionnaireItem `json:"item,omitempty"`
}

// QuestionnaireItem is a question, a text or a score.
type QuestionnaireItem struct {
	Extension    []Extension    `json:"extension,omitempty"`
	LinkID       string         `json:"linkId"`
	Code         []Coding       `json:"code,omitempty"`
	Prefix       string         `json:"prefix,omitempty"`
	Text         string         `json:"text,omitempty"`
	TextElement  *Element       `json:"_text,omitempty"`
	Type         string         `json:"type"`
	ReadOnly     bool           `json:"readOnly,omitempty"`
	AnswerOption []AnswerOption `json:"answerOption,omitempty"`
}

// AnswerOption is an answer that may be chosen.
type AnswerOption struct {
	ValueCoding Coding `json:"valueCoding"`
}

// QuestionnaireResponse is a patient's answers to a form.
type QuestionnaireResponse struct {
	ResourceType  string         `json:"resourceType"`
	ID            string         `json:"id,omitempty"`
	Meta          *Meta          `json:"meta,omitempty"`
	Language      string         `json:"language,omitempty"`
	Extension     []Extension    `json:"extension,omitempty"`
	Identifier    *Identifier    `json:"identifier,omitempty"`
	Questionnaire string         `json:"questionnaire,omitempty"`
	Status        string         `json:"status"`
	Subject       *Reference     `json:"subject,omitempty"`
	Encounter     *Reference     `json:"encounter,omitempty"`
	Authored      string         `json:"authored,omitempty"`
	Item          []ResponseItem `json:"item,omitempty"`
}

// ResponseItem is the answer to one item. It repeats no text: FHIR wants it to be that of the
// Questionnaire's own language, and the patient may have read another.
type ResponseItem struct {
	Extension []Extension `json:"extension,omitempty"`
	LinkID    string      `json:"linkId"`
	Answer    []ItemValue `json:"answer,omitempty"`
}

// ItemValue is what was answered: one of these.
type ItemValue struct {
	ValueCoding  *Coding            `json:"valueCoding,omitempty"`
	ValueDecimal instrument.Decimal `json:"valueDecimal,omitempty"`
}

// Observation is a score of a response.
type Observation struct {
	ResourceType      string            `json:"resourceType"`
	ID                string            `json:"id"`
	Extension         []Extension       `json:"extension,omitempty"`
	Status            string            `json:"status"`
	Category          []CodeableConcept `json:"category,omitempty"`
	Code              CodeableConcept   `json:"code"`
	Subject           *Reference        `json:"subject,omitempty"`
	Encounter         *Reference        `json:"encounter,omitempty"`
	EffectiveDateTime string            `json:"effectiveDateTime,omitempty"`
	Issued            string            `json:"issued,omitempty"`
	Performer         []Reference       `json:"performer,omitempty"`
	ValueQuantity     *Quantity         `json:"valueQuantity,omitempty"`
	DataAbsentReason  *CodeableConcept  `json:"dataAbsentReason,omitempty"`
	Interpretation    []CodeableConcept `json:"interpretation,omitempty"`
	Note              []Annotation      `json:"note,omitempty"`
	Method            *CodeableConcept  `json:"method,omitempty"`
	ReferenceRange    []ReferenceRange  `json:"referenceRange,omitempty"`
	DerivedFrom       []Reference       `json:"derivedFrom,omitempty"`
}

// AdverseEvent is something that happened to a patient.
type AdverseEvent struct {
	ResourceType string           `json:"resourceType"`
	ID           string           `json:"id"`
	Extension    []Extension      `json:"extension,omitempty"`
	Actuality    string           `json:"actuality"`
	Event        *CodeableConcept `json:"event,omitempty"`
	Subject      *Reference       `json:"subject"`
	Encounter    *Reference       `json:"encounter,omitempty"`
	Date         string           `json:"date,omitempty"`
	Detected     string           `json:"detected,omitempty"`
	RecordedDate string           `json:"recordedDate,omitempty"`
	Seriousness  *CodeableConcept `json:"seriousness,omitempty"`
	Recorder     *Reference       `json:"recorder,omitempty"`
	Study        []Reference      `json:"study,omitempty"`
}

// Annotation is a text for people.
type Annotation struct {
	Text string `json:"text"`
}

// ReferenceRange is a band of a score.
type ReferenceRange struct {
	Low  *Quantity `json:"low,omitempty"`
	High *Quantity `json:"high,omitempty"`
	Text string    `json:"text,omitempty"`
}

// Bundle is the answer to a search.
type Bundle struct {
	ResourceType string        `json:"resourceType"`
	Type         string        `json:"type"`
	Total        int           `json:"total"`
	Link         []BundleLink  `json:"link,omitempty"`
	Entry        []BundleEntry `json:"entry,omitempty"`
}

// BundleLink is the address of the search itself.
type BundleLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// BundleEntry is one resource that was found.
type BundleEntry struct {
	FullURL  string       `json:"fullUrl"`
	Resource any          `json:"resource"`
	Search   BundleSearch `json:"search"`
}

// BundleSearch says why a resource is there.
type BundleSearch struct {
	Mode string `json:"mode"`
}

// OperationOutcome says what is wrong with a request, or what became of it.
type OperationOutcome struct {
	ResourceType string      `json:"resourceType"`
	Language     string      `json:"language,omitempty"`
	Extension    []Extension `json:"extension,omitempty"`
	Issue        []Issue     `json:"issue"`
}

// Issue is one thing that is wrong, or that is to be told.
type Issue struct {
	Severity string `json:"severity"`
	// Code is of FHIR's list at http://hl7.org/fhir/issue-type.
	Code string `json:"code"`
	// Details is the same for programs, and for a patient if it is a text for one.
	Details *CodeableConcept `json:"details,omitempty"`
	// Diagnostics says in English what is wrong and what would be right.
	Diagnostics string `json:"diagnostics,omitempty"`
	// Expression is the element, as a path of FHIRPath.
	Expression []string `json:"expression,omitempty"`
}

// CapabilityStatement says what a server offers.
type CapabilityStatement struct {
	ResourceType   string         `json:"resourceType"`
	Status         string         `json:"status"`
	Date           string         `json:"date"`
	Kind           string         `json:"kind"`
	Software       Software       `json:"software"`
	Implementation Implementation `json:"implementation"`
	FHIRVersion    string         `json:"fhirVersion"`
	Format         []string       `json:"format"`
	Rest           []Rest         `json:"rest"`
}

// Software is the program that answers.
type Software struct {
	Name string `json:"name"`
}

// Implementation is this installation of it.
type Implementation struct {
	Description string `json:"description"`
	URL         string `json:"url,omitempty"`
}

// Rest is what it offers through HTTP.
type Rest struct {
	Mode          string         `json:"mode"`
	Documentation string         `json:"documentation,omitempty"`
	Resource      []RestResource `json:"resource"`
}

// RestResource is what may be done with one type of resource.
type RestResource struct {
	Type          string        `json:"type"`
	Documentation string        `json:"documentation,omitempty"`
	Interaction   []Interaction `json:"interaction"`
	Versioning    string        `json:"versioning,omitempty"`
	UpdateCreate  bool          `json:"updateCreate,omitempty"`
	SearchParam   []SearchParam `json:"searchParam,omitempty"`
}

// Interaction is one thing that may be done.
type Interaction struct {
	Code          string `json:"code"`
	Documentation string `json:"documentation,omitempty"`
}

// SearchParam is a parameter of a search.
type SearchParam struct {
	Name          string `json:"name"`
	Type          string `json:"type"`
	Documentation string `json:"documentation,omitempty"`
}
