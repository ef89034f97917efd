package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"casepress/disk"
)

// Database is an open SQLite database file with tables of another package, which behaves as that of the rows does: one
// connection writes and others read meanwhile, and what is committed survives a power cut.
type Database struct {
	// Writes has one connection. Its transactions begin as writers.
	Writes *sql.DB
	// Reads has several, which cannot write.
	Reads *sql.DB

	path string
}

// OpenDatabase opens the database file at path, makes it if it is not there, readable by its owner only, and applies
// those of the steps migrations/NNNN_name.sql in files that it has not had yet. One process at a time may have it open for
// writing. The error is explained: see [Database.Explain].
func OpenDatabase(ctx context.Context, path string, files fs.FS) (*Database, error) {
	writes, reads, err := openDatabase(ctx, path, files)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", explain(path, err))
	}
	return &Database{Writes: writes, Reads: reads, path: path}, nil
}

// Explain says what an error of the driver means for an operator: [ErrDamaged], [ErrReadOnly], syscall.ENOSPC. Others are
// as they were.
func (d *Database) Explain(err error) error { return explain(d.path, err) }

// Close may be called when nobody uses the database any more.
func (d *Database) Close() error {
	// The writer goes last: the last connection folds the write-ahead log into the database, which a read connection may not.
	return errors.Join(d.Reads.Close(), d.Writes.Close())
}

func openDatabase(ctx context.Context, path string, files fs.FS) (writes, reads *sql.DB, err error) {
	if err := createPrivate(path); err != nil {
		return nil, nil, err
	}
	if writes, err = sql.Open("sqlite", dsn(path, "cache_size(-16000)")); err != nil {
		return nil, nil, err
	}
	writes.SetMaxOpenConns(1)
	if err := migrate(ctx, writes, files); err != nil {
		return nil, nil, errors.Join(err, writes.Close())
	}
	if reads, err = openReads(path, max(4, 2*runtime.GOMAXPROCS(0))); err != nil {
		return nil, nil, errors.Join(err, writes.Close())
	}
	return writes, reads, nil
}

// readyConnections is how many connections lists cannot take.
const readyConnections = 2

// openReads opens connections that cannot write, n at most.
func openReads(path string, n int) (*sql.DB, error) {
	reads, err := sql.Open("sqlite", dsn(path, "query_only(1)"))
	if err != nil {
		return nil, err
	}
	reads.SetMaxOpenConns(n)
	reads.SetMaxIdleConns(n)
	return reads, nil
}

// dsn names the database and how each connection to it behaves. synchronous is FULL because a result must
// survive a power cut once its delivery is acked.
func dsn(path, pragma string) string {
	q := url.Values{
		"_pragma": {
			"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)",
			"foreign_keys(1)", "journal_size_limit(67108864)", pragma,
		},
		"_txlock": {"immediate"},
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// createPrivate makes the file readable by its owner only, which SQLite keeps up for the files it puts beside
// it, and its folder entry durable. It refuses what is no file in their places: SQLite would wait for a named pipe, or name none.
func createPrivate(path string) error {
	f, err := disk.OS.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, beside := range []string{"-wal", "-shm", "-journal"} {
		if info, err := os.Stat(path + beside); err == nil && !info.Mode().IsRegular() {
			return disk.NotFile(path+beside, info.Mode())
		}
	}
	return disk.OS.SyncDir(filepath.Dir(path))
}
