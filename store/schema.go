package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"casepress/tasks"
)

// schema is what the migrations and the kinds make of an empty database.
type schema struct {
	objects []object
	tables  []table
}

// object is a table, an index, a trigger or a view, and the text that made it, normalized.
type object struct{ kind, name, table, text string }

// table has those columns whose declaration leaves one type of value.
type table struct {
	name    string
	columns []column
}

// column has the name that SQLite's typeof gives every value in it.
type column struct{ name, typeof string }

// ownSchema returns the schema that this program makes.
func ownSchema(ctx context.Context) (own schema, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return schema{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // each connection has a database of its own
	if err := migrate(ctx, db, migrations); err != nil {
		return schema{}, err
	}
	if err := makeTables(ctx, db); err != nil {
		return schema{}, err
	}
	if own.objects, err = readObjects(ctx, db); err != nil {
		return schema{}, err
	}
	own.tables, err = readTables(ctx, db)
	return own, err
}

func readObjects(ctx context.Context, db *sql.DB) (all []object, err error) {
	rows, err := db.QueryContext(ctx, `SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_master`)
	if err != nil {
		return nil, err
	}
	err = tasks.EachRow(rows, func() error {
		var o object
		var text string
		err := rows.Scan(&o.kind, &o.name, &o.table, &text)
		o.text = normalized(text)
		all = append(all, o)
		return err
	})
	return all, err
}

func readTables(ctx context.Context, db *sql.DB) (all []table, err error) {
	rows, err := db.QueryContext(ctx, `SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c."notnull" = 1 ORDER BY m.name, c.cid`)
	if err != nil {
		return nil, err
	}
	err = tasks.EachRow(rows, func() error {
		var of, declared string
		var c column
		if err := rows.Scan(&of, &c.name, &declared); err != nil {
			return err
		}
		switch declared {
		case "INTEGER", "BIGINT":
			c.typeof = "integer"
		case "TEXT":
			c.typeof = "text"
		default: // SQLite may keep others as several types
			return nil
		}
		if len(all) == 0 || all[len(all)-1].name != of {
			all = append(all, table{name: of})
		}
		last := &all[len(all)-1]
		last.columns = append(last.columns, c)
		return nil
	})
	return all, err
}

// normalized is the text of a statement without comments, which earlier versions wrote in other words, and with one space
// between its tokens.
func normalized(text string) string {
	var tokens strings.Builder
	for text != "" {
		n := tokenBytes(text)
		if token := text[:n]; !strings.HasPrefix(token, "--") && strings.TrimSpace(token) != "" {
			tokens.WriteString(token)
			tokens.WriteByte(' ')
		}
		text = text[n:]
	}
	return tokens.String()
}

// tokenBytes is how long the token is that a text begins with: a quoted text or name, a comment, a word, or a single sign.
func tokenBytes(text string) int {
	inWord := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	first, size := utf8.DecodeRuneInString(text)
	switch {
	case first == '\'' || first == '"':
		if end := strings.IndexRune(text[1:], first); end >= 0 {
			return end + 2
		}
	case strings.HasPrefix(text, "--"):
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			return end
		}
		return len(text)
	case inWord(first):
		if end := strings.IndexFunc(text, func(r rune) bool { return !inWord(r) }); end >= 0 {
			return end
		}
		return len(text)
	}
	return size
}

// refuseForeign refuses triggers, which change or lose rows when others are written, and views, which take the place of tables.
// This program makes none.
func refuseForeign(ctx context.Context, db *sql.DB) error {
	objects, err := readObjects(ctx, db)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.kind == "trigger" || o.kind == "view" {
			return fmt.Errorf("%w: the %s %s is not of this program", errInconsistent, o.kind, o.name)
		}
	}
	return nil
}

// checkSchema compares the tables and indexes with those that this program makes. One letter that the disk has changed in
// their text may leave it well formed, such as another default, with which every new row would be wrong. What is there
// beside them, as a kind's that only another program knows or an operator's index, is left alone, but not a trigger or a view.
func (s *Store) checkSchema(ctx context.Context, own schema) error {
	if err := refuseForeign(ctx, s.reads); err != nil {
		return err
	}
	found, err := readObjects(ctx, s.reads)
	if err != nil {
		return err
	}
	for _, want := range own.objects {
		if !slices.Contains(found, want) {
			return fmt.Errorf("%w: the %s %s is not as this program makes it", errInconsistent, want.kind, want.name)
		}
	}
	return nil
}

// checkTypes looks in every row for a value of another type than its column has. SQLite keeps the type beside each value, so
// that one bit that the disk has changed makes another number of it, or a text that equals no other.
func (s *Store) checkTypes(ctx context.Context, own schema) error {
	for _, t := range own.tables {
		rows, err := s.reads.QueryContext(ctx, typesQuery(t))
		if err != nil {
			return err
		}
		err = tasks.EachRow(rows, func() error {
			var column, typeof string
			if err := rows.Scan(&column, &typeof); err != nil {
				return err
			}
			return fmt.Errorf("%w: a value of %s.%s is %s", errInconsistent, t.name, column, typeof)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// typesQuery gives the first value that is of another type: its column, and its type.
func typesQuery(t table) string {
	var wrong, column, typeof strings.Builder
	for i, c := range t.columns {
		differs := `typeof(` + c.name + `) <> '` + c.typeof + `'`
		if i > 0 {
			wrong.WriteString(" OR ")
		}
		wrong.WriteString(differs)
		fmt.Fprintf(&column, " WHEN %s THEN '%s'", differs, c.name)
		fmt.Fprintf(&typeof, " WHEN %s THEN typeof(%s)", differs, c.name)
	}
	return "SELECT CASE" + column.String() + " END, CASE" + typeof.String() + " END FROM " + t.name + " WHERE " + wrong.String() + " LIMIT 1"
}
