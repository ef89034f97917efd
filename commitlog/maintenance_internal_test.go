package commitlog

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"casepress/disk/disktest"
)

// TestACommitWaitsForNoOtherLogsSegments: while others take all places in the background, a log goes on from segment to segment,
// also with as few files as can be.
func TestACommitWaitsForNoOtherLogsSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := NewFiles(1)
		var leave []func()
		for range backgroundFiles {
			leave = append(leave, files.enterBackground())
		}
		l, err := Open("/data/log", Options{FS: disktest.NewCrash(1), Files: files, SegmentBytes: 4096})
		require.NoError(t, err)
		for range 50 {
			_, err := l.Append(t.Context(), make([]byte, 300))
			require.NoError(t, err)
			synctest.Wait() // until the next segment is asked for
		}
		require.Greater(t, len(l.Segments()), 3)
		for _, end := range leave {
			end()
		}
		require.NoError(t, l.Close())
		for _, s := range l.segments[:len(l.segments)-1] {
			require.True(t, s.indexed, "closed when there was a place")
		}
	})
}
