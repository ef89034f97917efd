package tasks

import (
	"encoding/json"
	"strconv"
)

var retryKind = &Kind{
	Name:   "retry",
	Member: "retry",
	Decode: func(content json.RawMessage) (Content, error) { return decodeAs[Retry](content) },
	Rows: Rows{
		Insert:  insertRetry,
		Changed: func(c Content) Ref { return c.(Retry).Ref() },
	},
}

// KindRetry is the kind of a request to run a failed submission again. Its record lies in the topic of the
// submission, whose delivery it becomes.
func KindRetry() *Kind { return retryKind }

// Retry asks for a failed submission to run again. It only counts while the row still stands failed at
// Attempt, so that a repeated click is one retry. For a submission that is neither failed nor completed it is a
// delivery once more, and that its work now hangs on this delivery is all that it changes.
type Retry struct {
	// Kind is that of the submission; "" is "case-report", as it was when there was one kind.
	Kind    string `json:"kind,omitempty"`
	ID      string `json:"id"`
	Attempt int    `json:"attempt"`
}

// NewRetry asks for the submission that failed at the attempt.
func NewRetry(of Ref, attempt int) Retry {
	r := Retry{Kind: of.Kind, ID: of.ID, Attempt: attempt}
	if r.Kind == caseReportKind.Name {
		r.Kind = ""
	}
	return r
}

// Ref names the submission that is to run again.
func (r Retry) Ref() Ref {
	if r.Kind == "" {
		return Ref{caseReportKind.Name, r.ID}
	}
	return Ref{r.Kind, r.ID}
}

// Header has the id of the submission.
func (r Retry) Header() Header { return Header{ID: r.ID} }

// Digest is empty: two requests are never compared.
func (r Retry) Digest() string { return "" }

// Key tells requests at different attempts apart.
func (r Retry) Key() string { return r.Ref().Kind + "/" + r.ID + "/" + strconv.Itoa(r.Attempt) }

// insertRetry sends a failed submission back to accepted. Attempts go on counting, so a late worker of an
// attempt before the retry can never pass for one after it. A suspect stays one: if it failed because the
// process died of it, it must not run beside others now.
func insertRetry(tx Tx, r Recorded) error {
	const update = `UPDATE submissions
		SET status = 'accepted', base_attempts = attempts, crashes = 0, started_at = 0, finished_at = 0,
			done = 0, total = 0, error = '', due_sequence = $1, version = version + 1
		WHERE kind = $2 AND id = $3 AND attempts = $4 AND status = 'failed'`
	const move = `UPDATE submissions SET due_sequence = $1
		WHERE kind = $2 AND id = $3 AND due_sequence < $1 AND status IN ('accepted', 'retrying', 'processing')`
	retry := r.Content.(Retry)
	ref := retry.Ref()
	if n, err := tx.Exec(update, int64(r.Offset), ref.Kind, ref.ID, retry.Attempt); err != nil || n > 0 {
		return err
	}
	// Else a submission whose delivery was lost would look lost again at every start, until it is finished.
	_, err := tx.Exec(move, int64(r.Offset), ref.Kind, ref.ID)
	return err
}
