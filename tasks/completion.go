package tasks

import (
	"encoding/json"
	"strconv"
	"time"
)

var completionKind = &Kind{
	Name:   "completion",
	Member: "completion",
	Topic:  TopicCompletions,
	Decode: func(content json.RawMessage) (Content, error) { return decodeAs[Completion](content) },
	Rows: Rows{
		Insert:  insertCompletion,
		Changed: func(c Content) Ref { return Ref{caseReportKind.Name, c.Header().ID} },
	},
}

// KindCompletion is the kind of a record that says what became of a case report whose originals are about to
// be dropped.
func KindCompletion() *Kind { return completionKind }

// TopicCompletions holds what came of reports whose originals may be dropped.
const TopicCompletions = "case-report-completions"

// Completion is what became of a report whose originals are about to be dropped: once they are, its row
// cannot be made again in any other way.
type Completion struct {
	ID string `json:"id"`
	// Sequence is the offset of the report's record.
	Sequence   uint64           `json:"sequence"`
	Attempt    int              `json:"attempt"`
	StartedAt  time.Time        `json:"startedAt"`
	FinishedAt time.Time        `json:"finishedAt"`
	Result     CaseReportResult `json:"result"`
	// Released are the 1-based positions of the images whose originals the report needs no more.
	Released []int `json:"released"`
}

// Header has the id of the report.
func (c Completion) Header() Header { return Header{ID: c.ID} }

// Digest is empty: two completions are never compared.
func (c Completion) Digest() string { return "" }

// Key tells the completions of different attempts apart.
func (c Completion) Key() string { return c.ID + "/" + strconv.Itoa(c.Attempt) }

// ReleasedImages returns what [Completion.Released] was for each of the reports, by id, without those that have no
// completion in the rows.
func ReleasedImages(tx Tx, ids []string) (map[string][]int, error) {
	in, args := InList(ids)
	rows, err := tx.Query(`SELECT report_id, n, released, released_check FROM case_report_images WHERE released <> 0 AND report_id IN `+in+` ORDER BY report_id, n`, args...)
	if err != nil {
		return nil, err
	}
	released := map[string][]int{}
	err = EachRow(rows, func() error {
		var id string
		var n int
		var is, check int64
		if err := rows.Scan(&id, &n, &is, &check); err != nil {
			return err
		}
		released[id] = append(released[id], n)
		return verifyNumber(is, check)
	})
	return released, err
}
