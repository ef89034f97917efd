package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnnumbered(t *testing.T) {
	for _, c := range []struct {
		query, text string
		places      []int
	}{
		{`SELECT 1`, `SELECT 1`, nil},
		{`a = $1 AND b = $2`, `a = ? AND b = ?`, nil},
		{`VALUES ($1, $2, $2, $3)`, `VALUES (?, ?, ?, ?)`, []int{1, 2, 2, 3}},
		{`a = $2 AND b = $1`, `a = ? AND b = ?`, []int{2, 1}},
		{`a = $1 AND b = $1`, `a = ? AND b = ?`, []int{1, 1}},
		{`a = $10`, `a = ?`, []int{10}},
		{`a = '$1' AND b = 'it''s $2' AND c = $1`, `a = '$1' AND b = 'it''s $2' AND c = ?`, nil},
		{"a = $1 -- $2 it's\n AND b = $2", "a = ? -- $2 it's\n AND b = ?", nil},
		{`a = $x`, `a = $x`, nil},
	} {
		text, places := unnumbered(c.query)
		require.Equal(t, c.text, text)
		require.Equal(t, c.places, places, c.query)
	}
}

func TestStatementsPlaceTheirArguments(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir()+"/store.db")
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for query, want := range map[string]string{
		`SELECT $1 || $2`:         "ab",
		`SELECT $2 || $1 || $2`:   "bab",
		`SELECT $2 || '$1' || $2`: "b$1b",
	} {
		rows, err := s.queries.query(t.Context(), query, "a", "b")
		require.NoError(t, err)
		require.True(t, rows.Next())
		var got string
		require.NoError(t, rows.Scan(&got))
		require.Equal(t, want, got)
		require.NoError(t, rows.Close())
	}
	for _, query := range []string{`SELECT $2`, `SELECT $1 || $3`} {
		_, err = s.queries.query(t.Context(), query, "a")
		require.Error(t, err, query)
	}
	_, err = s.queries.query(t.Context(), `SELECT $0`, "a")
	require.Error(t, err)
}
