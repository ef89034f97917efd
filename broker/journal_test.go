package broker

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk/disktest"
)

// TestACompactionThatFindsNoRoomLosesNoGroup: what it writes does not fit into one batch, and the log has room for the
// last one only.
func TestACompactionThatFindsNoRoomLosesNoGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := disktest.NewCrash(1)
		fs := disktest.NewFault(inner)
		b, err := Open("/data", Options{FS: fs, AckDelay: 1000 * time.Hour})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "cases"))
		tp, err := b.topic("cases")
		require.NoError(t, err)
		j := tp.journal

		const groups, deliveries = 10, 54_000 // 3 bytes each: seven groups are a batch, three another
		_, err = b.Publish(t.Context(), "cases", make([]Message, deliveries)...)
		require.NoError(t, err)
		for i := range groups {
			g, err := tp.create(fmt.Sprint("g", i), 0)
			require.NoError(t, err)
			for range deliveries {
				g.state.acquireNext(1, never)
			}
		}
		writeAll := func() error {
			require.NoError(t, j.turn.Acquire(t.Context(), 1))
			j.lost = true
			j.turn.Release(1)
			return j.flush(t.Context())
		}
		// The log grows to its largest segment, batch by batch: how many segments two batches at once take depends on which of
		// the goroutines comes first. The last segment is filled so far that the first batch begins the next, which is prepared.
		first := []*group{tp.groups["g0"]}
		for s := j.log.Segments(); s[len(s)-1].Bytes < 4<<20-eventsTogether; s = j.log.Segments() {
			require.NoError(t, j.change(func(ctx context.Context) error {
				return j.write(ctx, first, (*group).takeEverything)
			}, func() {}))
			synctest.Wait()
		}
		fs.Inject(disktest.Fault{Op: disktest.OpOpen, N: 1, Err: syscall.ENOSPC, Sticky: true, Match: func(name string) bool {
			return filepath.Base(filepath.Dir(name)) == "groups" && strings.HasSuffix(name, ".tmp")
		}})
		require.NoError(t, writeAll()) // into that segment; there is no room for another one
		require.NoError(t, writeAll())
		s := j.log.Segments()
		free := 4<<20 - s[len(s)-1].Bytes
		require.True(t, eventsTogether/2 < free && free < eventsTogether, "room for the second batch, not for the first: %d", free)

		start := j.log.Start()
		require.NoError(t, j.turn.Acquire(t.Context(), 1))
		j.grown, j.base = 8<<20, 0
		j.turn.Release(1)
		require.ErrorIs(t, j.compact(t.Context()), commitlog.ErrNotPrepared)
		require.Equal(t, start, j.log.Start(), "nothing is dropped")
		requireGroups(t, inner.CrashClone(0), groups)

		require.ErrorIs(t, j.flush(t.Context()), commitlog.ErrNotPrepared, "its batches are not all there either")
		fs.Heal()
		time.Sleep(time.Second)
		require.NoError(t, j.flush(t.Context()))
		require.NoError(t, b.Close())
		requireGroups(t, inner, groups)
	})
}

func requireGroups(t *testing.T, fs *disktest.CrashFS, n int) {
	t.Helper()
	b, err := Open("/data", Options{FS: fs})
	require.NoError(t, err)
	groups, err := b.Groups("cases")
	require.NoError(t, err)
	require.Len(t, groups, n)
	require.NoError(t, b.Close())
}
