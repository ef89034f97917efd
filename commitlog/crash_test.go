package commitlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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

// history is what a test handed in and what it was told.
type history struct {
	mu      sync.Mutex
	sent    map[uint64][]byte // by offset, as far as an offset was given
	unknown [][]byte          // handed in, no offset known
	acked   map[uint64][]byte
	dropped uint64 // DropBefore was called with at most this
}

func newHistory() *history { return &history{sent: map[uint64][]byte{}, acked: map[uint64][]byte{}} }

func (h *history) note(first uint64, err error, payloads [][]byte, acked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, p := range payloads {
		switch {
		case err != nil:
			h.unknown = append(h.unknown, p)
		case acked:
			h.acked[first+uint64(i)] = p
			fallthrough
		default:
			h.sent[first+uint64(i)] = p
		}
	}
}

// check makes sure that a reopened log has all that was acknowledged, where it was acknowledged, and
// nothing that was not handed in; then it forgets what is not there.
func (h *history) check(t require.TestingT, l *commitlog.Log) {
	end := l.End()
	require.LessOrEqual(t, l.Start(), h.dropped)
	require.LessOrEqual(t, end, uint64(len(h.sent)+len(h.unknown)))
	got := readAll(t, l)
	for offset, p := range h.acked {
		if offset >= l.Start() {
			require.Less(t, offset, end, "an acknowledged record is gone")
			require.True(t, bytes.Equal(p, []byte(got[offset-l.Start()])), "record %d differs", offset)
		}
	}
	for i, text := range got {
		h.explain(t, l.Start()+uint64(i), []byte(text))
	}
	for offset := range h.sent {
		if offset >= end {
			delete(h.sent, offset)
		}
	}
}

// explain makes sure that a record was handed in, and notes that it is there to stay.
func (h *history) explain(t require.TestingT, offset uint64, found []byte) {
	if p, ok := h.sent[offset]; ok && bytes.Equal(p, found) {
		h.acked[offset] = found
		return
	}
	for i, p := range h.unknown {
		if bytes.Equal(p, found) {
			h.unknown = append(h.unknown[:i], h.unknown[i+1:]...)
			h.sent[offset], h.acked[offset] = found, found
			return
		}
	}
	require.Fail(t, "a record is invented", "offset %d", offset)
}

