package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"casepress/tasks"
)

// How many rows [Store.List] returns: DefaultLimit if none is asked for. More than MaxLimit are refused.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// Filter says which submissions to list. Empty fields do not filter.
type Filter struct {
	Study, Site, PatientID, VisitID string
	Status                          string
	// Limit is how many rows a page has at most, up to [MaxLimit]; 0 means [DefaultLimit].
	Limit int
	// Cursor is the next value of the page before; empty for the first page.
	Cursor string
}

// List lists submissions of one kind, the newest first, in the order in which they were accepted. If
// there are more, next is the cursor of the page that follows. What is accepted meanwhile appears on no
// later page, so paging repeats and skips nothing. [ErrBadLimit], or [ErrBadCursor] if the cursor is
// not one of ours.
func (s *Store) List(ctx context.Context, kind *tasks.Kind, f Filter) (rows []Row, next string, err error) {
	if _, err := submissionKind(tasks.Ref{Kind: kind.Name}); err != nil {
		return nil, "", err
	}
	return s.listBy(ctx, kind, f, func(kind string, before uint64, limit int) (string, []any) { return listQuery(kind, f, before, limit) })
}

// listQuery names one index by making an expression of every other condition. There is an index for
// each condition alone, and the one that is likely to leave the fewest rows is taken: a patient has few
// submissions, and few are unfinished or failed. Completed ones have no index: most are. The texts are at
// most three for each set of filters.
func listQuery(kind string, f Filter, before uint64, limit int) (query string, args []any) {
	type condition struct{ column, value string }
	var status, completed condition
	if f.Status == string(tasks.Completed) {
		completed = condition{"status", f.Status}
	} else {
		status = condition{"status", f.Status}
	}
	// Visits have no index: all patients have the same few.
	conditions := []condition{{"patient_id", f.PatientID}, status, {"site", f.Site}, {"study", f.Study}, completed, {"visit_id", f.VisitID}}
	query = `SELECT ` + rowColumns + ` FROM submissions WHERE kind = $1 AND sequence < $2`
	args = []any{kind, int64(before), limit}
	for _, c := range conditions {
		if c.value == "" {
			continue
		}
		parameter := "$" + strconv.Itoa(len(args)+1)
		switch first := len(args) == 3; {
		case first && c.column == "patient_id":
			query += ` AND patient_id = ` + parameter
		case first && c == status && c.value == string(tasks.Failed):
			query += ` AND status = 'failed' AND status || '' = ` + parameter
		case first && c == status:
			query += ` AND finished_at = 0 AND status || '' = ` + parameter
		case first && (c.column == "site" || c.column == "study"): // its index has no empty values
			query += ` AND ` + c.column + ` <> '' AND ` + c.column + ` = ` + parameter
		default:
			query += ` AND ` + c.column + ` || '' = ` + parameter
		}
		args = append(args, c.value)
	}
	return query + ` ORDER BY sequence DESC LIMIT $3`, args
}

// A cursor is the sequence of the last row of a page, big-endian, in base64url.

func encodeCursor(sequence uint64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sequence))
}

func decodeCursor(cursor string) (before uint64, err error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) != 8 {
		return 0, ErrBadCursor
	}
	before = binary.BigEndian.Uint64(b)
	if before > math.MaxInt64 {
		return 0, ErrBadCursor
	}
	return before, nil
}

// CursorAfter is the cursor of the page after this row, for a caller that shows fewer rows than it was given.
func CursorAfter(row Row) string { return encodeCursor(row.Sequence) }
