package commitlog_test

import (
	"context"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
)

// smallDisk has room for so many bytes and then fails with ENOSPC, as a disk that is nearly full.
type smallDisk struct {
	disk.FS
	mu        sync.Mutex
	room      int64
	sizes     map[string]*int64
	onPrepare func() // called once, when the next segment is begun to be written
}

func newSmallDisk(room int64) *smallDisk {
	return &smallDisk{FS: disktest.NewCrash(1), room: room, sizes: map[string]*int64{}}
}

func (d *smallDisk) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sizes[name] == nil {
		d.sizes[name] = new(int64)
	}
	if flag&os.O_TRUNC != 0 {
		d.room += *d.sizes[name]
		*d.sizes[name] = 0
	}
	return &smallFile{File: f, disk: d, name: name, size: d.sizes[name]}, nil
}

func (d *smallDisk) Rename(from, to string) error {
	d.mu.Lock()
	d.sizes[to] = d.sizes[from]
	delete(d.sizes, from)
	d.mu.Unlock()
	return d.FS.Rename(from, to)
}

func (d *smallDisk) Remove(name string) error {
	d.mu.Lock()
	d.room += *d.sizes[name]
	delete(d.sizes, name)
	d.mu.Unlock()
	return d.FS.Remove(name)
}

type smallFile struct {
	disk.File
	disk *smallDisk
	name string // when it was opened
	size *int64
}

// grow takes the room that the file needs to reach so far.
func (f *smallFile) grow(to int64) bool {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	more := max(0, to-*f.size)
	if more > f.disk.room {
		return false
	}
	f.disk.room -= more
	*f.size += more
	return true
}

func (f *smallFile) WriteAt(p []byte, off int64) (int, error) {
	if strings.HasSuffix(f.name, ".tmp") {
		f.disk.mu.Lock()
		hook := f.disk.onPrepare
		f.disk.onPrepare = nil
		f.disk.mu.Unlock()
		if hook != nil {
			hook()
		}
	}
	if !f.grow(off + int64(len(p))) {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	return f.File.WriteAt(p, off)
}

// TestWhatIsAppendedWhileASmallSegmentIsPrepared does not join the batch that the segment is made for: on a disk that is
// nearly full the segment is no larger than the batch.
func TestWhatIsAppendedWhileASmallSegmentIsPrepared(t *testing.T) {
	for name, c := range map[string]struct {
		room        int64
		first, late error
	}{
		"room for the first": {1<<20 + 3<<19, nil, commitlog.ErrNotPrepared}, // the first segment, and 1.5 MiB
		"room for none":      {1<<20 + 3<<17, commitlog.ErrNotPrepared, commitlog.ErrNotPrepared},
		"room for both":      {1<<20 + 7<<19, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newSmallDisk(c.room)
				var discarded []uint64
				l := mustOpen(t, logDir, commitlog.Options{FS: d, OnDiscard: func(from uint64) { discarded = append(discarded, from) }})
				for l.Segments()[0].Bytes < 800<<10 {
					_, err := l.Append(t.Context(), make([]byte, 50<<10))
					require.NoError(t, err)
				}
				synctest.Wait() // 4 MiB could not be prepared ahead
				end := l.End()
				var late commitlog.Pending
				d.mu.Lock()
				d.onPrepare = func() {
					var err error
					late, err = l.Enqueue(t.Context(), make([]byte, 2<<20))
					require.NoError(t, err)
				}
				d.mu.Unlock()
				_, err := l.Append(t.Context(), make([]byte, 400<<10))
				require.ErrorIs(t, err, c.first)
				require.Equal(t, end+1, late.First)
				require.ErrorIs(t, late.Wait(t.Context()), c.late)
				require.NoError(t, l.Err(), "a full disk poisons nothing")
				switch {
				case c.first != nil:
					require.Equal(t, []uint64{end}, discarded)
				case c.late != nil:
					require.Equal(t, []uint64{end + 1}, discarded)
				}

				d.mu.Lock()
				d.room = 64 << 20
				d.mu.Unlock()
				time.Sleep(time.Second)
				at := l.End()
				first, err := l.Append(t.Context(), []byte("after"))
				require.NoError(t, err)
				require.Equal(t, at, first, "offsets have no gap")
				require.NoError(t, l.Verify(t.Context()))
				require.NoError(t, l.Close())
				l = mustOpen(t, logDir, commitlog.Options{FS: d})
				require.Equal(t, first+1, l.End())
				require.NoError(t, l.Close())
			})
		})
	}
}

// TestEnqueueEndsWithItsContext while a full batch waits for the disk, and has appended nothing then.
func TestEnqueueEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &hungDisk{FS: disktest.NewCrash(1)}
		l := mustOpen(t, logDir, commitlog.Options{FS: fsys, BatchBytes: 1000})
		fsys.hang()
		var taken []commitlog.Pending
		for range 2 { // one on its way to the disk, one that fills
			p, err := l.Enqueue(t.Context(), make([]byte, 900))
			require.NoError(t, err)
			taken = append(taken, p)
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := l.Enqueue(ctx, make([]byte, 900))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, full, err := l.TryEnqueue(make([]byte, 900))
		require.NoError(t, err)
		require.NotNil(t, full)
		fsys.goOn()
		for _, p := range taken {
			require.NoError(t, p.Wait(t.Context()))
		}
		<-full
		p, full, err := l.TryEnqueue([]byte("x"))
		require.NoError(t, err)
		require.Nil(t, full)
		require.Equal(t, uint64(2), p.First)
		require.NoError(t, p.Wait(t.Context()))
		require.NoError(t, l.Close())
	})
}

// hungDisk lets writes wait between hang and goOn.
type hungDisk struct {
	disk.FS
	mu   sync.Mutex
	hung chan struct{} // nil: it does not hang
}

func (d *hungDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hung = make(chan struct{})
}

func (d *hungDisk) goOn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.hung)
	d.hung = nil
}

func (d *hungDisk) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	return &hungFile{File: f, disk: d}, err
}

type hungFile struct {
	disk.File
	disk *hungDisk
}

func (f *hungFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	hung := f.disk.hung
	f.disk.mu.Unlock()
	if hung != nil {
		<-hung
	}
	return f.File.WriteAt(p, off)
}
