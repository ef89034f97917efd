package commitlog_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk/disktest"
)

// Every opening leaves a seal between the records. A reader whose buffer ends
// behind a seal must not read on over the records that it has not handed out yet.
func TestReaderAcrossSeals(t *testing.T) {
	fsys := disktest.NewCrash(1)
	random := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	for range 150 {
		l, err := commitlog.Open("/log", commitlog.Options{FS: fsys})
		require.NoError(t, err)
		for range 1 + random.IntN(5) {
			payload := bytes.Repeat(fmt.Appendf(nil, "%06d,", len(want)), 1+random.IntN(400))
			want = append(want, payload)
			_, err := l.Append(t.Context(), payload)
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
	}
	l, err := commitlog.Open("/log", commitlog.Options{FS: fsys})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	for _, maxBytes := range []int{1, 10_000, 64 << 10, 100_000, 1 << 20, 4 << 20} {
		r := l.NewReader(0)
		next := 0
		for {
			records, err := r.Next(maxBytes)
			require.NoError(t, err)
			if len(records) == 0 {
				break
			}
			for _, rec := range records {
				require.EqualValues(t, next, rec.Offset)
				require.True(t, bytes.Equal(want[next], rec.Payload), "max %d: offset %d is not what was appended", maxBytes, next)
				next++
			}
		}
		require.Len(t, want, next)
		require.NoError(t, r.Close())
	}
}
