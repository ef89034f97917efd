package store

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"casepress/disk"
	"casepress/tasks"
)

// What callers branch on.
var (
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("store: not found")
	// ErrFinal refuses a claim on a submission that is completed or failed.
	ErrFinal = errors.New("store: submission is completed or failed")
	// ErrStale refuses a change by an attempt that no longer holds the submission: another attempt has
	// begun, or this one has been finished or given back.
	ErrStale = errors.New("store: attempt no longer holds the submission")
	// ErrBadResult refuses a result that the attempt's kind cannot keep, however often it is tried: it is of the wrong
	// type, does not fit the submission, or breaks a rule of the tables. Nothing was changed.
	ErrBadResult = errors.New("store: result cannot be kept")
	// ErrBadCursor refuses a cursor that [Store.List] did not make.
	ErrBadCursor = errors.New("store: bad cursor")
	// ErrBadLimit refuses a limit that [Store.List] does not serve.
	ErrBadLimit = errors.New("store: bad limit")
	// ErrNewerSchema refuses a database that a later version of the program wrote.
	ErrNewerSchema = errors.New("store: database is of a newer version than this program")
	// ErrClosed refuses a write after Close.
	ErrClosed = errors.New("store: closed")
	// ErrDamaged says that the database is not as SQLite or this program wrote it. The message names the file
	// and what to do.
	ErrDamaged = errors.New("store: database is damaged")
	// ErrReadOnly says that the database, or the disk it lies on, cannot be written to.
	ErrReadOnly = errors.New("store: database is read-only")
)

// minFree is the free space in bytes below which a failed write is put down to a full disk. SQLite
// grows its files by up to 64 KiB at a time, and file systems keep something back.
const minFree = 1 << 20

// freeBytes is what the disk has left.
var freeBytes = disk.Free

// explain says what err means for an operator where SQLite does not, and in what it happened. A full
// disk is syscall.ENOSPC, also where SQLite only speaks of input and output. Damage is remembered, so that Ping
// tells of it; from then on what is not found may have been lost, and ErrDamaged takes the place of ErrNotFound.
func (s *Store) explain(err error, format string, args ...any) error {
	err = explain(s.path, err)
	if errors.Is(err, ErrDamaged) {
		s.damage.CompareAndSwap(nil, &err)
	}
	if damage := s.damage.Load(); damage != nil && errors.Is(err, ErrNotFound) {
		err = *damage
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

func explain(path string, err error) error {
	switch code := sqliteCode(err); {
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrBadResult):
		return err
	case code == sqlite3.SQLITE_CORRUPT, code == sqlite3.SQLITE_NOTADB, badFormat(err), badSchema(err), errors.Is(err, errInconsistent), errors.Is(err, tasks.ErrChanged), badJSON(err),
		errors.Is(err, disk.ErrNotFile):
		return damaged(path, err)
	case badValue(err):
		return damaged(path, withoutValue(err))
	case code == sqlite3.SQLITE_FULL, code == sqlite3.SQLITE_IOERR && noSpace(path), code == sqlite3.SQLITE_CANTOPEN && noSpace(path):
		return fmt.Errorf("the disk that holds %s is full: %w: %w", path, syscall.ENOSPC, err)
	case code == sqlite3.SQLITE_READONLY, errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %s: %w", ErrReadOnly, path, err)
	case code == sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%w, or its folder is: %s: %w", ErrReadOnly, path, err)
	default:
		return err
	}
}

func damaged(path string, err error) error {
	return fmt.Errorf("%w: %s: %w; stop the service, move %s* away and start it: rows are made again from the log; or restore a copy",
		ErrDamaged, path, err, path)
}

// sqliteCode is the primary code of SQLite's error, 0 if err is none.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// lasting reports whether what a kind's code returned says nothing of the database or the disk, so that another try
// must fail in the same way.
func lasting(err error) bool {
	switch sqliteCode(err) {
	case 0: // not of SQLite; database/sql has a few of its own
		return !badValue(err) && !errors.Is(err, errInconsistent) && !errors.Is(err, tasks.ErrChanged) && !errors.Is(err, sql.ErrConnDone) && !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, driver.ErrBadConn)
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return !badFormat(err) && !badSchema(err)
	default:
		return false
	}
}

// badFormat reports whether the header names a format that SQLite does not know, for which it has no code.
func badFormat(err error) bool {
	return sqliteCode(err) == sqlite3.SQLITE_ERROR && strings.Contains(err.Error(), "unsupported file format")
}

// badSchema reports whether tables or columns that this program made are gone, or stand where it was to make them.
func badSchema(err error) bool {
	if sqliteCode(err) != sqlite3.SQLITE_ERROR {
		return false
	}
	for _, sign := range []string{"no such table", "no such column", "has no column", "already exists", "malformed database schema", "because it is a view"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}

// scanError is how database/sql begins the error of a value that it cannot convert. It has no type for it. An error that ends
// the reading, as of a context, begins otherwise.
var scanError = regexp.MustCompile(`sql: Scan error on column index \d+, name "([^"]*)"`)

// badValue reports whether a value that was read is of no type that this program writes into its column: a fraction or a letter
// in place of a whole number, null. A statement that reads such a value and writes it where a row's number belongs is a mismatch
// for SQLite.
func badValue(err error) bool {
	return sqliteCode(err) == sqlite3.SQLITE_MISMATCH || err != nil && scanError.MatchString(err.Error())
}

// withoutValue says what a bad value is without the value, which may be a part of what stands beside it: of a patient's data.
func withoutValue(err error) error {
	if column := scanError.FindStringSubmatch(err.Error()); column != nil {
		return fmt.Errorf("%w: a value of the column %s is of another type", errInconsistent, column[1])
	}
	return err
}

// badJSON reports whether a text that this program wrote as JSON is none any more.
func badJSON(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || kind
}

func noSpace(path string) bool {
	free, err := freeBytes(filepath.Dir(path))
	return err == nil && free < minFree
}
