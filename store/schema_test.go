package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// closedWithRows returns the file of a closed store with rows in many tables, and its content.
func closedWithRows(t *testing.T) (path string, content []byte) {
	t.Helper()
	s, path := damageable(t)
	require.NoError(t, recordBatch(t.Context(), s, accepted(0, report(0)), accepted(1, report(1)), put(2, "P001", image(7))))
	_, err := claim(t.Context(), s, report(1).ID)
	require.NoError(t, err)
	require.NoError(t, complete(t.Context(), s, report(1).ID, 1, result(report(1))))
	require.NoError(t, s.KeepPicture(t.Context(), "aa", "o", result(report(0)).Images[0]))
	require.NoError(t, s.Close())
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	return path, content
}

// A value of another type, in any column that SQLite would let have one: whatever reads it tells, and so does whoever looks
// through all.
func TestAValueOfAnotherTypeIsTold(t *testing.T) {
	whole, content := closedWithRows(t)
	tested, enough := 0, 60
	every := 1
	if testing.Short() {
		every, enough = 4, 15
	}
	for i, c := range columnsWithRows(t, whole) {
		if i%every != 0 {
			continue
		}
		other := c.name + " % 1000 + 0.5" // a check sum has more digits than a fraction
		if c.declared == "TEXT" {
			other = "CAST(" + c.name + " AS BLOB)"
		}
		path := filepath.Join(t.TempDir(), "casepress.db")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		s, err := store.Open(t.Context(), path)
		require.NoError(t, err)
		require.NoError(t, s.Check(t.Context()))
		if err := store.ExecOnWriter(s, "UPDATE "+c.table+" SET "+c.name+" = "+other); err == nil { // else it is the number of the row itself
			tested++
			err := s.Check(t.Context())
			requireTells(t, err, path)
			require.ErrorContains(t, err, c.table+"."+c.name)
			requireTells(t, s.Ping(t.Context()), path)
		}
		require.NoError(t, s.Close())
	}
	require.Greater(t, tested, enough)
}

type columnWithRows struct{ table, name, declared string }

func columnsWithRows(t *testing.T, path string) (all []columnWithRows) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.Query(`SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'`)
	require.NoError(t, err)
	require.NoError(t, tasks.EachRow(rows, func() error {
		var c columnWithRows
		err := rows.Scan(&c.table, &c.name, &c.declared)
		all = append(all, c)
		return err
	}))
	filled := all[:0]
	for _, c := range all {
		var n int
		require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM "+c.table).Scan(&n))
		if n > 0 {
			filled = append(filled, c)
		}
	}
	return filled
}

