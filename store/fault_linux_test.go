package store_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// inChild runs a test in a process of its own: a limit of the process would hold for the file, too, in which "go test"
// notes what the tests read, and fail them for that.
func inChild(t *testing.T, test func(*testing.T)) {
	const env = "CASEPRESS_TEST_LIMITS_FILES"
	if os.Getenv(env) != "" {
		test(t)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), env+"=1")
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "%s", out)
}

// limitFileSize makes every write beyond size bytes of any file of this process
// fail, in part or whole, until the returned function is called.
func limitFileSize(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}))
	return func() {
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
		signal.Reset(syscall.SIGXFSZ)
	}
}

// Wherever in the write-ahead log or the database the disk stops taking bytes:
// what was answered with nil is there, and the store goes on when it can.
func TestWriteFailsAtAnySize(t *testing.T) { inChild(t, writeFailsAtAnySize) }

func writeFailsAtAnySize(t *testing.T) {
	failed, step := 0, uint64(7_013)
	if testing.Short() {
		step *= 4
	}
	for size := uint64(0); size < 200_000; size += step {
		path := filepath.Join(t.TempDir(), "store.db")
		s := openAt(t, path)
		record(t, s, 0, 1)

		lift := limitFileSize(t, size)
		answered := make(map[int]tasks.Status)
		var lastErr error
		for n := range 12 {
			answered[n], lastErr = tryAll(t, s, n)
		}
		ping := s.Ping(t.Context())
		lift()

		if lastErr != nil {
			failed++
		}
		if size == 0 {
			require.ErrorContains(t, ping, "write", "not even one page fits")
		}
		require.NoError(t, s.Ping(t.Context()), "size %d", size)
		requireAtLeast(t, s, answered)
		for n := range 12 {
			status, err := tryAll(t, s, n)
			require.NoError(t, err, "size %d", size)
			answered[n] = status
		}
		requireAtLeast(t, s, answered)
		require.NoError(t, s.Close())
		requireAtLeast(t, openAt(t, path), answered)
	}
	require.NotZero(t, failed)
}

// tryAll brings report n as far as the disk lets it.
func tryAll(t *testing.T, s *store.Store, n int) (tasks.Status, error) {
	t.Helper()
	r := report(n)
	if err := recordBatch(t.Context(), s, accepted(n, r)); err != nil {
		return "", err
	}
	row, err := claim(t.Context(), s, r.ID)
	if row.Status == tasks.Completed {
		return tasks.Completed, nil
	}
	if err != nil {
		return tasks.Accepted, err
	}
	if err := complete(t.Context(), s, r.ID, row.Attempts, result(r)); err != nil {
		return tasks.Processing, err
	}
	return tasks.Completed, nil
}

func requireAtLeast(t *testing.T, s *store.Store, answered map[int]tasks.Status) {
	t.Helper()
	for n, status := range answered {
		if status == "" {
			continue
		}
		row, err := get(s, report(n).ID)
		require.NoError(t, err)
		require.Equal(t, status, row.Status)
	}
}

func TestDatabaseFull(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 10)
	require.NoError(t, store.ExecOnWriter(s, "PRAGMA max_page_count = 1")) // as few as there are now
	n := 10
	for ; n < 200; n++ {
		if err := recordBatch(t.Context(), s, accepted(n, report(n))); err != nil {
			require.ErrorContains(t, err, "full")
			break
		}
	}
	require.Less(t, n, 200)
	require.Len(t, listAll(t, s, store.Filter{}), n)
	_, err := claim(t.Context(), s, report(0).ID) // needs no page
	require.NoError(t, err)
	require.NoError(t, store.ExecOnWriter(s, "PRAGMA max_page_count = 1000000"))
	require.NoError(t, recordBatch(t.Context(), s, accepted(n, report(n))))
	require.NoError(t, s.Ping(t.Context()))
}

// SQLite calls a full disk an input or output error where it makes room for the index of its write-ahead
// log. Here the size of a file is limited instead, which is a full disk only if little is left.
func TestOpenOnAFullDisk(t *testing.T) { inChild(t, openOnAFullDisk) }

func openOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	record(t, s, 0, 1)
	require.NoError(t, s.Close())
	for name, full := range map[string]bool{"full": true, "room": false} {
		t.Run(name, func(t *testing.T) {
			left := uint64(1 << 40)
			if full {
				left = 4096
			}
			reset := store.SetFreeBytes(left)
			defer reset()
			lift := limitFileSize(t, 0)
			_, err := store.Open(t.Context(), path)
			lift()
			require.ErrorContains(t, err, "disk I/O error")
			require.Equal(t, full, errors.Is(err, syscall.ENOSPC), "%v", err)
			require.Equal(t, full, strings.Contains(err.Error(), "is full"), "%v", err)
		})
	}
}
