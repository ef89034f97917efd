package tasks

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Tx is a transaction on the rows. Statements keep to the SQL that SQLite and PostgreSQL share, with
// parameters $1, $2 …; each text is prepared once and kept, so there must be few of them.
type Tx interface {
	// Exec runs a statement and returns how many rows it changed.
	Exec(query string, args ...any) (int64, error)
	Query(query string, args ...any) (*sql.Rows, error)
}

// Rows is how a kind keeps its content and results in tables of its own, beside the row that every
// submission has in the table submissions. All functions run within a transaction of the store.
type Rows struct {
	// Tables are statements that make the kind's tables and indexes where they are not there yet. They
	// run whenever the database is opened.
	Tables []string
	// Blobs are the tables that name blobs by their digest, and where. A blob that none of them names belongs to
	// no submission and may be deleted. They are read one after the other: where a digest moves from one table to another,
	// the one that it leaves comes first.
	Blobs []BlobColumns
	// Insert adds what is new with the submission. For a kind with a lane it is called once, after the
	// row in submissions was made; for one without it is called for every record, which may come again:
	// the second time must change nothing.
	Insert func(Tx, Recorded) error
	// Changed returns the submission whose status Insert may have changed, for those who watch it; nil
	// if records of this kind change none but the one they are.
	Changed func(Content) Ref
	// Complete keeps the result. Nil for a kind without a lane.
	Complete func(tx Tx, id string, r Result) error
	// Forget deletes what was kept between the attempts at a submission that is completed. It may be left out while nothing was
	// kept of any. Nil: nothing is kept.
	Forget func(tx Tx, id string) error
	// Load reads contents and results, by id. What the table submissions has of them is given, so that it need not
	// be read twice. Nil for a kind without a lane.
	Load func(tx Tx, of []Stored) (map[string]Loaded, error)
	// Find looks up what was accepted before under the same key, for a kind without a lane: nil if the
	// kind is not unique by key. It returns found = false if there is nothing.
	Find func(tx Tx, c Content) (sha256 string, found bool, err error)
	// Receipt is Find by what a client knows, for a kind without a lane whose records clients hand in by themselves; nil if they do not.
	Receipt func(tx Tx, h Header) (sha256 string, found bool, err error)
	// Verify looks at every row that Load does not read and returns ErrChanged if one is not as it was written. Nil if
	// there are none.
	Verify func(tx Tx) error
	// Events returns what is told of records of the kind's topic beside that submissions are finished, made of their rows: by
	// offset, up to limit of those after the offset, -1 for all. What it tells of a record never changes. Nil: nothing is told.
	Events func(tx Tx, after int64, limit int) ([]RecordEvent, error)
	// Received returns the one of Events that the record of a submission alone says, whatever becomes of its row. It is published
	// as soon as the record is on stable storage, and once more with the others: it has one id. Nil: there is none.
	Received func(Recorded) (Event, error)
	// Repeat says that the same content, handed in a second time, gets a record of its own and is answered as a
	// replay.
	Repeat bool
}

// ErrChanged says that a row is not as it was written: the disk has changed it.
var ErrChanged = errors.New("a row is not as it was written")

// digestJSON is the lower-case hex SHA-256 of content as JSON, members in the order of the struct.
func digestJSON(content any) string {
	canonical, err := json.Marshal(content)
	if err != nil {
		panic(fmt.Sprintf("a %T is no JSON: %v", content, err)) // strings and numbers always marshal
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// CheckSum is kept beside what has no digest, so that a change is noticed: a part of the SHA-256, never 0, which
// stands in rows of earlier versions and means that there is none.
func CheckSum(text []byte) int64 {
	sum := sha256.Sum256(text)
	if n := int64(binary.BigEndian.Uint64(sum[:])); n != 0 {
		return n
	}
	return 1
}

// CheckSumOf is CheckSum of values, which are strings and numbers, as a list in JSON.
func CheckSumOf(values ...any) int64 {
	text, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("%T is no JSON: %v", values, err)) // strings and numbers always marshal
	}
	return CheckSum(text)
}

// BlobColumns are columns of a kind's table that hold the lower-case hex SHA-256 of a blob, or the empty text
// for none. Key are the columns of the primary key, in its order, in which the table is read; it never changes.
type BlobColumns struct {
	Table        string
	Key, Columns []string
	// Digests returns the digests, also empty ones, that a column names which holds more than one digest. Nil: each column
	// holds one. An error says that it cannot be told what the column names, and then no blob may be deleted.
	Digests func(column string) ([]string, error)
}

