package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"casepress/jsonfile"
)

// Kind is one kind of record in the log, with everything that differs between kinds. A kind stands in
// one file and in one line of [kinds]; nothing else in the program asks which kind it has before it.
//
// A kind with a Lane is a submission: it has a row in the table submissions, a status, and work to be
// done. One without, such as an image put ahead of its report or a request to retry, only changes rows.
type Kind struct {
	// Name stands in the log, the rows, events and metrics: never rename one.
	Name string
	// Member is the member of the record's JSON that holds the content. "content" for a new kind.
	Member string
	// Topic is where records of this kind are kept; "" means the topic of the kind that the record is
	// about. Topics are folders of the log: never rename one.
	Topic string
	// ChangedBy are the other topics whose records make or change rows of this kind: what is asked for waits for their rows,
	// too, and for those of no other topic.
	ChangedBy []string
	// Lane names the lane on which its work runs; "" means that there is no work.
	Lane string
	// Path is the address of the kind's collection, such as "/case-reports"; "" if it has none.
	Path string
	// Append appends the content to b byte for byte as encoding/json writes it. Nil: encoding/json does.
	Append func(b []byte, c Content) ([]byte, error)
	// Decode reads the content and refuses what is not well-formed.
	Decode func(content json.RawMessage) (Content, error)
	// Rows is how the kind keeps what is its own.
	Rows Rows
	// Derive returns the submissions that follow from one at the moment in which it is accepted, such as the adverse
	// events of flags that answers raise. It looks at nothing but the content, and keys are made of that of the content:
	// so it may be called again, by another process too, and what follows is still there once. Nil: none ever.
	Derive func(Content) []Submission
	// NewTask returns the work on one claimed submission. Nil without a Lane.
	NewTask func(*Processor, Work) Task
	// Event returns what other services are told when the submission is finished. Nil means [NewUpdate].
	Event func(Finished) Update
	// Revisions says that what was accepted can be amended, and so the ids of submissions are those of [RevisionID].
	Revisions bool
	// JSON describes the kind's intake over HTTP where a submission is one JSON document; nil if it has
	// an intake of its own or none.
	JSON *JSONIntake
}

// JSONIntake is all that the HTTP interface needs to take a kind in as one JSON document: POST at the
// kind's Path, GET of one and of a list.
type JSONIntake struct {
	// Title names one such submission for people, in lower case: "vital signs".
	Title string
	// Schema is the JSON Schema of the document, on one line, for the contract at /openapi.yaml.
	Schema string
	// MaxBytes bounds the document. 0 means 64 KiB.
	MaxBytes int64
	// Parse reads a document that a client sent and checks everything but the ids in its header: see
	// [casepress/jsonfile], which refuses what could be read in two ways.
	Parse func(document []byte) (Content, []jsonfile.Problem)
}

// Task is the work on one submission. Execute returns what it made, or an error: then another attempt
// may succeed. Running it again, wholly or after a crash half way, must make the same.
type Task interface {
	Execute(ctx context.Context) (Result, error)
}

// Result is what a task made of a submission, a value of its kind's own type: [CaseReportResult] for a
// case report. The kind's Rows keep it.
type Result any

// Work is a submission that a worker holds for one attempt.
type Work struct {
	Submission
	// Sequence is the position of the submission in the log.
	Sequence uint64
	// Attempt counts from 1.
	Attempt int
	// Progress, if not nil, is told how far the work has come, from one goroutine at a time.
	Progress func(done, total int)
}

// kinds is the registry.
var kinds = []*Kind{caseReportKind, imageKind, retryKind, completionKind, questionnaireKind, adverseEventKind, adverseEventStepKind, rescoreKind, webhookEndpointKind}

// Kinds returns every kind. It must not be changed.
func Kinds() []*Kind { return kinds }

// KindOf returns the kind of that name.
func KindOf(name string) (*Kind, error) {
	for _, k := range kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("unknown kind %q", name)
}

// Topics returns the topics of all kinds, without repeats, in the order of the registry.
func Topics() []string {
	var topics []string
	for _, k := range kinds {
		if k.Topic != "" && !slices.Contains(topics, k.Topic) {
			topics = append(topics, k.Topic)
		}
	}
	return topics
}

// HasReceipts reports whether clients hold receipts for records of this kind, and so can ask whether they are stored.
func (k *Kind) HasReceipts() bool { return k.IsSubmission() || k.Rows.Receipt != nil }

// IsSubmission reports whether records of this kind have a status and work to be done.
func (k *Kind) IsSubmission() bool { return k.Lane != "" }
