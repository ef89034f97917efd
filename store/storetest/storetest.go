// Package storetest implements what tests of a whole service have in common about its rows.
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
)

// emptyRows is the database that store.Open makes where there is none. To make it takes more processor time than most tests
// that need one, so it is made once a process and copied; how it is made and migrated is tested in store.
var emptyRows = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "casepress-test-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "casepress.db")
	s, err := store.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// WriteEmpty puts casepress.db into dir, with rows that show nothing.
func WriteEmpty(t testing.TB, dir string) {
	t.Helper()
	rows, err := emptyRows()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "casepress.db"), rows, 0o600))
}
