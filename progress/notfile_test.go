//go:build unix

package progress_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/progress"
)

// What is no file in the place of the database is moved aside as a damaged one is, also where another was moved aside before.
func TestADatabaseThatIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "progress.db")
	for _, put := range []func(string) error{
		func(path string) error { return os.Mkdir(path, 0o700) },
		func(path string) error { return syscall.Mkfifo(path, 0o600) },
		func(path string) error { return os.Mkdir(path, 0o700) },
		func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		require.NoError(t, os.RemoveAll(path))
		require.NoError(t, put(path))
		rows, err := progress.Open(t.Context(), path, quiet)
		require.NoError(t, err)
		apply(t, rows, response("QR-1", "P001", "V01", "phq-9", "2026-11-01"))
		require.NoError(t, rows.Close())
		info, err := os.Lstat(path + ".damaged")
		require.NoError(t, err)
		require.False(t, info.Mode().IsRegular())
	}
}

// A trigger that loses rows is damage: the database is moved aside and made again.
func TestATriggerIsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "progress.db")
	rows, err := progress.Open(t.Context(), path, quiet)
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.Exec("CREATE TRIGGER loses AFTER INSERT ON submissions BEGIN DELETE FROM submissions; END")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	rows, err = progress.Open(t.Context(), path, quiet)
	require.NoError(t, err)
	apply(t, rows, response("QR-1", "P001", "V01", "phq-9", "2026-11-01"))
	require.Len(t, read(t, rows, s1, progress.Query{}, "2026-11-30").Patients, 1)
	require.NoError(t, rows.Close())
	require.FileExists(t, path+".damaged")
}
