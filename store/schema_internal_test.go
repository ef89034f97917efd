package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNormalized(t *testing.T) {
	const plain = `CREATE TABLE "a b" ( n INTEGER NOT NULL DEFAULT - 1 , t TEXT DEFAULT '--x' ) `
	for text, want := range map[string]string{
		"":            "",
		"-- a":        "",
		"a--b\nc":     "a c ",
		"'not closed": "' not closed ",
		"CREATE TABLE \"a b\" (n INTEGER NOT NULL DEFAULT -1, t TEXT DEFAULT '--x')":                                 plain,
		"CREATE  TABLE\n\"a b\" (\n\tn INTEGER NOT NULL DEFAULT -1, -- comment, with ' in it\nt TEXT DEFAULT '--x')": plain,
		"CREATE TABLE \"a  b\" (n)": `CREATE TABLE "a  b" ( n ) `,
	} {
		require.Equal(t, want, normalized(text), text)
	}
}
