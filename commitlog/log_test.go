package commitlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk/disktest"
)

func TestAppendedRecordsAreReadBackInOrder(t *testing.T) {
	l := mustOpen(t, t.TempDir(), commitlog.Options{SegmentBytes: 8192})
	first, err := l.Append(t.Context(), []byte("a"), nil, []byte("c"))
	require.NoError(t, err)
	require.Zero(t, first)
	require.Equal(t, uint64(3), l.End())
	first, err = l.Append(t.Context(), []byte(strings.Repeat("d", 20000)))
	require.NoError(t, err)
	require.Equal(t, uint64(3), first)
	require.Equal(t, []string{"a", "", "c", strings.Repeat("d", 20000)}, readAll(t, l))
	records, err := l.Read(4, 100)
	require.NoError(t, err)
	require.Nil(t, records, "at the end")
	require.NoError(t, l.Verify(t.Context()))
	require.NoError(t, l.Close())
}

func TestReadKeepsToMaxBytesButReturnsOneRecord(t *testing.T) {
	l := mustOpen(t, t.TempDir(), commitlog.Options{})
	defer l.Close()
	_, err := l.Append(t.Context(), make([]byte, 100), make([]byte, 100), make([]byte, 100))
	require.NoError(t, err)
	for most, want := range map[int]int{0: 1, 99: 1, 199: 1, 200: 2, 299: 2, 300: 3, 1000: 3} {
		records, err := l.Read(0, most)
		require.NoError(t, err)
		require.Len(t, records, want, "at most %d bytes", most)
	}
}

// Batches smaller and larger than a reader's buffer, with seals between them, read in pieces of any size
// from anywhere, by one reader that jumps and by Read.
func TestReadsOfAnySizeFromAnywhere(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	o := commitlog.Options{FS: disktest.NewCrash(1), SegmentBytes: 700 << 10}
	var want []string
	for range 12 {
		l := mustOpen(t, logDir, o)
		for range rng.IntN(40) {
			var batch [][]byte
			for range 1 + rng.IntN(1+rng.IntN(60)) {
				batch = append(batch, bytes.Repeat(fmt.Appendf(nil, "%d,", len(want)), rng.IntN(1+rng.IntN(3000))))
				want = append(want, string(batch[len(batch)-1]))
			}
			_, err := l.Append(t.Context(), batch...)
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
	}
	l := mustOpen(t, logDir, o)
	jumper := l.NewReader(0)
	for range 3000 {
		from, most := uint64(rng.IntN(len(want))), 1<<rng.IntN(22)
		if rng.IntN(3) > 0 {
			from = min(jumper.Offset(), uint64(len(want)-1))
		}
		jumper.Seek(from)
		for _, read := range []func() ([]commitlog.Record, error){
			func() ([]commitlog.Record, error) { return l.Read(from, most) },
			func() ([]commitlog.Record, error) { return jumper.Next(most) },
		} {
			records, err := read()
			require.NoError(t, err)
			require.NotEmpty(t, records)
			for i, r := range records {
				require.Equal(t, from+uint64(i), r.Offset)
				require.Equal(t, want[r.Offset], string(r.Payload), "record %d, read from %d with %d", r.Offset, from, most)
			}
		}
	}
	require.NoError(t, jumper.Close())
	require.NoError(t, l.Close())
}

func TestPayloadsBelongToTheCaller(t *testing.T) {
	l := mustOpen(t, t.TempDir(), commitlog.Options{})
	defer l.Close()
	sent := []byte("one")
	_, err := l.Append(t.Context(), sent, []byte("two"))
	require.NoError(t, err)
	sent[0] = 'X'
	got, err := l.Read(0, 100)
	require.NoError(t, err)
	_ = append(got[0].Payload, "overwrites nothing"...)
	got[0].Payload[0] = 'Y'
	again, err := l.Read(0, 100)
	require.NoError(t, err)
	require.Equal(t, "one", string(again[0].Payload))
	require.Equal(t, "two", string(got[1].Payload))
}

func TestAnEmptyLog(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		l := mustOpen(t, dir, commitlog.Options{})
		require.Zero(t, l.Start())
		require.Zero(t, l.End())
		records, err := l.Read(0, 100)
		require.NoError(t, err)
		require.Nil(t, records)
		offset, err := l.OffsetAt(time.Now())
		require.NoError(t, err)
		require.Zero(t, offset)
		first, err := l.Append(t.Context())
		require.NoError(t, err)
		require.Zero(t, first)
		require.NoError(t, l.Verify(t.Context()))
		require.NoError(t, l.Close())
	}
}