// work does random things to a log until it fails or there is nothing left to do.
func work(l *commitlog.Log, h *history, rng *rand.Rand, steps int, number *int) error {
	for range steps {
		var payloads [][]byte
		for range 1 + rng.IntN(3) {
			*number++
			payloads = append(payloads, payload(rng, *number))
		}
		switch rng.IntN(10) {
		case 0, 1, 2:
			p, err := l.Enqueue(noCancel, payloads...) // nobody waits for it
			h.note(p.First, err, payloads, false)
			if err != nil {
				return err
			}
		case 3:
			offset := uint64(rng.IntN(int(l.End()) + 1))
			h.dropped = max(h.dropped, offset)
			if err := l.DropBefore(offset); err != nil {
				return err
			}
		default:
			first, err := l.Append(noCancel, payloads...)
			h.note(first, err, payloads, true)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// A machine loses power at a random point, comes back, loses it again, perhaps while it recovers.
func TestPowerCutsLoseNothingAcknowledged(t *testing.T) {
	t.Parallel()
	lives := 800
	if testing.Short() {
		lives = 200
	}
	cuts, opens := 0, 0
	for seed := range uint64(lives) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fsys, h, number := disktest.NewCrash(seed), newHistory(), 0
		require.NoError(t, fsys.MkdirAll(logDir, 0o755))
		for range 4 {
			fsys.CutAt(1+rng.IntN(160), []float64{0, 0.1, 0.5, 0.9, 1}[rng.IntN(5)])
			l, err := commitlog.Open(logDir, sized(fsys, seed))
			if err == nil {
				opens++
				h.checkUnlessCut(t, fsys, l, seed)
				err = work(l, h, rng, rng.IntN(40), &number)
				err = errors.Join(err, l.Close())
			}
			if fsys.AfterCut() != nil {
				cuts++
				if err != nil { // nil if it struck what nobody waits for
					require.ErrorIs(t, err, disktest.ErrPowerCut, "seed %d", seed)
				}
				fsys = fsys.AfterCut()
			} else {
				require.NoError(t, err, "seed %d", seed)
				fsys = fsys.CrashClone(0) // closed in good order: nothing may depend on luck
			}
		}
		l, err := commitlog.Open(logDir, sized(fsys, seed))
		require.NoError(t, err, "seed %d", seed)
		h.check(t, l)
		require.NoError(t, l.Verify(t.Context()))
		require.NoError(t, l.Close())
	}
	t.Logf("%d power cuts, %d starts between them", cuts, opens)
}

func (h *history) checkUnlessCut(t *testing.T, fsys *disktest.CrashFS, l *commitlog.Log, seed uint64) {
	if fsys.AfterCut() == nil {
		probe := fsys.CrashClone(0.5)
		again, err := commitlog.Open(logDir, sized(probe, seed))
		require.NoError(t, err, "power cut right after recovery")
		h.check(t, again)
		require.NoError(t, again.Close())
	}
}

// Many producers at once: what each was told before the lights went out must be there.
func TestPowerCutsUnderLoad(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		fsys, h := disktest.NewCrash(seed), newHistory()
		l := mustOpen(t, logDir, sized(fsys, seed))
		rng := rand.New(rand.NewPCG(seed, 2))
		fsys.CutAt(1+rng.IntN(200), 0.5)
		var wg sync.WaitGroup
		for p := range 8 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(p)))
				for i := 0; ; i++ {
					b := [][]byte{payload(rng, p*1000+i)}
					first, err := l.Append(noCancel, b...)
					h.note(first, err, b, true)
					if err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		require.ErrorIs(t, l.Close(), disktest.ErrPowerCut)
		l = mustOpen(t, logDir, sized(fsys.AfterCut(), seed))
		h.check(t, l)
		require.NoError(t, l.Close())
	}
}

// The process is killed, not the machine: what it wrote is in the page cache, whether synced or not.
// After that the machine loses power.
func TestKillThenPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		inner, h, number := disktest.NewCrash(seed), newHistory(), 0
		for range 3 {
			fsys := disktest.NewFault(inner)
			l, err := commitlog.Open(logDir, sized(fsys, seed))
			require.NoError(t, err, "seed %d", seed)
			h.check(t, l)
			// From some write on nothing more becomes durable, as if the process had been killed in it.
			fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1 + rng.IntN(30), Err: syscall.EIO, Sticky: true})
			_ = work(l, h, rng, 30, &number)
			_ = l.Close()
			if rng.IntN(2) == 0 {
				inner.ForgetDirty() // and the kernel takes it for written
			}
		}
		l := mustOpen(t, logDir, sized(inner, seed))
		h.check(t, l)
		first, err := l.Append(noCancel, []byte("after all"))
		h.note(first, err, [][]byte{[]byte("after all")}, true)
		require.NoError(t, err)
		cut := inner.CrashClone(0)
		require.NoError(t, l.Close())
		l, err = commitlog.Open(logDir, sized(cut, seed))
		require.NoError(t, err, "seed %d", seed)
		h.check(t, l)
		require.NoError(t, l.Close())
	}
}

