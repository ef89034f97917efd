package broker_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk/disktest"
)

// fullDisk fails to make a new segment in folders of that name, until Heal.
func fullDisk(fs *disktest.FaultFS, folder string) {
	fs.Inject(disktest.Fault{Op: disktest.OpOpen, N: 1, Err: syscall.ENOSPC, Sticky: true, Match: func(name string) bool {
		return filepath.Base(filepath.Dir(name)) == folder && strings.HasSuffix(name, ".tmp")
	}})
}

// TestAFullDiskPasses: what was refused is not there and is no duplicate when it is sent again; what was acknowledged
// is there.
func TestAFullDiskPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disktest.NewFault(disktest.NewCrash(1))
		b, err := broker.Open("/data", broker.Options{FS: fs, SegmentBytes: 8192})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "cases"))
		fullDisk(fs, "log")
		payload := make([]byte, 1000)
		n := 0
		for ; err == nil; n++ {
			_, err = b.Publish(t.Context(), "cases", broker.Message{ID: fmt.Sprint(n), Payload: payload})
		}
		require.ErrorIs(t, err, commitlog.ErrNotPrepared)
		require.NoError(t, b.Err())
		end, err := b.End("cases")
		require.NoError(t, err)
		require.Equal(t, uint64(n-1), end)

		fs.Heal()
		time.Sleep(time.Second)
		other, err := b.Publish(t.Context(), "cases", broker.Message{ID: "other", Payload: payload})
		require.NoError(t, err)
		require.Equal(t, end, other)
		again, err := b.Publish(t.Context(), "cases", broker.Message{ID: fmt.Sprint(n - 1), Payload: payload})
		require.NoError(t, err)
		require.Equal(t, end+1, again, "it was not stored before")
		for i := range n - 1 {
			offset, err := b.Publish(t.Context(), "cases", broker.Message{ID: fmt.Sprint(i), Payload: payload})
			require.NoError(t, err)
			require.Equal(t, uint64(i), offset, "it was")
		}
		require.NoError(t, b.Close())
	})
}

// TestAFullDiskDelaysWhatGroupsDid: their events are written when there is room, and the groups go on meanwhile.
func TestAFullDiskDelaysWhatGroupsDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disktest.NewFault(disktest.NewCrash(1))
		b, err := broker.Open("/data", broker.Options{FS: fs})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "cases"))
		publishN(t, b, 10)
		s, err := b.Subscribe("cases", "g", broker.SubscribeOptions{})
		require.NoError(t, err)
		fullDisk(fs, "groups")
		var full error
		for i := 0; full == nil; i++ { // fills the first segment, of 1 MiB
			require.Less(t, i, 20_000)
			_, full = b.SetPosition("cases", strings.Repeat("x", 100)+fmt.Sprint(i%10), broker.Earliest)
		}
		require.ErrorIs(t, full, commitlog.ErrNotPrepared)
		for _, d := range receive(t, s, 3) {
			require.NoError(t, d.Ack())
		}
		if err := b.Flush(t.Context()); err != nil { // a small event may still fit
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
		}
		require.NoError(t, b.Err())
		deleted := b.DeleteGroup("cases", strings.Repeat("x", 100)+"1")
		fs.Heal()
		time.Sleep(3 * time.Second)
		require.NoError(t, b.Flush(t.Context()))
		require.NoError(t, s.Close())
		require.NoError(t, b.Close())
		b, err = broker.Open("/data", broker.Options{FS: fs})
		require.NoError(t, err)
		info, err := b.Group("cases", "g")
		require.NoError(t, err)
		require.Equal(t, uint64(3), info.Start)
		_, err = b.Group("cases", strings.Repeat("x", 100)+"1")
		if deleted != nil {
			require.ErrorIs(t, deleted, commitlog.ErrNotPrepared)
			require.NoError(t, err, "it was not deleted")
		} else {
			require.ErrorIs(t, err, broker.ErrNoGroup)
		}
		require.NoError(t, errors.Join(b.Err(), b.Close()))
	})
}