func TestTooLargeIsRefusedAndNothingElse(t *testing.T) {
	l := mustOpen(t, t.TempDir(), commitlog.Options{MaxRecordBytes: 1000, BatchBytes: 2000})
	defer l.Close()
	_, err := l.Append(t.Context(), make([]byte, 1001))
	require.ErrorIs(t, err, commitlog.ErrTooLarge)
	_, err = l.Append(t.Context(), make([]byte, 1000), make([]byte, 1000))
	require.ErrorIs(t, err, commitlog.ErrTooLarge)
	_, err = l.Enqueue(noCancel, make([]byte, 1001))
	require.ErrorIs(t, err, commitlog.ErrTooLarge)
	_, err = l.Append(t.Context(), make([]byte, 1000), make([]byte, 900))
	require.NoError(t, err)
	require.NoError(t, l.Err())
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, o := range []commitlog.Options{{SegmentBytes: 100}, {MaxRecordBytes: 2 << 30}, {BatchBytes: -1}} {
		_, err := commitlog.Open(t.TempDir(), o)
		require.Error(t, err)
	}
}

func TestAClosedLogRefuses(t *testing.T) {
	l := mustOpen(t, t.TempDir(), commitlog.Options{})
	_, err := l.Append(t.Context(), []byte("x"))
	require.NoError(t, err)
	waited := make(chan error)
	go func() { waited <- l.Wait(context.Background(), 1) }()
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-waited, commitlog.ErrClosed)
	require.NoError(t, l.Close(), "closing twice is no error")
	_, err = l.Append(t.Context(), []byte("x"))
	require.ErrorIs(t, err, commitlog.ErrClosed)
	_, err = l.Enqueue(noCancel, []byte("x"))
	require.ErrorIs(t, err, commitlog.ErrClosed)
	_, err = l.Read(0, 1)
	require.ErrorIs(t, err, commitlog.ErrClosed)
	_, err = l.OffsetAt(time.Time{})
	require.ErrorIs(t, err, commitlog.ErrClosed)
	require.ErrorIs(t, l.Verify(t.Context()), commitlog.ErrClosed)
	require.NoError(t, l.Err(), "closed is not poisoned")
}

func TestContextEndsTheWait(t *testing.T) {
	l := mustOpen(t, t.TempDir(), commitlog.Options{})
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := l.Append(ctx, []byte("x"))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, l.Wait(ctx, 0), context.Canceled)
	require.Zero(t, l.End(), "nothing was written")
}

// What is known is told, also to somebody whose wait has ended.
func TestAnEndedWaitForWhatIsStored(t *testing.T) {
	l := mustOpen(t, logDir, commitlog.Options{FS: disktest.NewCrash(1)})
	defer func() { require.NoError(t, l.Close()) }()
	p, err := l.Enqueue(noCancel, []byte("x"))
	require.NoError(t, err)
	require.NoError(t, p.Wait(noCancel))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // where both are ready, select takes either
		require.NoError(t, p.Wait(ended))
	}
}