// For every n, the n-th operation of each kind fails, once or from then on, at a write also half-way.
func TestEveryFaultIsToldAndLosesNothing(t *testing.T) {
	t.Parallel()
	step := 1
	if testing.Short() {
		step = 3
	}
	kinds := []disktest.Op{disktest.OpWrite, disktest.OpSync, disktest.OpOpen, disktest.OpRename, disktest.OpTruncate,
		disktest.OpRemove, disktest.OpSyncDir, disktest.OpReadDir, disktest.OpRead}
	for _, op := range kinds {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			for _, sticky := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %v sticky %v", op, cause, sticky), func(t *testing.T) {
					n := 1
					for faultRun(t, disktest.Fault{Op: op, N: n, Err: cause, Sticky: sticky, Short: n%2 == 0}) {
						n += step
					}
					t.Logf("%d places", n-1)
					if op != disktest.OpRead && op != disktest.OpOpen {
						require.Greater(t, n, 1, "the fault never struck")
					}
				})
			}
		}
	}
}

// faultRun opens a log that has some history, works, closes, and says whether the fault struck.
func faultRun(t *testing.T, fault disktest.Fault) bool {
	inner, h := disktest.NewCrash(uint64(fault.N)), newHistory()
	fsys := disktest.NewFault(inner)
	rng, number := rand.New(rand.NewPCG(1, 1)), 0
	l := mustOpen(t, logDir, small(fsys))
	require.NoError(t, work(l, h, rng, 40, &number))
	require.NoError(t, l.Close())

	fsys.Inject(fault)
	l, err := commitlog.Open(logDir, small(fsys))
	if err == nil {
		err = work(l, h, rng, 40, &number)
		if err != nil {
			require.ErrorIs(t, err, fault.Err)
		}
		if poisoned := l.Err(); poisoned != nil {
			requirePoisoned(t, l, fault.Err)
			require.ErrorIs(t, l.Close(), commitlog.ErrPoisoned)
		} else {
			_ = l.Close()
		}
	} else {
		require.ErrorIs(t, err, fault.Err)
		_, damaged := errors.AsType[*commitlog.CorruptionError](err)
		require.False(t, damaged, "a failing disk is not a damaged log: %v", err)
	}
	struck := fsys.Fired() > 0
	fsys.Heal()
	for _, after := range []disk.FS{inner.CrashClone(0.5), inner} {
		l, err = commitlog.Open(logDir, small(after))
		require.NoError(t, err)
		h.copy().check(t, l)
		require.NoError(t, l.Verify(t.Context()))
		require.NoError(t, l.Close())
	}
	return struck
}

func (h *history) copy() *history {
	return &history{sent: maps.Clone(h.sent), unknown: slices.Clone(h.unknown), acked: maps.Clone(h.acked), dropped: h.dropped}
}

func requirePoisoned(t *testing.T, l *commitlog.Log, cause error) {
	t.Helper()
	require.ErrorIs(t, l.Err(), commitlog.ErrPoisoned)
	require.ErrorIs(t, l.Err(), cause)
	end := l.End()
	_, err := l.Append(t.Context(), []byte("more"))
	require.ErrorIs(t, err, commitlog.ErrPoisoned)
	require.ErrorIs(t, err, cause)
	_, err = l.Enqueue(noCancel, []byte("more"))
	require.ErrorIs(t, err, commitlog.ErrPoisoned)
	require.ErrorIs(t, l.Wait(t.Context(), end), commitlog.ErrPoisoned)
	require.NoError(t, l.Wait(t.Context(), end-1))
	require.Equal(t, end, l.End())
}

// A failure poisons for all who wait, and what was durable can still be read.
func TestAFailedWritePoisons(t *testing.T) {
	for _, op := range []disktest.Op{disktest.OpWrite, disktest.OpSync} {
		t.Run(string(op), func(t *testing.T) {
			fsys := disktest.NewFault(disktest.NewCrash(1))
			l := mustOpen(t, logDir, small(fsys))
			_, err := l.Append(t.Context(), []byte("good"))
			require.NoError(t, err)
			fsys.Inject(disktest.Fault{Op: op, N: 1, Err: syscall.EIO})
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if _, err := l.Append(noCancel, []byte("bad")); !errors.Is(err, commitlog.ErrPoisoned) {
						t.Errorf("got %v", err)
					}
				})
			}
			wg.Wait()
			requirePoisoned(t, l, syscall.EIO)
			require.Equal(t, []string{"good"}, readAll(t, l))
			require.NoError(t, l.Verify(t.Context()))
			require.ErrorIs(t, l.Close(), syscall.EIO)
		})
	}
}

