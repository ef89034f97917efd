package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk"
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
		for i := 0; full == nil; i++ { // fills the first segment
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

// TestAGroupChangeThatFindsNoRoomIsNotInForce: a group that could not be created is not there, one that could not be
// moved is where it was with what its members hold, and both work when there is room.
func TestAGroupChangeThatFindsNoRoomIsNotInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disktest.NewFault(disktest.NewCrash(1))
		b, err := broker.Open("/data", broker.Options{FS: fs})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "cases"))
		publishN(t, b, 10)
		long := strings.Repeat("y", 128)
		s, err := b.Subscribe("cases", long[1:], broker.SubscribeOptions{})
		require.NoError(t, err)
		held := receive(t, s, 3)
		fullDisk(fs, "groups")
		for i := 0; err == nil; i++ { // fills the first segment
			require.Less(t, i, 20_000)
			_, err = b.SetPosition("cases", strings.Repeat("x", 128), broker.Earliest)
		}
		for range 2 {
			_, err = b.Subscribe("cases", long, broker.SubscribeOptions{})
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
			_, err = b.SetPosition("cases", long, broker.Latest)
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
			_, err = b.Group("cases", long)
			require.ErrorIs(t, err, broker.ErrNoGroup)
			_, err = b.SetPosition("cases", long[1:], broker.Latest)
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
			require.ErrorIs(t, b.DeleteGroup("cases", strings.Repeat("x", 128)), commitlog.ErrNotPrepared)
		}
		require.NoError(t, held[0].Ack(), "it has not moved")
		info, err := b.Group("cases", long[1:])
		require.NoError(t, err)
		require.Equal(t, uint64(1), info.Start)
		require.Equal(t, 2, info.InFlight)

		fs.Heal()
		time.Sleep(3 * time.Second)
		offset, err := b.SetPosition("cases", long[1:], broker.Latest)
		require.NoError(t, err)
		require.Equal(t, uint64(10), offset)
		require.ErrorIs(t, held[1].Release(0), broker.ErrLockLost)
		_, err = b.SetPosition("cases", long, broker.FromOffset(4))
		require.NoError(t, err)
		require.NoError(t, b.DeleteGroup("cases", strings.Repeat("x", 128)))
		require.NoError(t, errors.Join(s.Close(), b.Close()))
		b, err = broker.Open("/data", broker.Options{FS: fs})
		require.NoError(t, err)
		groups, err := b.Groups("cases")
		require.NoError(t, err)
		require.Equal(t, []string{long[1:], long}, groups)
		require.NoError(t, b.Close())
	})
}

// TestPublishEndsWithItsContext also while a full batch waits for the disk, and holds nobody up who knows the answer.
func TestPublishEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &hungDisk{FS: disktest.NewCrash(1)}
		b, err := broker.Open("/data", broker.Options{FS: fsys})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "cases"))
		require.NoError(t, b.Close())
		b, err = broker.Open("/data", broker.Options{FS: fsys}) // so that the active file is known by its name
		require.NoError(t, err)
		_, err = b.Publish(t.Context(), "cases", broker.Message{ID: "known"})
		require.NoError(t, err)
		hung := make(chan struct{})
		fsys.hung.Store(&hung)
		large := func(id string) []broker.Message { // two of these are more than a batch
			return []broker.Message{{ID: id, Payload: make([]byte, 1<<20)}, {Payload: make([]byte, 1<<20)}, {Payload: make([]byte, 1<<20)}}
		}
		var publishers sync.WaitGroup
		for _, msgs := range [][]broker.Message{{{}}, large("first")} { // one on its way to the disk, one that fills a batch
			publishers.Go(func() {
				if _, err := b.Publish(t.Context(), "cases", msgs...); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for _, id := range []string{"", "new"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err = b.Publish(ctx, "cases", large(id)...)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		waiting, stop := context.WithCancel(t.Context())
		publishers.Go(func() {
			if _, err := b.Publish(waiting, "cases", large("other")...); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		_, err = b.Publish(t.Context(), "cases", broker.Message{ID: "known"})
		require.NoError(t, err, "it is there already")
		stop()
		synctest.Wait()
		fsys.hung.Store(nil)
		close(hung)
		publishers.Wait()
		end, err := b.End("cases")
		require.NoError(t, err)
		require.Equal(t, uint64(5), end, "what was given up is not there")
		require.NoError(t, b.Close())
	})
}

// hungDisk lets writes to the newest segments of messages wait while hung is set, until that is closed.
type hungDisk struct {
	disk.FS
	hung      atomic.Pointer[chan struct{}]
	hungReads atomic.Pointer[chan struct{}] // likewise for reads
}

func (d *hungDisk) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	return &hungFile{File: f, disk: d, active: filepath.Base(filepath.Dir(name)) == "log" && filepath.Ext(name) == ".log"}, err
}

type hungFile struct {
	disk.File
	disk   *hungDisk
	active bool
}

func (f *hungFile) ReadAt(p []byte, off int64) (int, error) {
	if hung := f.disk.hungReads.Load(); hung != nil && f.active {
		<-*hung
	}
	return f.File.ReadAt(p, off)
}

func (f *hungFile) WriteAt(p []byte, off int64) (int, error) {
	if hung := f.disk.hung.Load(); hung != nil && f.active {
		<-*hung
	}
	return f.File.WriteAt(p, off)
}

// TestOrderIsBegunWithoutTheLock: while the keys are read from a disk that hangs, the other members go on.
func TestOrderIsBegunWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &hungDisk{FS: disktest.NewCrash(1)}
		b, err := broker.Open("/data", broker.Options{FS: fsys})
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic(t.Context(), "cases"))
		for i := range 6 { // so much that the first are not in memory
			_, err := b.Publish(t.Context(), "cases", broker.Message{Key: fmt.Sprint(i % 2), Payload: make([]byte, 1<<20)})
			require.NoError(t, err)
		}
		s, err := b.Subscribe("cases", "g", broker.SubscribeOptions{})
		require.NoError(t, err)
		ds := receive(t, s, 4)
		hung := make(chan struct{})
		fsys.hungReads.Store(&hung)
		var ordered *broker.Subscription
		joined := make(chan error)
		go func() {
			var err error
			ordered, err = b.Subscribe("cases", "g", broker.SubscribeOptions{Ordered: true})
			joined <- err
		}()
		synctest.Wait()
		require.NoError(t, ds[0].Ack())
		require.NoError(t, ds[1].Ack())
		require.NoError(t, ds[2].Release(0))
		require.NoError(t, ds[3].Release(0))
		fsys.hungReads.Store(nil)
		close(hung)
		require.NoError(t, <-joined)
		require.NoError(t, s.Close())
		got := receive(t, ordered, 2)
		require.Equal(t, []uint64{2, 3}, []uint64{got[0].Offset, got[1].Offset})
		nothing(t, ordered)
		require.NoError(t, got[1].Ack())
		require.Equal(t, uint64(5), receive(t, ordered, 1)[0].Offset)
		require.NoError(t, errors.Join(ordered.Close(), b.Close()))
	})
}
