package commitlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
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

// smallDisk has room for so many bytes and then fails with ENOSPC, as a disk that is nearly full. A write that fails has
// written the blocks that had room.
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
	if err := d.FS.Rename(from, to); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sizes[to] = d.sizes[from]
	delete(d.sizes, from)
	return nil
}

func (d *smallDisk) Remove(name string) error {
	if err := d.FS.Remove(name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room += *d.sizes[name]
	delete(d.sizes, name)
	return nil
}

type smallFile struct {
	disk.File
	disk *smallDisk
	name string // when it was opened
	size *int64
}

// grow takes the room that the file needs to reach so far, or as far as there is room for whole blocks.
func (f *smallFile) grow(to int64) (reached int64) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	more := max(0, to-*f.size)
	if more > f.disk.room {
		more = f.disk.room / disk.BlockBytes * disk.BlockBytes
		to = *f.size + more
	}
	f.disk.room -= more
	*f.size += more
	return to
}

func (f *smallFile) Truncate(size int64) error {
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.room += *f.size - size
	*f.size = size
	return nil
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
	reached := f.grow(off + int64(len(p)))
	if reached == off+int64(len(p)) {
		return f.File.WriteAt(p, off)
	}
	n := 0
	if reached > off {
		var err error
		if n, err = f.File.WriteAt(p[:reached-off], off); err != nil {
			return n, err
		}
	}
	return n, &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
}

func (d *smallDisk) setRoom(room int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

// fillFast appends large batches faster than zeros are written ahead, until the segment that is written to has none and
// has taken one.
func fillFast(t *testing.T, l *commitlog.Log, size func() int64) {
	for grown, segments := 0, 0; grown < 3; {
		before := size()
		_, err := l.Append(t.Context(), make([]byte, 3<<20))
		require.NoError(t, err)
		synctest.Wait()
		grown++
		if n := len(l.Segments()); n > segments || size()-before > 4<<20 { // another segment, or one with zeros ahead
			grown, segments = 0, n
		}
	}
}

// TestAFullDiskPoisonsNoSegmentWithoutZeros: a batch that finds no room behind others fails alone, whichever it is.
func TestAFullDiskPoisonsNoSegmentWithoutZeros(t *testing.T) {
	for _, room := range []int64{0, disk.BlockBytes, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			const much = 1 << 30
			d := newSmallDisk(much)
			var discarded []uint64
			o := commitlog.Options{FS: d, OnDiscard: func(from uint64) { discarded = append(discarded, from) }}
			l := mustOpen(t, logDir, o)
			fillFast(t, l, func() int64 { d.mu.Lock(); defer d.mu.Unlock(); return much - d.room })
			d.setRoom(room)
			end := l.End()
			large := bytes.Repeat([]byte("x"), 2<<20)
			_, err := l.Append(t.Context(), large)
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.NoError(t, l.Err(), "a full disk poisons nothing")
			require.Equal(t, []uint64{end}, discarded)
			require.Equal(t, end, l.End())
			require.NoError(t, l.Verify(t.Context()))
			d.mu.Lock()
			require.Equal(t, room, d.room, "nothing is left of it")
			d.mu.Unlock()

			_, err = l.Append(t.Context(), large)
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
			crashed := mustOpen(t, logDir, commitlog.Options{FS: d.FS.(*disktest.CrashFS).CrashClone(0.5)})
			require.Equal(t, end, crashed.End(), "the failed one is gone for good")
			require.Nil(t, crashed.Cut())
			require.NoError(t, crashed.Close())

			d.setRoom(64 << 20)
			time.Sleep(2 * time.Second)
			first, err := l.Append(t.Context(), []byte("after"))
			require.NoError(t, err)
			require.Equal(t, end, first)
			require.NoError(t, l.Close())
			l = mustOpen(t, logDir, commitlog.Options{FS: d})
			require.Equal(t, end+1, l.End())
			require.NoError(t, l.Verify(t.Context()))
			require.NoError(t, l.Close())
		})
	}
}

// TestAFailedWriteThatCannotBeUndonePoisons, above all where a sync fails.
func TestAFailedWriteThatCannotBeUndonePoisons(t *testing.T) {
	for name, fault := range map[string]disktest.Fault{
		"truncate": {Op: disktest.OpTruncate, N: 1}, // the first sync is the one of the write itself, which works
		"rewrite":  {Op: disktest.OpSync, N: 2},
		"sync":     {Op: disktest.OpSync, N: 3},
		"verify":   {Op: disktest.OpRead, N: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const much = 1 << 30
				d := newSmallDisk(much)
				fsys := disktest.NewFault(d)
				l := mustOpen(t, logDir, commitlog.Options{FS: fsys})
				fillFast(t, l, func() int64 { d.mu.Lock(); defer d.mu.Unlock(); return much - d.room })
				d.setRoom(disk.BlockBytes)
				end := l.End()
				fault.Err = syscall.EIO
				fsys.Inject(fault)
				_, err := l.Append(t.Context(), make([]byte, 2<<20))
				require.ErrorIs(t, err, commitlog.ErrPoisoned)
				require.ErrorIs(t, err, syscall.EIO)
				require.ErrorIs(t, err, syscall.ENOSPC)
				require.NotErrorIs(t, err, commitlog.ErrNotPrepared)
				require.ErrorIs(t, l.Close(), commitlog.ErrPoisoned)
				fsys.Heal()
				l = mustOpen(t, logDir, commitlog.Options{FS: d.FS.(*disktest.CrashFS).CrashClone(0.5)})
				require.Equal(t, end, l.End())
				require.NoError(t, l.Close())
			})
		})
	}
}