// A disk that is too full to prepare the next segment fails the appends that need it and nothing else, and the log goes
// on when there is room.
func TestAFullDiskFailsOnlyWhatNeedsTheNextSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		require.NoError(t, mustOpen(t, logDir, small(fsys)).Close())
		var discarded []uint64
		o := small(fsys)
		o.OnDiscard = func(from uint64) { discarded = append(discarded, from) }
		l := mustOpen(t, logDir, o) // so that the active file is not known by its first name
		isNext := func(name string) bool { return name == logDir+"/next.log.tmp" }
		fsys.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.ENOSPC, Sticky: true, Match: isNext})
		var err error
		for err == nil {
			_, err = l.Append(t.Context(), make([]byte, 100))
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorIs(t, err, commitlog.ErrNotPrepared)
		require.NotErrorIs(t, err, commitlog.ErrPoisoned)
		require.NoError(t, l.Err())
		end := l.End()
		require.GreaterOrEqual(t, end, uint64((4096-64-40)/144), "the active segment was filled first")
		require.Equal(t, []uint64{end}, discarded)

		tries := fsys.Fired()
		for range 10 {
			_, err = l.Append(t.Context(), make([]byte, 100))
			require.ErrorIs(t, err, commitlog.ErrNotPrepared)
		}
		require.Equal(t, tries, fsys.Fired(), "a full disk is not filled up by tries")

		fsys.Heal()
		time.Sleep(time.Second)
		first, err := l.Append(t.Context(), make([]byte, 100))
		require.NoError(t, err)
		require.Equal(t, end, first, "offsets have no gap")
		require.NoError(t, l.Close())
		l = mustOpen(t, logDir, small(fsys))
		require.Equal(t, end+1, l.End())
		require.NoError(t, l.Verify(t.Context()))
		require.NoError(t, l.Close())
	})
}

// TestFollowedRecordsAreNotTakenForOthers: whoever waits for an offset whose record was given up gets an error, also
// when another record has the offset by then.
func TestFollowedRecordsAreNotTakenForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		var l *commitlog.Log
		var givenUp, durable func(context.Context) error
		o := small(fsys)
		o.OnDiscard = func(from uint64) { givenUp, durable = l.Follow(from), l.Follow(from-1) }
		require.NoError(t, mustOpen(t, logDir, o).Close())
		l = mustOpen(t, logDir, o)
		isNext := func(name string) bool { return name == logDir+"/next.log.tmp" }
		fsys.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.ENOSPC, Sticky: true, Match: isNext})
		var err error
		for err == nil {
			_, err = l.Append(t.Context(), make([]byte, 600))
		}
		fsys.Heal()
		time.Sleep(time.Second)
		_, err = l.Append(t.Context(), []byte("another"))
		require.NoError(t, err)
		require.ErrorIs(t, givenUp(t.Context()), commitlog.ErrNotPrepared)
		require.NoError(t, durable(t.Context()))
		require.NoError(t, l.Follow(l.End()-1)(t.Context()))
		require.NoError(t, l.Close())
	})
}