func TestEnqueuedRecordsAreAwaitedLater(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	l := mustOpen(t, logDir, small(fsys))
	var pending []commitlog.Pending
	for i := range 100 {
		p, err := l.Enqueue(noCancel, []byte(fmt.Sprint(i)), []byte("second"))
		require.NoError(t, err)
		require.Equal(t, uint64(2*i), p.First)
		pending = append(pending, p)
	}
	for _, p := range slices.Backward(pending) {
		require.NoError(t, p.Wait(t.Context()))
		require.Less(t, p.First+1, l.End())
	}
	none, err := l.Enqueue(noCancel)
	require.NoError(t, err)
	require.NoError(t, none.Wait(t.Context()))

	fsys.Inject(disktest.Fault{Op: disktest.OpWrite, N: 1, Err: syscall.EIO, Sticky: true})
	lost, err := l.Enqueue(noCancel, []byte("lost"))
	require.NoError(t, err)
	require.ErrorIs(t, lost.Wait(t.Context()), commitlog.ErrPoisoned)
	require.ErrorIs(t, lost.Wait(noCancel), syscall.EIO)
	_, err = l.Enqueue(noCancel, []byte("too late"))
	require.ErrorIs(t, err, commitlog.ErrPoisoned)
	require.Error(t, l.Close())
}

func TestCloseCommitsWhatNobodyWaitsFor(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, commitlog.Options{})
	for range 100 {
		_, err := l.Enqueue(noCancel, []byte("x"))
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	l = mustOpen(t, dir, commitlog.Options{})
	defer l.Close()
	require.Equal(t, uint64(100), l.End())
}

