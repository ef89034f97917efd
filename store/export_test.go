package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"casepress/tasks"
)

// CountQuery is the text of Counts.
const CountQuery = countQuery

// The texts of Unneeded and Original.
var UnneededQueries = []string{releasedQuery, waitsQuery, waitingQuery, reportedQuery}

// The texts of Unfinished and of the parts of Recover.
const (
	UnfinishedQuery  = unfinishedQuery
	InterruptedQuery = interruptedQuery
	SuspectsQuery    = suspectsQuery
	AllSuspectsQuery = allSuspectsQuery
)

// HealthQuery is the text with which WebhookHealth counts.
const HealthQuery = healthQuery

// The texts of OpenCases and StepsAfter.
const (
	OpenCasesQuery  = openCasesQuery
	StepsAfterQuery = stepsAfterQuery
)

// ListQuery is the text of List.
func ListQuery(f Filter) (query string, args []any) { return listQuery("case-report", f, 1, 1) }

// BlobsQuery is the text with which EachBlob reads the first rows of a table, or the next ones.
func BlobsQuery(in tasks.BlobColumns, next bool) string { return blobsQuery(in, next) }

// AdverseEventQuery is the text of ListAdverseEvents.
func AdverseEventQuery(f AdverseEventFilter) (query string, args []any) {
	return f.query("adverse-event", 1, 1)
}

// NewBlobSet makes a set of digests.
func NewBlobSet(digests ...string) *BlobSet {
	set := newBlobSet()
	for _, digest := range digests {
		set.add(digest)
	}
	return set
}

// SetFreeBytes makes every disk have this much space left, until the returned function is called.
func SetFreeBytes(n uint64) (reset func()) {
	before := freeBytes
	freeBytes = func(string) (uint64, error) { return n, nil }
	return func() { freeBytes = before }
}

// MigrationText is the text of the migration with this number.
func MigrationText(version int) (string, error) {
	steps, err := listMigrations(migrations)
	if err != nil {
		return "", err
	}
	if version > len(steps) {
		return "", fs.ErrNotExist
	}
	text, err := migrations.ReadFile(steps[version-1].name)
	return string(text), err
}

// CheckIntegrity asks SQLite whether the file is sound.
func CheckIntegrity(s *Store) error {
	var verdict string
	if err := s.reads.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("integrity check: %s", verdict)
	}
	return nil
}

// Commits is how many transactions have committed since Open.
func Commits(s *Store) uint64 { return s.writer.commits.Load() }

// ExecOnWriter runs a statement on the writer's connection, between transactions.
func ExecOnWriter(s *Store, query string) error {
	_, err := s.writer.conn.ExecContext(context.Background(), query)
	return err
}

// Transact runs f in a transaction of the writer.
func Transact(s *Store, f func(tasks.Tx) error) error {
	return s.write(context.Background(), func(c *change) error { return f(c) })
}

// ReadOnly is what Load and Find read with.
func ReadOnly(s *Store) tasks.Tx { return s.reading(context.Background()) }

// Reads is the pool of read connections.
func Reads(s *Store) *sql.DB { return s.reads }

// Writes is the pool that holds the writer's connection; it has no other.
func Writes(s *Store) *sql.Conn { return s.writer.conn }

// Watched is how many submissions are watched.
func Watched(s *Store) int {
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	return len(s.watchers.byRef)
}

// ShowProgress adds to a row that was read earlier what Get adds to the
// row it has just read.
func ShowProgress(s *Store, row *Row) { s.claims.showIn(row) }

// ExportQuery is a page of an export in the middle.
func ExportQuery(f ResponseFilter) (string, []any) {
	return f.exportQuery("questionnaire-response", 1000, "P0", 10)
}