// TestRoomComesAndGoes: producers work while the disk is full now and then. What was acknowledged is there, in its
// place, and nothing else.
func TestRoomComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		l := mustOpen(t, logDir, small(fsys))
		var mu sync.Mutex
		acked := map[uint64]string{}
		failed := 0
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for p := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					text := fmt.Sprint(p, "-", i, strings.Repeat(".", 300))
					first, err := l.Append(noCancel, []byte(text))
					mu.Lock()
					switch {
					case err == nil && acked[first] == "":
						acked[first] = text
					case errors.Is(err, commitlog.ErrNotPrepared):
						failed++
					default:
						t.Errorf("got %v", err)
					}
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			})
		}
		for range 2 {
			fsys.Inject(disktest.Fault{Op: disktest.OpOpen, N: 1, Err: syscall.ENOSPC, Sticky: true, Match: func(name string) bool { return name == logDir+"/next.log.tmp" }})
			time.Sleep(200 * time.Millisecond)
			fsys.Heal()
			time.Sleep(1200 * time.Millisecond)
		}
		close(stop)
		wg.Wait()
		require.Positive(t, failed)
		require.NoError(t, l.Close())
		l = mustOpen(t, logDir, small(fsys))
		all := readAll(t, l)
		require.Len(t, all, len(acked))
		for offset, text := range acked {
			require.Equal(t, text, all[offset])
		}
		require.NoError(t, l.Close())
	})
}

// A segment that could not be sealed costs nothing but a scan, and Close tells.
func TestAFailureToSealIsToldByClose(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	l := mustOpen(t, logDir, small(fsys))
	fsys.Inject(disktest.Fault{Op: disktest.OpTruncate, N: 1, Err: syscall.EIO, Sticky: true})
	for range 100 {
		_, err := l.Append(t.Context(), make([]byte, 100))
		require.NoError(t, err)
	}
	require.ErrorIs(t, l.Close(), syscall.EIO)
	fsys.Heal()
	l = mustOpen(t, logDir, small(fsys))
	require.Equal(t, uint64(100), l.End())
	require.NoError(t, l.Close())
	require.Contains(t, fileNames(t, fsys), "00000000000000000000.idx", "sealed after all")
}

// A process is killed between the rename of a new segment and the sync of the folder. What the next
// one appends there must survive a power cut all the same.
func TestKillBetweenRenameAndSync(t *testing.T) {
	inner := disktest.NewCrash(1)
	fsys := disktest.NewFault(inner)
	l := mustOpen(t, logDir, small(fsys))
	fsys.Inject(disktest.Fault{Op: disktest.OpSyncDir, N: 1, Err: syscall.EIO})
	var err error
	for err == nil {
		_, err = l.Append(t.Context(), make([]byte, 200))
	}
	require.ErrorIs(t, err, syscall.EIO)
	require.Error(t, l.Close())

	// Sealing would sync the folder by the way.
	fsys.Inject(disktest.Fault{Op: disktest.OpTruncate, N: 1, Err: syscall.EIO, Sticky: true})
	l = mustOpen(t, logDir, small(fsys))
	end := l.End()
	require.Equal(t, end, l.Segments()[1].Base, "the new segment is there, and empty")
	_, err = l.Append(t.Context(), []byte("after"))
	require.NoError(t, err)
	after := inner.CrashClone(0)
	require.Error(t, l.Close())
	l = mustOpen(t, logDir, small(after))
	require.Equal(t, end+1, l.End())
	require.NoError(t, l.Close())
}

// What a torn commit left at the end of a segment must not be taken for damage when the log rolled
// over it and could not seal the segment.
func TestATornTailLeavesNoTrace(t *testing.T) {
	inner := disktest.NewCrash(1)
	l := mustOpen(t, logDir, small(inner))
	for range 4 {
		_, err := l.Append(t.Context(), make([]byte, 800))
		require.NoError(t, err)
	}
	torn := inner.CrashClone(0)
	require.NoError(t, l.Close())
	write(segmentFile(0), 4000, 1, 2, 3)(t, torn)

	fsys := disktest.NewFault(torn)
	fsys.Inject(disktest.Fault{Op: disktest.OpTruncate, N: 1, Err: syscall.EIO, Sticky: true})
	l = mustOpen(t, logDir, small(fsys))
	_, err := l.Append(t.Context(), make([]byte, 800))
	require.NoError(t, err)
	require.Len(t, l.Segments(), 2)
	require.Error(t, l.Close())
	l = mustOpen(t, logDir, small(torn))
	require.Equal(t, uint64(5), l.End())
	require.NoError(t, l.Close())
}
