package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// childEnv makes the test binary write into the database it names until killed.
const childEnv = "CASEPRESS_STORE_TEST_CHILD"

// child records and completes reports from several goroutines, and prints the
// number of each when it has been answered for.
func child(path string) int {
	ctx := context.Background()
	s, err := store.Open(ctx, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	rows := listEverything(s)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := rows + w; ; n += 8 {
				r := report(n)
				must(recordBatch(ctx, s, accepted(n, r)))
				fmt.Printf("recorded %d\n", n)
				row, err := claim(ctx, s, r.ID)
				must(err)
				must(complete(ctx, s, r.ID, row.Attempts, result(r)))
				fmt.Printf("completed %d\n", n)
			}
		})
	}
	wg.Wait()
	return 0
}

// listEverything returns a number that no report has yet.
func listEverything(s *store.Store) int {
	rows, _, err := s.List(context.Background(), caseReports, store.Filter{Limit: 1})
	must(err)
	if len(rows) == 0 {
		return 0
	}
	return int(rows[0].Sequence) + 1
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	answered := make(map[int]tasks.Status)
	for round := range 8 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines, last := bufio.NewScanner(out), 1+rand.IntN(300)
		for i := 0; lines.Scan(); i++ {
			var what string
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "%s %d", &what, &n); err != nil {
				break // cut off
			}
			answered[n] = map[string]tasks.Status{"recorded": tasks.Accepted, "completed": tasks.Completed}[what]
			if i == last {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait(), "killed")
		requireAnswered(t, path, answered, round)
	}
	t.Logf("%d reports were answered for", len(answered))
}

func requireAnswered(t *testing.T, path string, answered map[int]tasks.Status, round int) {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	requireSound(t, s)
	for n, status := range answered {
		row, err := get(s, report(n).ID)
		require.NoError(t, err, "round %d", round)
		require.Equal(t, report(n), reportOf(row))
		if status == tasks.Completed {
			require.Equal(t, tasks.Completed, row.Status)
			require.Equal(t, result(report(n)), row.Result)
		}
	}
	require.NoError(t, s.Close())
}

// After a power cut, the write-ahead log has at least what was synced, and after
// that anything. So it is cut at any length from an answer on, with a torn tail.
func TestPowerCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	const n, batch = 30, 3
	var synced [n]int64 // length of the write-ahead log when the batch was answered
	for i := range n {
		var records []tasks.Recorded
		for n := i * batch; n < (i+1)*batch; n++ {
			records = append(records, accepted(n, report(n)))
		}
		require.NoError(t, s.Record(t.Context(), "t", records, store.Watermark{Next: uint64((i + 1) * batch), Check: fmt.Sprint(i)}))
		info, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		synced[i] = info.Size()
	}
	db, err := os.ReadFile(path)
	require.NoError(t, err)
	wal, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	require.EqualValues(t, len(wal), synced[n-1], "a checkpoint came between")

	for cut := range 60 {
		kept := rand.IntN(n)
		size := synced[kept] + rand.Int64N(int64(len(wal))-synced[kept]+1)
		torn := append([]byte(nil), wal[:size]...)
		for i := synced[kept]; i < size; i++ {
			if rand.IntN(2000) == 0 {
				torn[i] ^= 1
			}
		}
		copied := filepath.Join(t.TempDir(), strconv.Itoa(cut))
		require.NoError(t, os.WriteFile(copied, db, 0o600))
		require.NoError(t, os.WriteFile(copied+"-wal", torn, 0o600))
		s, err := store.Open(t.Context(), copied)
		require.NoError(t, err)
		rows := listAll(t, s, store.Filter{})
		require.GreaterOrEqual(t, len(rows), (kept+1)*batch)
		require.Zero(t, len(rows)%batch, "a batch is there in part")
		mark, known, err := s.Watermark(t.Context(), "t")
		require.NoError(t, err)
		require.True(t, known)
		require.EqualValues(t, len(rows), mark.Next, "the watermark says what is there (I8)")
		require.NoError(t, store.CheckIntegrity(s))
		require.NoError(t, s.Close())
	}
}

// One flipped bit in the write-ahead log makes SQLite forget that transaction and all later ones, without a
// word. The watermark forgets with them, so that the log can fill them in (I8).
func TestFlippedBitInTheWriteAheadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	const n = 12
	for i := range n {
		upTo := store.Watermark{Next: uint64(i + 1), Check: fmt.Sprint(i)}
		require.NoError(t, s.Record(t.Context(), "t", []tasks.Recorded{accepted(i, report(i))}, upTo))
	}
	db, err := os.ReadFile(path)
	require.NoError(t, err)
	wal, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	lost := 0
	for range 60 {
		flipped := append([]byte(nil), wal...)
		flipped[len(wal)/3+rand.IntN(2*len(wal)/3)] ^= 1 << rand.IntN(8)
		copied := filepath.Join(t.TempDir(), "store.db")
		require.NoError(t, os.WriteFile(copied, db, 0o600))
		require.NoError(t, os.WriteFile(copied+"-wal", flipped, 0o600))
		s, err := store.Open(t.Context(), copied)
		require.NoError(t, err)
		mark, _, err := s.Watermark(t.Context(), "t")
		require.NoError(t, err)
		require.Len(t, listAll(t, s, store.Filter{}), int(mark.Next))
		if mark.Next < n {
			lost++
		}
		require.NoError(t, s.Record(t.Context(), "t", []tasks.Recorded{accepted(n-1, report(n-1))}, store.Watermark{Next: n, Check: "again"}))
		requireSound(t, s)
		require.NoError(t, s.Close())
	}
	require.NotZero(t, lost)
}
