package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// How many rows [Store.CaseReports] returns: DefaultLimit if none is asked for,
// and never more than MaxLimit.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// Filter says which reports to list. Empty fields do not filter.
type Filter struct {
	PatientID string
	VisitID   string
	Status    string
	Limit     int
	// Cursor is the next value of the page before; empty for the first page.
	Cursor string
}

// CaseReports lists reports, the newest first, in the order in which they were
// accepted. If there are more, next is the cursor of the page that follows. Reports accepted
// meanwhile appear on no later page, so paging repeats and skips nothing.
// [ErrBadCursor] if the cursor is not one of ours.
func (s *Store) CaseReports(ctx context.Context, f Filter) (rows []Row, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	before, err := decodeCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	rows, err = s.list(ctx, f, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("case reports: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = encodeCursor(rows[limit-1].Sequence)
	}
	if err := s.addImages(ctx, rows); err != nil {
		return nil, "", fmt.Errorf("case reports: %w", err)
	}
	for i := range rows {
		s.claims.showIn(&rows[i])
	}
	return rows, next, nil
}

func (s *Store) list(ctx context.Context, f Filter, before uint64, limit int) ([]Row, error) {
	query, args := listQuery(f, before, limit)
	rows, err := s.queries.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanReport)
}

// listQuery has one text for each set of filters, eight in all.
func listQuery(f Filter, before uint64, limit int) (query string, args []any) {
	query = `SELECT ` + reportColumns + ` FROM case_reports WHERE sequence < $1`
	args = []any{int64(before), limit}
	switch {
	case f.PatientID != "" && f.Status != "":
		// The status is an expression so that its index is not considered: a
		// patient has few reports, a status may have all of them.
		query += ` AND patient_id = $3 AND status || '' = $4`
		args = append(args, f.PatientID, f.Status)
	case f.PatientID != "":
		query += ` AND patient_id = $3`
		args = append(args, f.PatientID)
	case f.Status != "":
		query += ` AND status = $3`
		args = append(args, f.Status)
	}
	if f.VisitID != "" {
		args = append(args, f.VisitID)
		query += fmt.Sprintf(` AND visit_id = $%d`, len(args))
	}
	return query + ` ORDER BY sequence DESC LIMIT $2`, args
}

// addImages reads the images of all rows in one query.
func (s *Store) addImages(ctx context.Context, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	at := make(map[string]int, len(rows))
	ids := make([]any, len(rows))
	var marks strings.Builder
	for i, r := range rows {
		at[r.ID], ids[i] = i, r.ID
		marks.WriteString(", $" + strconv.Itoa(i+1))
	}
	query := `SELECT ` + imageColumns + ` FROM case_report_images
		WHERE report_id IN (` + marks.String()[2:] + `) ORDER BY report_id, n`
	found, err := s.reads.QueryContext(ctx, query, ids...)
	if err != nil {
		return err
	}
	images, err := collect(found, scanImage)
	if err != nil {
		return err
	}
	for _, img := range images {
		rows[at[img.reportID]].add(img)
	}
	return nil
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
