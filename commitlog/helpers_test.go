package commitlog_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/commitlog"
	"casepress/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noCancel is for producers that outlive their test's context.
var noCancel = context.Background()

const logDir = "/data/log"

// small keeps segments so small that tests roll often.
func small(fsys disk.FS) commitlog.Options {
	return commitlog.Options{FS: fsys, SegmentBytes: 4096}
}

// sized has segments of one block, of some and a part of one, and of many.
func sized(fsys disk.FS, seed uint64) commitlog.Options {
	o := small(fsys)
	o.SegmentBytes = []int64{4096, 10_000, 40_000}[seed%3]
	return o
}

func mustOpen(t require.TestingT, dir string, o commitlog.Options) *commitlog.Log {
	l, err := commitlog.Open(dir, o)
	require.NoError(t, err)
	return l
}

// readAll returns all records from the log's start on and checks that their offsets are dense.
func readAll(t require.TestingT, l *commitlog.Log) (payloads []string) {
	for next := l.Start(); ; {
		records, err := l.Read(next, 1000)
		require.NoError(t, err)
		if records == nil {
			require.Equal(t, l.End(), next)
			return payloads
		}
		for _, r := range records {
			require.Equal(t, next, r.Offset)
			payloads = append(payloads, string(r.Payload))
			next++
		}
	}
}

// payload is recognisable and of a size that depends on n: most are small, some span sectors.
func payload(rng *rand.Rand, n int) []byte {
	size := 8 + rng.IntN(200)
	if rng.IntN(8) == 0 {
		size = 600 + rng.IntN(1500)
	}
	b := make([]byte, size)
	binary.LittleEndian.PutUint64(b, uint64(n))
	for i := 8; i < len(b); i++ {
		b[i] = byte(rng.IntN(256))
	}
	return b
}

func segmentFile(base uint64) string { return filepath.Join(logDir, fmt.Sprintf("%020d.log", base)) }
func indexFile(base uint64) string   { return filepath.Join(logDir, fmt.Sprintf("%020d.idx", base)) }

func fileNames(t require.TestingT, fsys disk.FS) (names []string) {
	entries, err := fsys.ReadDir(logDir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