// A time that has become a text, perhaps of what stands beside it: everybody who meets the row is told that it is damaged, but not
// of the text, and from then on Ping tells.
func TestATimeOfAnotherTypeIsTold(t *testing.T) {
	kind := tasks.KindCaseReport()
	for name, meet := range map[string]func(*store.Store) error{
		"get": func(s *store.Store) error { _, err := get(s, report(0).ID); return err },
		"find": func(s *store.Store) error {
			_, err := s.Find(t.Context(), accepted(0, report(0)).Submission)
			return err
		},
		"list":  func(s *store.Store) error { _, _, err := s.List(t.Context(), kind, store.Filter{}); return err },
		"claim": func(s *store.Store) error { _, err := claim(t.Context(), s, report(0).ID); return err },
		"compare": func(s *store.Store) error {
			return s.Compare(t.Context(), []tasks.Recorded{accepted(0, report(0))})
		},
		"check": func(s *store.Store) error { return s.Check(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			_, content := closedWithRows(t)
			path := filepath.Join(t.TempDir(), "casepress.db")
			require.NoError(t, os.WriteFile(path, content, 0o600))
			s, err := store.Open(t.Context(), path)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			require.NoError(t, store.ExecOnWriter(s, `UPDATE submissions SET received_at = 'secret'`))
			requireTells(t, meet(s), path)
			err = s.Ping(t.Context())
			requireTells(t, err, path)
			require.ErrorContains(t, err, "received_at")
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// withSchema returns a closed store in whose schema a text stands for another.
func withSchema(t *testing.T, was, is string) (path string) {
	t.Helper()
	path, _ = closedWithRows(t)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1) // the pragma is of one connection
	_, err = db.Exec("PRAGMA writable_schema = 1")
	require.NoError(t, err)
	result, err := db.Exec("UPDATE sqlite_master SET sql = replace(sql, $1, $2) WHERE tbl_name = 'submissions' AND instr(sql, $1) > 0", was, is)
	require.NoError(t, err)
	n, err := result.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NoError(t, db.Close())
	return path
}

// A letter in the text of the schema that leaves it well formed.
func TestASchemaWithAnotherLetterIsTold(t *testing.T) {
	for was, is := range map[string]string{
		"started_at      BIGINT  NOT NULL DEFAULT 0": "started_at      BIGINT  NOT NULL DEFAULT p",
		"attempts        INTEGER NOT NULL DEFAULT 0": "attempts        INTEGER NOT NULL DEFAULT 8",
		"version         BIGINT  NOT NULL DEFAULT 1": "version         BIGINT  NOT NULL DEFAULT 3",
		"error           TEXT":                       "error           TEXD",
		"WHERE finished_at = 0":                      "WHERE finished_at = 1",
		"error           ":                           "errob           ",
		"TABLE submissions":                          "TABLE sulmissions",
		"INDEX submissions_patient":                  "INDEX submissions_patiend",
	} {
		t.Run(is, func(t *testing.T) {
			path := withSchema(t, was, is)
			s, err := store.Open(t.Context(), path)
			if err == nil {
				err = s.Check(t.Context())
				requireTells(t, s.Ping(t.Context()), path)
				require.NoError(t, s.Close())
			}
			requireTells(t, err, path)
		})
	}
}

// With another default every new row is wrong. Whoever claims one says what it is, and it is not the submission's fault.
func TestAClaimWithAnotherDefaultIsTold(t *testing.T) {
	path := withSchema(t, "started_at      BIGINT  NOT NULL DEFAULT 0", "started_at      BIGINT  NOT NULL DEFAULT p")
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, recordBatch(t.Context(), s, accepted(3, report(3))))
	require.NoError(t, s.Ping(t.Context()))
	_, err = claim(t.Context(), s, report(3).ID)
	requireTells(t, err, path)
	requireTells(t, s.Ping(t.Context()), path)
}

// A value that cannot be read while a result is kept says nothing of the result, which must not be refused for good.
func TestAResultIsNotRefusedForADamagedRow(t *testing.T) {
	s, path := damageable(t)
	record(t, s, 0, 1)
	_, err := claim(t.Context(), s, report(0).ID)
	require.NoError(t, err)
	require.NoError(t, store.ExecOnWriter(s, `UPDATE submissions SET sequence = sequence + 0.5`))
	err = complete(t.Context(), s, report(0).ID, 1, result(report(0)))
	require.NotErrorIs(t, err, store.ErrBadResult)
	requireTells(t, err, path)
}

// A database that was brought here from any earlier version has the same schema as a new one, also where a kind had made its
// table before there was a migration for it, in other words.
func TestTheSchemaOfEveryVersionIsSound(t *testing.T) {
	for upTo := 1; ; upTo++ {
		if _, err := store.MigrationText(upTo); err != nil {
			require.Greater(t, upTo, 13)
			return
		}
		if testing.Short() && upTo%4 != 1 {
			continue
		}
		o := makeOld(t, upTo)
		if upTo < 9 {
			o.exec(t, `CREATE TABLE IF NOT EXISTS adverse_events (
			id TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL, result TEXT NOT NULL DEFAULT '', check_sum BIGINT NOT NULL DEFAULT 0)`)
		}
		s, err := store.Open(t.Context(), o.path)
		require.NoError(t, err)
		require.NoError(t, s.Check(t.Context()), "from version %d", upTo)
		require.NoError(t, s.Close())
	}
}

// A trigger can lose every row that is written, and a view can stand for a table: the start says so, and so does a look through a
// database that is open.
func TestATriggerOrAViewIsTold(t *testing.T) {
	for name, statements := range map[string][]string{
		"trigger": {"CREATE TRIGGER loses AFTER INSERT ON submissions BEGIN DELETE FROM submissions; END"},
		"view":    {"CREATE VIEW another AS SELECT 1"},
		"view in place of a table": {
			"ALTER TABLE watermarks RENAME TO others", "CREATE VIEW watermarks AS SELECT * FROM others",
		},
		"view in place of the steps": {
			"ALTER TABLE schema_migrations RENAME TO others", "CREATE VIEW schema_migrations AS SELECT * FROM others",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := closedWithRows(t)
			s, err := store.Open(t.Context(), path)
			require.NoError(t, err)
			for _, statement := range statements {
				require.NoError(t, store.ExecOnWriter(s, statement))
			}
			requireTells(t, s.Check(t.Context()), path)
			requireTells(t, s.Ping(t.Context()), path)
			require.NoError(t, s.Close())
			for range 2 { // and it changes nothing
				_, err = store.Open(t.Context(), path)
				requireTells(t, err, path)
				require.ErrorContains(t, err, strings.Fields(name)[0])
			}
		})
	}
}

// What is written through a view that has taken the place of a table says so.
func TestAViewInPlaceOfATableIsToldByAWrite(t *testing.T) {
	s, path := damageable(t)
	require.NoError(t, store.ExecOnWriter(s, "ALTER TABLE watermarks RENAME TO others"))
	require.NoError(t, store.ExecOnWriter(s, "CREATE VIEW watermarks AS SELECT * FROM others"))
	requireTells(t, s.SetWatermark(t.Context(), "case-reports", store.Watermark{Next: 1}), path)
}

// Beside the tables of this program there may be others.
func TestAnIndexOfAnOperatorIsNoDamage(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 1)
	require.NoError(t, store.ExecOnWriter(s, `CREATE INDEX operator ON submissions (visit_id)`))
	require.NoError(t, store.ExecOnWriter(s, `ANALYZE`))
	require.NoError(t, s.Check(t.Context()))
}
