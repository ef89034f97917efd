package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"casepress/tasks"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migration is one step of the schema, file migrations/NNNN_name.sql.
type migration struct {
	version int
	name    string
}

// migrate brings the schema up to date, one transaction for each step in files, unless there is in it what would change rows or
// stand for them. The table of the steps is also where
// [Store.Ping] tries to write.
func migrate(ctx context.Context, db *sql.DB, files fs.FS) error {
	steps, err := listMigrations(files)
	if err != nil {
		return err
	}
	const table = `CREATE TABLE IF NOT EXISTS schema_migrations (
		version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL,
		applied_at BIGINT NOT NULL, probed_at BIGINT NOT NULL DEFAULT 0)`
	if _, err := db.ExecContext(ctx, table); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	var at int
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM schema_migrations").Scan(&at); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if last := steps[len(steps)-1].version; at > last {
		return fmt.Errorf("%w: schema %d, this program knows %d", ErrNewerSchema, at, last)
	}
	if err := refuseForeign(ctx, db); err != nil { // behind the version: a newer program may make some
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range steps {
		if m.version <= at {
			continue
		}
		if err := m.apply(ctx, db, files); err != nil {
			return fmt.Errorf("migrate to %s: %w", m.name, err)
		}
	}
	return nil
}

// listMigrations returns the steps in lexical order.
func listMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]migration, 0, len(names))
	for _, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		steps = append(steps, migration{version, name})
	}
	return steps, nil
}

func (m migration) apply(ctx context.Context, db *sql.DB, files fs.FS) error {
	text, err := fs.ReadFile(files, m.name)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if _, err := tx.ExecContext(ctx, string(text)); err != nil {
		return err
	}
	const mark = "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)"
	if _, err := tx.ExecContext(ctx, mark, m.version, m.name, micros(time.Now())); err != nil {
		return err
	}
	return tx.Commit()
}

// makeTables makes the tables that kinds have of their own, in one transaction.
func makeTables(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	for _, kind := range tasks.Kinds() {
		for _, statement := range kind.Rows.Tables {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("tables of %s: %w", kind.Name, err)
			}
		}
	}
	return tx.Commit()
}