// Recorded is a record and the offset at which its topic keeps it.
type Recorded struct {
	Offset uint64
	Submission
}

// Stored is what the table submissions has of one submission, as far as a kind needs it to read the rest.
type Stored struct {
	Header
	// Completed says that there is a result. Without it the submission has none.
	Completed bool
}

// Loaded is what a kind's own tables have of one submission.
type Loaded struct {
	Content Content
	Result  Result // nil unless completed
}

// RecordEvent is the event that tells of the record at an offset.
type RecordEvent struct {
	Offset uint64
	Event  Event
}

// Ref names one submission.
type Ref struct{ Kind, ID string }

// JSONRows returns rows for a kind whose content and result are one JSON document each: a table of that
// name with the columns id, content, result and check_sum, which is that of the result. R is the type of the result.
func JSONRows[C Content, R any](table string) Rows {
	insert := `INSERT INTO ` + table + ` (id, content) VALUES ($1, $2)`
	complete := `UPDATE ` + table + ` SET result = $1, check_sum = $2 WHERE id = $3`
	return Rows{
		Tables: []string{`CREATE TABLE IF NOT EXISTS ` + table + ` (
			id TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL, result TEXT NOT NULL DEFAULT '', check_sum BIGINT NOT NULL DEFAULT 0)`},
		Insert: func(tx Tx, r Recorded) error {
			content, err := json.Marshal(r.Content)
			if err != nil {
				return err
			}
			_, err = tx.Exec(insert, r.Content.Header().ID, string(content))
			return err
		},
		Complete: func(tx Tx, id string, r Result) error {
			typed, ok := r.(R)
			if !ok {
				return wrongResult(table, r, typed)
			}
			result, err := json.Marshal(typed)
			if err != nil {
				return err
			}
			_, err = tx.Exec(complete, string(result), CheckSum(result), id)
			return err
		},
		Load: func(tx Tx, of []Stored) (map[string]Loaded, error) {
			return loadJSON[C, R](tx, table, of)
		},
	}
}

// wrongResult refuses a result that is not of its kind's own type.
func wrongResult(of string, got, want Result) error {
	return fmt.Errorf("the result for %s is a %T, it must be a %T", of, got, want)
}

func loadJSON[C Content, R any](tx Tx, table string, of []Stored) (map[string]Loaded, error) {
	in, args := InList(idsOf(of))
	rows, err := tx.Query(`SELECT id, content, result, check_sum FROM `+table+` WHERE id IN `+in, args...)
	if err != nil {
		return nil, err
	}
	loaded := make(map[string]Loaded, len(of))
	err = EachRow(rows, func() error {
		var id, content, result string
		var sum int64
		if err := rows.Scan(&id, &content, &result, &sum); err != nil {
			return err
		}
		if sum != 0 && sum != CheckSum([]byte(result)) {
			return fmt.Errorf("%w: the result of %s", ErrChanged, id)
		}
		var c C
		if err := json.Unmarshal([]byte(content), &c); err != nil {
			return fmt.Errorf("content of %s: %w", id, err)
		}
		l := Loaded{Content: c}
		if result != "" {
			var r R
			if err := json.Unmarshal([]byte(result), &r); err != nil {
				return fmt.Errorf("result of %s: %w", id, err)
			}
			l.Result = r
		}
		loaded[id] = l
		return nil
	})
	return loaded, err
}

func idsOf(of []Stored) []string {
	ids := make([]string, len(of))
	for i, s := range of {
		ids[i] = s.ID
	}
	return ids
}

// EachRow calls scan for every row and closes the rows.
func EachRow(rows *sql.Rows, scan func() error) error {
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		if err := scan(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// InList returns "($1, $2 …)" for an IN with all ids, and the ids as arguments. The number of parameters
// is rounded up to a power of two by repeating the last id, so that few texts have to be prepared. There
// must be at least one id.
func InList(ids []string) (in string, args []any) {
	n := 1
	for n < len(ids) {
		n *= 2
	}
	var b strings.Builder
	args = make([]any, n)
	for i := range n {
		b.WriteString(", $" + strconv.Itoa(i+1))
		args[i] = ids[min(i, len(ids)-1)]
	}
	return "(" + b.String()[2:] + ")", args
}