// TestAFullFolderPoisonsNothing: a prepared segment for whose name the folder has no room waits for the next batch.
func TestAFullFolderPoisonsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		l := mustOpen(t, logDir, small(fsys))
		fsys.Inject(disktest.Fault{Op: disktest.OpRename, N: 1, Err: syscall.ENOSPC, Match: func(name string) bool {
			return strings.HasSuffix(name, ".log")
		}})
		var err error
		for err == nil {
			_, err = l.Append(t.Context(), make([]byte, 100))
		}
		require.ErrorIs(t, err, commitlog.ErrNotPrepared)
		require.NoError(t, l.Err())
		end := l.End()
		for range 100 {
			_, err = l.Append(t.Context(), make([]byte, 100))
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
		l = mustOpen(t, logDir, small(fsys))
		require.Equal(t, end+100, l.End())
		require.NoError(t, l.Close())
	})
}

// TestAFullDiskLeavesTheLogUnsealed, which Close tells and which costs nothing.
func TestAFullDiskLeavesTheLogUnsealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const much = 1 << 30
		d := newSmallDisk(much)
		l := mustOpen(t, logDir, commitlog.Options{FS: d})
		fillFast(t, l, func() int64 { d.mu.Lock(); defer d.mu.Unlock(); return much - d.room })
		_, err := l.Append(t.Context(), make([]byte, disk.BlockBytes-l.Segments()[len(l.Segments())-1].Bytes%disk.BlockBytes-64))
		require.NoError(t, err)
		d.setRoom(0)
		time.Sleep(3 * time.Second)
		require.NoError(t, l.Err())
		end := l.End()
		require.ErrorIs(t, l.Close(), syscall.ENOSPC)
		d.setRoom(1 << 20)
		l = mustOpen(t, logDir, commitlog.Options{FS: d})
		require.Equal(t, end, l.End())
		require.NoError(t, l.Close())
	})
}

// TestRoomComesAndGoesInRandomOrder, and now and then the power goes too, also while a write is undone: what was
// acknowledged is there, and nothing that was refused.
func TestRoomComesAndGoesInRandomOrder(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			inner := disktest.NewCrash(seed)
			d := &smallDisk{FS: inner, room: 1 << 30, sizes: map[string]*int64{}}
			h, refused := newHistory(), map[string]bool{}
			o := commitlog.Options{FS: d, SegmentBytes: 2 << 20}
			l := mustOpen(t, logDir, o)
			inner.CutAt(40+rng.IntN(250), 0.5)
			for number := range 50 {
				switch rng.IntN(4) {
				case 0:
					d.setRoom(rng.Int64N(600 << 10))
				case 1:
					d.setRoom(1 << 30)
					time.Sleep(time.Second)
				}
				p := append(fmt.Appendf(nil, "%d.", number), make([]byte, rng.IntN(600<<10))...)
				first, err := l.Append(noCancel, p)
				if errors.Is(err, commitlog.ErrNotPrepared) && inner.AfterCut() == nil {
					refused[string(p)] = true
					require.NoError(t, l.Err())
					continue
				}
				h.note(first, err, [][]byte{p}, true)
				if err != nil {
					break
				}
			}
			_ = l.Close() // which may tell that it found no room for a seal
			after := inner.AfterCut()
			if after == nil {
				after = inner.CrashClone(0)
			}
			l = mustOpen(t, logDir, commitlog.Options{FS: after, SegmentBytes: 2 << 20})
			h.check(t, l)
			for _, text := range readAll(t, l) {
				require.False(t, refused[text], "what was refused is not there")
			}
			require.NoError(t, l.Verify(t.Context()))
			require.NoError(t, l.Close())
		})
	}
}

// TestWhatIsAppendedWhileASmallSegmentIsPrepared does not join the batch that the segment is made for: on a disk that is
// nearly full the segment is no larger than the batch.
func TestWhatIsAppendedWhileASmallSegmentIsPrepared(t *testing.T) {
	for name, c := range map[string]struct {
		room        int64
		first, late error
	}{
		"room for the first": {32<<10 + 48<<10, nil, commitlog.ErrNotPrepared}, // the first segment, and 48 KiB
		"room for none":      {32<<10 + 12<<10, commitlog.ErrNotPrepared, commitlog.ErrNotPrepared},
		"room for both":      {32<<10 + 112<<10, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newSmallDisk(c.room)
				var discarded []uint64
				l := mustOpen(t, logDir, commitlog.Options{FS: d, OnDiscard: func(from uint64) { discarded = append(discarded, from) }})
				for l.Segments()[0].Bytes < 25<<10 {
					_, err := l.Append(t.Context(), make([]byte, 1500))
					require.NoError(t, err)
				}
				synctest.Wait() // 128 KiB could not be prepared ahead
				end := l.End()
				var late commitlog.Pending
				d.mu.Lock()
				d.onPrepare = func() {
					var err error
					late, err = l.Enqueue(t.Context(), make([]byte, 64<<10))
					require.NoError(t, err)
				}
				d.mu.Unlock()
				_, err := l.Append(t.Context(), make([]byte, 12<<10))
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
