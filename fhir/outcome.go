package fhir

import (
	"regexp"
	"strings"

	"casepress/jsonfile"
)

// The codes of issues that casepress writes, of FHIR's list at http://hl7.org/fhir/issue-type.
const (
	IssueInvalid   = "invalid"       // the content is not what it must be
	IssueNotFound  = "not-found"     // there is no such thing
	IssueConflict  = "conflict"      // there is another version of it
	IssueTooLong   = "too-long"      // it is larger than what is taken
	IssueMissing   = "required"      // something is not there
	IssueNot       = "not-supported" // this cannot be done here
	IssueTransient = "transient"     // try again later
	IssueThrottled = "throttled"     // try again later, there is too much to do
	IssueException = "exception"     // something unexpected went wrong here
)

// NewOperationOutcome makes an error of each problem of a resource.
func NewOperationOutcome(resourceType string, problems []jsonfile.Problem) *OperationOutcome {
	o := &OperationOutcome{ResourceType: "OperationOutcome"}
	for _, p := range problems {
		issue := Issue{Severity: "error", Code: IssueInvalid, Diagnostics: p.Message}
		if p.Line > 0 {
			issue.Expression = []string{expression(resourceType, p.Pointer)}
		}
		o.Issue = append(o.Issue, issue)
	}
	return o
}

// NewIssue makes an outcome of one error.
func NewIssue(code, diagnostics string) *OperationOutcome {
	return &OperationOutcome{ResourceType: "OperationOutcome", Issue: []Issue{{Severity: "error", Code: code, Diagnostics: diagnostics}}}
}

var (
	plainName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	choiceName = regexp.MustCompile(`^value[A-Z]`)
	digits     = regexp.MustCompile(`^[0-9]+$`)
)

// expression makes a path of FHIRPath of a JSON pointer: "QuestionnaireResponse.item[3].answer[0].value"
// of "/item/3/answer/0/valueCoding".
func expression(resourceType, pointer string) string {
	var b strings.Builder
	b.WriteString(resourceType)
	if pointer == "" {
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
