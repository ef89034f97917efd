package store_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func TestOpenKeepsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	record(t, s, 0, 5)
	moves["completed"](t, s, report(3).ID)
	want := listAll(t, s, store.Filter{})
	require.NoError(t, s.Close())
	require.NoFileExists(t, path+"-wal", "not folded into the database")
	require.Equal(t, want, listAll(t, openAt(t, path), store.Filter{}))
}

func TestOpenAnyPath(t *testing.T) {
	for _, name := range []string{"a b", "50%25", "q?mode=ro", "#1", "患者", "a&b;c", "x:y"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openAt(t, filepath.Join(dir, name))
			record(t, s, 0, 1)
			require.FileExists(t, filepath.Join(dir, name+"-wal"))
		})
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(t.TempDir())
		s := openAt(t, "store.db")
		record(t, s, 0, 1)
		require.FileExists(t, "store.db-wal")
	})
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	_, err := store.Open(t.Context(), filepath.Join(dir, "missing", "store.db"))
	require.ErrorIs(t, err, os.ErrNotExist)

	path := filepath.Join(dir, "garbage.db")
	require.NoError(t, os.WriteFile(path, []byte("this is no database, and long enough to be sure of it"), 0o600))
	_, err = store.Open(t.Context(), path)
	require.ErrorContains(t, err, "not a database")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Open(ctx, filepath.Join(dir, "store.db"))
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, store.ExecOnWriter(s, "INSERT INTO schema_migrations (version, name, applied_at) VALUES (9999, 'from the future', 0)"))
	require.NoError(t, s.Close())
	_, err = store.Open(t.Context(), path)
	require.ErrorIs(t, err, store.ErrNewerSchema)
	require.ErrorContains(t, err, "9999")
}

// The promise depends on these, and a typing error in the DSN would be silent.
func TestConnectionsBehave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	read, err := store.Reads(s).Conn(t.Context())
	require.NoError(t, err)
	defer read.Close()
	for pragma, want := range map[string]struct{ write, read string }{
		"journal_mode": {"wal", "wal"},
		"synchronous":  {"2", "2"},
		"foreign_keys": {"1", "1"},
		"busy_timeout": {"5000", "5000"},
		"query_only":   {"0", "1"},
	} {
		require.Equal(t, want.write, pragmaOf(t, store.Writes(s), pragma), pragma)
		require.Equal(t, want.read, pragmaOf(t, read, pragma), pragma)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func pragmaOf(t *testing.T, conn *sql.Conn, name string) string {
	t.Helper()
	var value string
	require.NoError(t, conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value))
	return value
}

// Our SQL names $2 before $1. PostgreSQL and this driver bind by number; some
// SQLite drivers bind by first appearance.
func TestPlaceholdersBindByNumber(t *testing.T) {
	s := openStore(t)
	var a, b, c string
	row := store.Reads(s).QueryRow("SELECT $2, $1, $2", "one", "two")
	require.NoError(t, row.Scan(&a, &b, &c))
	require.Equal(t, []string{"two", "one", "two"}, []string{a, b, c})
}

func TestContextEndsTheWait(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := claim(ctx, s, report(1).ID)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, recordBatch(ctx, s, accepted(2, report(2))), context.Canceled)
	_, err = s.Get(ctx, refOf(report(1).ID))
	require.ErrorIs(t, err, context.Canceled)
}

// Those who come while the writer is in a transaction share the next one.
func TestWritersShareTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t)
		const n = 400
		before := store.Commits(s)
		var wg sync.WaitGroup
		begun, end := make(chan struct{}), make(chan struct{})
		wg.Go(func() {
			if err := store.Transact(s, func(tasks.Tx) error { close(begun); <-end; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-begun
		for i := range n {
			wg.Go(func() {
				if err := recordBatch(t.Context(), s, accepted(i, report(i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // until all wait for the writer
		close(end)
		wg.Wait()
		require.Equal(t, before+2, store.Commits(s))
		require.Len(t, listAll(t, s, store.Filter{}), n)
	})
}