// TestCommitsAreReported: every record is in one report, with the bytes it takes in the file.
func TestCommitsAreReported(t *testing.T) {
	var records, bytes int
	var took time.Duration
	l := mustOpen(t, t.TempDir(), commitlog.Options{OnCommit: func(c commitlog.Commit) {
		records, bytes, took = records+c.Records, bytes+c.Bytes, took+c.Took
	}})
	for range 3 {
		_, err := l.Append(t.Context(), []byte("four"), []byte("four"))
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	require.Equal(t, []int{6, 3*40 + 6*8}, []int{records, bytes}, "the seal is none")
	require.Positive(t, took)
}

func TestManyProducersAndReaders(t *testing.T) {
	t.Parallel()
	const producers, each = 64, 50
	l := mustOpen(t, t.TempDir(), commitlog.Options{SegmentBytes: 64 << 10, BatchBytes: 8 << 10, MaxRecordBytes: 4 << 10})
	offsets := make([]map[uint64]string, producers)
	var wg sync.WaitGroup
	for p := range producers {
		offsets[p] = map[uint64]string{}
		wg.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d/%d %s", p, i, strings.Repeat(".", i*10))
				first, err := l.Append(t.Context(), []byte(text), []byte("second"))
				if err != nil || l.End() < first+2 {
					t.Errorf("append: %v, end %d after %d", err, l.End(), first)
					return
				}
				offsets[p][first] = text
			}
		})
	}
	for r := range 4 {
		wg.Go(func() {
			reader := l.NewReader(0)
			defer reader.Close()
			for reader.Offset() < producers*each*2 {
				if err := l.Wait(t.Context(), reader.Offset()); err != nil {
					t.Error(err)
					return
				}
				if _, err := reader.Next(100 << r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		if err := l.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	got := readAll(t, l)
	require.Len(t, got, producers*each*2)
	for _, mine := range offsets {
		require.Len(t, mine, each)
		for offset, text := range mine {
			require.Equal(t, text, got[offset])
			require.Equal(t, "second", got[offset+1])
		}
	}
	require.NoError(t, l.Verify(t.Context()))
	require.NoError(t, l.Close())
}

func TestOffsetAtFindsTheFirstRecordNotBefore(t *testing.T) {
	now := time.Date(2025, 5, 1, 8, 0, 0, 0, time.UTC)
	o := small(disktest.NewCrash(1))
	o.Now = func() time.Time { return now }
	l := mustOpen(t, logDir, o)
	start := now
	for range 200 { // two records a second
		_, err := l.Append(t.Context(), make([]byte, 100), make([]byte, 100))
		require.NoError(t, err)
		now = now.Add(time.Second)
	}
	check := func(l *commitlog.Log) {
		for i := range 200 {
			for _, d := range []time.Duration{0, -1, -time.Microsecond, -999 * time.Millisecond} {
				got, err := l.OffsetAt(start.Add(time.Duration(i)*time.Second + d))
				require.NoError(t, err)
				require.Equal(t, uint64(2*i), got, "second %d%v", i, d)
			}
			got, err := l.OffsetAt(start.Add(time.Duration(i)*time.Second + 1))
			require.NoError(t, err)
			require.Equal(t, uint64(2*i+2), got, "just after second %d", i)
		}
		got, err := l.OffsetAt(time.Time{})
		require.NoError(t, err)
		require.Zero(t, got)
	}
	check(l)
	require.NoError(t, l.Close())
	l = mustOpen(t, logDir, o)
	check(l)
	require.NoError(t, l.DropBefore(200))
	got, err := l.OffsetAt(time.Time{})
	require.NoError(t, err)
	require.Equal(t, l.Start(), got)
	require.NoError(t, l.Close())
}

// TestTimesWaitForAClockThatIsSetBackALittle.
func TestTimesWaitForAClockThatIsSetBackALittle(t *testing.T) {
	now := time.Date(2025, 5, 1, 8, 0, 0, 0, time.UTC)
	o := small(disktest.NewCrash(1))
	o.Now = func() time.Time { now = now.Add(-100 * time.Millisecond); return now }
	var previous time.Time
	for range 3 {
		l := mustOpen(t, logDir, o)
		for range 30 {
			first, err := l.Append(t.Context(), make([]byte, 300))
			require.NoError(t, err)
			records, err := l.Read(first, 1)
			require.NoError(t, err)
			require.False(t, records[0].Time.Before(previous))
			previous = records[0].Time
		}
		require.NoError(t, l.Close())
	}
}

// TestOneAppendWithAClockYearsAhead spoils neither the times of what comes later nor the search by time, also after it is
// opened again.
func TestOneAppendWithAClockYearsAhead(t *testing.T) {
	now := time.Date(2025, 5, 1, 8, 0, 0, 0, time.UTC)
	o := small(disktest.NewCrash(1))
	o.Now = func() time.Time { return now }
	l := mustOpen(t, logDir, o)
	at := func(when time.Time) uint64 {
		offset, err := l.OffsetAt(when)
		require.NoError(t, err)
		return offset
	}
	add := func() {
		_, err := l.Append(t.Context(), []byte("x"))
		require.NoError(t, err)
		now = now.Add(time.Second)
	}
	start := now
	add()
	now = now.AddDate(10, 0, 0)
	ahead := now
	add() // 1
	require.Equal(t, uint64(1), at(start.Add(time.Second)), "nothing else tells when it was")
	now = start.Add(time.Hour)
	right := now
	for range 30 {
		add()
	}
	check := func() {
		records, err := l.Read(2, 1)
		require.NoError(t, err)
		require.Equal(t, right, records[0].Time)
		require.Equal(t, uint64(0), at(start))
		require.Equal(t, uint64(1), at(start.Add(1)))
		require.Equal(t, uint64(1), at(right), "one too many rather than one too few")
		require.Equal(t, uint64(3), at(right.Add(1)))
		require.Equal(t, uint64(7), at(right.Add(5*time.Second)))
		require.Equal(t, uint64(32), at(right.Add(30*time.Second)))
		require.Equal(t, uint64(32), at(ahead))
	}
	check()
	require.NoError(t, l.Verify(t.Context()))
	require.NoError(t, l.Close())
	l = mustOpen(t, logDir, o)
	check()
	require.NoError(t, l.Close())
}

// TestAClockSetBackOnAFullDisk fails no append that fits: its time is wrong until there is room for a segment.
func TestAClockSetBackOnAFullDisk(t *testing.T) {
	now := time.Date(2025, 5, 1, 8, 0, 0, 0, time.UTC)
	fsys := disktest.NewFault(disktest.NewCrash(1))
	o := small(fsys)
	o.Now = func() time.Time { return now }
	l := mustOpen(t, logDir, o)
	_, err := l.Append(t.Context(), []byte("x"))
	require.NoError(t, err)
	was := now
	now = now.Add(-time.Hour)
	fsys.Inject(disktest.Fault{Op: disktest.OpOpen, N: 1, Err: syscall.ENOSPC, Sticky: true, Match: func(name string) bool {
		return strings.HasSuffix(name, ".tmp")
	}})
	_, err = l.Append(t.Context(), []byte("y"))
	require.NoError(t, err)
	records, err := l.Read(1, 1)
	require.NoError(t, err)
	require.Equal(t, was, records[0].Time)
	require.NoError(t, l.Close())
}

func TestDropBeforeRemovesWholeSegmentsBelow(t *testing.T) {
	fsys := disktest.NewCrash(1)
	l := mustOpen(t, logDir, small(fsys))
	for range 100 {
		_, err := l.Append(t.Context(), make([]byte, 200))
		require.NoError(t, err)
	}
	segments := l.Segments()
	require.Greater(t, len(segments), 4)
	reader := l.NewReader(0)
	defer reader.Close()
	_, err := reader.Next(1)
	require.NoError(t, err)

	require.NoError(t, l.DropBefore(segments[2].End-1))
	require.Equal(t, segments[2].Base, l.Start(), "a segment of which one record is needed stays")
	_, err = l.Read(segments[1].Base, 1)
	gone, ok := errors.AsType[*commitlog.OutOfRangeError](err)
	require.True(t, ok)
	require.Equal(t, commitlog.OutOfRangeError{Offset: segments[1].Base, Start: l.Start(), End: 100}, *gone)
	_, err = reader.Next(1)
	require.Error(t, err, "also for one that has the file open")

	require.NoError(t, l.DropBefore(1000))
	require.Len(t, l.Segments(), 1, "the active one stays")
	require.Equal(t, uint64(100), l.End())
	require.NoError(t, l.Verify(t.Context()))
	require.NoError(t, l.Close())
	require.Equal(t, []string{fmt.Sprintf("%020d.log", segments[len(segments)-1].Base)}, fileNames(t, fsys))
	l = mustOpen(t, logDir, small(fsys))
	require.Equal(t, segments[len(segments)-1].Base, l.Start())
	require.NoError(t, l.Close())
}

func TestSegmentsTellBasesSizesAndTimes(t *testing.T) {
	now := time.Date(2025, 5, 1, 8, 0, 0, 0, time.UTC)
	o := small(disktest.NewCrash(1))
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	l := mustOpen(t, logDir, o)
	require.Equal(t, []commitlog.SegmentInfo{{Bytes: 64, Active: true}}, l.Segments())
	for range 50 {
		_, err := l.Append(t.Context(), make([]byte, 300))
		require.NoError(t, err)
	}
	live := l.Segments()
	require.NoError(t, l.Close())
	l = mustOpen(t, logDir, o)
	after := l.Segments()
	live[len(live)-1].Bytes += 40 // the seal
	require.Equal(t, live, after)
	for i, s := range after {
		require.Equal(t, i == len(after)-1, s.Active)
		require.LessOrEqual(t, s.Bytes, o.SegmentBytes)
		if i > 0 {
			require.Equal(t, after[i-1].End, s.Base)
			require.True(t, s.First.After(after[i-1].Last))
		}
	}
	require.NoError(t, l.Close())
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	l := mustOpen(t, t.TempDir(), commitlog.Options{})
	defer l.Close()
	_, err := l.Append(t.Context(), []byte("x"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, l.Verify(ctx), context.Canceled)
}
