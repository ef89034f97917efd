package store

import (
	"context"
	"database/sql"
	"fmt"
)

// CountQuery is the text of Counts.
const CountQuery = countQuery

// UnneededQuery is the text of Unneeded.
const UnneededQuery = unneededQuery

// ListQuery is the text of CaseReports.
func ListQuery(f Filter) (query string, args []any) { return listQuery(f, 1, 1) }

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

// Reads is the pool of read connections.
func Reads(s *Store) *sql.DB { return s.reads }

// Writes is the pool that holds the writer's connection; it has no other.
func Writes(s *Store) *sql.Conn { return s.writer.conn }

// Watched is how many reports are watched.
func Watched(s *Store) int {
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	return len(s.watchers.byID)
}

// ShowProgress adds to a row that was read earlier what CaseReport adds to the
// row it has just read.
func ShowProgress(s *Store, row *Row) { s.claims.showIn(row) }
