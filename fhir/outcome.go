package fhir

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

// The severities of issues.
const (
	severityError       = "error"
	severityWarning     = "warning"
	severityInformation = "information"
)

// Fault is one thing that is wrong with a resource.
type Fault struct {
	// Pointer names it within the resource as RFC 6901 does. Empty: it is no part of a resource.
	Pointer string
	// Detail says what is wrong and what would be right.
	Detail string
}

// NewFailure says why a request was not done, in the terms of casepress: its code of the problem, the
// sentence of it, and the faults of the resource or the query, if it is those. resourceType is that of the resource that
// the faults are of.
func NewFailure(status int, code, detail, language, resourceType string, faults []Fault) *OperationOutcome {
	o := &OperationOutcome{ResourceType: "OperationOutcome", Language: language}
	issue := Issue{
		Severity: severityError, Code: issueCode(status), Diagnostics: detail,
		Details: &CodeableConcept{Coding: []Coding{{System: systemProblem, Code: code}}},
	}
	if len(faults) == 0 {
		o.Issue = []Issue{issue}
	}
	for _, f := range faults {
		issue.Diagnostics, issue.Expression = f.Detail, nil
		if f.Pointer != "" {
			issue.Expression = []string{expression(resourceType, f.Pointer)}
		}
		o.Issue = append(o.Issue, issue)
	}
	return o
}

// issueCode is the code of FHIR's list at http://hl7.org/fhir/issue-type for a status of HTTP.
func issueCode(status int) string {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return "not-found"
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return "not-supported"
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "conflict"
	case http.StatusForbidden, http.StatusMisdirectedRequest:
		return "forbidden"
	case http.StatusRequestEntityTooLarge:
		return "too-long"
	case http.StatusRequestTimeout:
		return "timeout"
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return "transient"
	case http.StatusInsufficientStorage:
		return "no-store"
	}
	if status >= http.StatusInternalServerError {
		return "exception"
	}
	return "invalid"
}

// Acceptance is what is told of a response that is on stable storage.
type Acceptance struct {
	// Message says so, in Language.
	Message, Language string
	// SHA256 is the digest of the bytes as they came, Sequence their place in the log.
	SHA256     string
	Sequence   uint64
	ReceivedAt time.Time
	// Flags are raised or unknown.
	Flags []instrument.FlagResult
	// Warnings is what is odd about the response.
	Warnings []Warning
	// CrisisText is to be shown to the patient at once, in CrisisLanguage; empty if there is none.
	CrisisText, CrisisLanguage string
}

// Warning is something odd that is stored all the same.
type Warning struct {
	Code, Detail string
}

// NewAcceptance says that a response is stored. The receipt is an extension; the first issue is the
// message; if there is a crisis text, the second one has it as its details' text, with the code
// "crisis-text" and the code of its language; then follow the flags and the warnings.
func NewAcceptance(a Acceptance) *OperationOutcome {
	o := &OperationOutcome{
		ResourceType: "OperationOutcome",
		Language:     a.Language,
		Extension: []Extension{{URL: extensionReceipt, Extension: []Extension{
			{URL: "sha256", ValueString: a.SHA256},
			{URL: "sequence", ValueString: strconv.FormatUint(a.Sequence, 10)}, // R4's integers have 32 bits
			{URL: "receivedAt", ValueInstant: instant(a.ReceivedAt)},
		}}},
		Issue: []Issue{{Severity: severityInformation, Code: "informational", Diagnostics: a.Message}},
	}
	if a.CrisisText != "" {
		details := &CodeableConcept{Coding: []Coding{{System: systemNotice, Code: "crisis-text"}}, Text: a.CrisisText}
		if a.CrisisLanguage != "" { // R4 has no other place for the language of this text
			details.Coding = append(details.Coding, Coding{System: systemLanguage, Code: a.CrisisLanguage})
		}
		o.Issue = append(o.Issue, Issue{Severity: severityWarning, Code: "business-rule", Details: details})
	}
	for _, f := range a.Flags {
		of, id := "item", f.Item
		if f.Score != "" {
			of, id = "score", f.Score
		}
		issue := Issue{
			Severity: severityWarning, Code: "business-rule", Details: coded(systemFlag, f.Code),
			Diagnostics: fmt.Sprintf("raised by %s %s with %s; urgent: %t", of, id, f.Value, f.Urgent),
		}
		if f.State != instrument.Raised {
			issue.Severity, issue.Diagnostics = severityInformation, fmt.Sprintf("unknown: %s %s has no value", of, id)
		}
		o.Issue = append(o.Issue, issue)
	}
	for _, w := range a.Warnings {
		o.Issue = append(o.Issue, Issue{Severity: severityInformation, Code: "informational", Details: coded(systemWarning, w.Code), Diagnostics: w.Detail})
	}
	return o
}

func coded(system, code string) *CodeableConcept {
	return &CodeableConcept{Coding: []Coding{{System: system, Code: code}}}
}

// instant writes a time as R4 does.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

var (
	plainName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	choiceName = regexp.MustCompile(`^value[A-Z]`)
	digits     = regexp.MustCompile(`^[0-9]+$`)
)

// expression makes a path of FHIRPath of a JSON pointer: "QuestionnaireResponse.item[3].answer[0].value"
// of "/item/3/answer/0/valueCoding". "/" is the resource itself.
func expression(resourceType, pointer string) string {
	var b strings.Builder
	b.WriteString(resourceType)
	if pointer == "/" {
		return b.String()
	}
	for part := range strings.SplitSeq(pointer[1:], "/") {
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if digits.MatchString(name) {
			b.WriteString("[" + name + "]")
			continue
		}
		if element := strings.TrimPrefix(name, "_"); plainName.MatchString(element) {
			name = element // the extensions of a primitive are its own in FHIRPath
		}
		switch {
		case choiceName.MatchString(name):
			b.WriteString(".value")
		case plainName.MatchString(name):
			b.WriteString("." + name)
		default:
			b.WriteString(".`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(jsonfile.Shown(name)) + "`")
		}
	}
	return b.String()
}
