package store_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// requireTells checks that an error of damage names the file and what to do.
func requireTells(t *testing.T, err error, path string) {
	t.Helper()
	require.ErrorIs(t, err, store.ErrDamaged)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "move "+path+"* away")
}

func TestOpenTellsOfADamagedHeader(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, whole)
	record(t, s, 0, 20)
	require.NoError(t, s.Close())
	content, err := os.ReadFile(whole)
	require.NoError(t, err)
	for name, damage := range map[string]func(b []byte) []byte{
		"magic":     func(b []byte) []byte { b[3] ^= 1; return b },
		"page size": func(b []byte) []byte { b[16] ^= 0xff; return b },
		"format":    func(b []byte) []byte { b[47] = 9; return b },
		"version":   func(b []byte) []byte { b[18], b[19] = 9, 9; return b },
		"encoding":  func(b []byte) []byte { b[59] = 2; return b },
		"schema":    func(b []byte) []byte { b[100] ^= 0xff; return b },
		"cut off":   func(b []byte) []byte { return b[:len(b)/2] },
		"text":      func([]byte) []byte { return []byte(strings.Repeat("this is no database. ", 10)) },
		"zeros":     func(b []byte) []byte { clear(b); return b },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "casepress.db")
			require.NoError(t, os.WriteFile(path, damage(append([]byte(nil), content...)), 0o600))
			_, err := store.Open(t.Context(), path)
			requireTells(t, err, path)
		})
	}
}

// A page in the middle: the read that meets it tells, or the check does, and from then on Ping.
func TestDamageIsTold(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, whole)
	record(t, s, 0, 400)
	require.NoError(t, s.Close())
	content, err := os.ReadFile(whole)
	require.NoError(t, err)
	const page = 4096
	told := 0
	for range 40 {
		n := 1 + rand.IntN(len(content)/page-1)
		path := filepath.Join(t.TempDir(), "casepress.db")
		broken := append([]byte(nil), content...)
		for i := range page {
			broken[n*page+i] = 0xa5
		}
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		s, err := store.Open(t.Context(), path)
		if err != nil {
			requireTells(t, err, path)
			continue
		}
		for i := range 400 {
			row, err := get(s, report(i).ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				requireTells(t, err, path)
				requireTells(t, s.Ping(t.Context()), path)
				told++
				break
			}
			if err == nil {
				require.Equal(t, report(i), row.Content)
			}
		}
		requireTells(t, s.Check(t.Context()), path)
		requireTells(t, s.Ping(t.Context()), path)
		require.NoError(t, s.Close())
	}
	require.NotZero(t, told)
}

func TestFullDisk(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 1)
	require.NoError(t, store.ExecOnWriter(s, "PRAGMA max_page_count = 1"))
	var err error
	for n := 1; n < 200 && err == nil; n++ {
		err = recordBatch(t.Context(), s, accepted(n, report(n)))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "disk that holds")
	require.ErrorContains(t, err, "is full")
	require.NoError(t, store.ExecOnWriter(s, "PRAGMA max_page_count = 1000000"))
	require.NoError(t, recordBatch(t.Context(), s, accepted(500, report(500))))
}

func TestReadOnlyFile(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 1)
	require.NoError(t, store.ExecOnWriter(s, "PRAGMA query_only = 1"))
	require.ErrorIs(t, recordBatch(t.Context(), s, accepted(1, report(1))), store.ErrReadOnly)
	require.ErrorIs(t, s.Ping(t.Context()), store.ErrReadOnly)
	_, err := get(s, report(0).ID)
	require.NoError(t, err, "reads go on")
	require.NoError(t, store.ExecOnWriter(s, "PRAGMA query_only = 0"))
	require.NoError(t, s.Ping(t.Context()))
	_, _, err = s.List(t.Context(), tasks.KindCaseReport(), store.Filter{})
	require.NoError(t, err)
}
