package commitlog_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
)

// What the corruption cases start from: records of 200 bytes, one a batch of 244 bytes behind a header
// of 64, so 16 a segment; three segments, the last one with 8 records and, if closed, a seal.
const (
	head         = 64
	batchSize    = 40 + 4 + 200
	perSegment   = (4096 - head - 40) / batchSize
	totalRecords = 2*perSegment + 8
	activeBase   = 2 * perSegment
	lastBatch    = head + 7*batchSize
	sealAt       = head + 8*batchSize
)

func batchAt(n int) int64 { return int64(head + n*batchSize) }

// prepared log on a disk; without close it looks as a killed process leaves it.
func damagedLog(t *testing.T, closed bool) *disktest.CrashFS {
	fsys := disktest.NewCrash(1)
	l := mustOpen(t, logDir, small(fsys))
	for i := range totalRecords {
		b := make([]byte, 200)
		for j := range b {
			b[j] = byte(i + 1)
		}
		_, err := l.Append(t.Context(), b)
		require.NoError(t, err)
	}
	after := fsys.CrashClone(0)
	require.NoError(t, l.Close())
	if closed {
		after = fsys.CrashClone(0)
	}
	return after
}

func edit(t *testing.T, fsys disk.FS, name string, do func(f disk.File)) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	require.NoError(t, err)
	do(f)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func write(name string, at int64, content ...byte) func(*testing.T, disk.FS) {
	return func(t *testing.T, fsys disk.FS) {
		edit(t, fsys, name, func(f disk.File) {
			_, err := f.WriteAt(content, at)
			require.NoError(t, err)
		})
	}
}

func flip(name string, at int64) func(*testing.T, disk.FS) {
	return func(t *testing.T, fsys disk.FS) {
		edit(t, fsys, name, func(f disk.File) {
			b := make([]byte, 1)
			_, err := f.ReadAt(b, at)
			require.NoError(t, err)
			b[0] ^= 4
			_, err = f.WriteAt(b, at)
			require.NoError(t, err)
		})
	}
}

func truncate(name string, size int64) func(*testing.T, disk.FS) {
	return func(t *testing.T, fsys disk.FS) {
		edit(t, fsys, name, func(f disk.File) { require.NoError(t, f.Truncate(size)) })
	}
}

func remove(names ...string) func(*testing.T, disk.FS) {
	return func(t *testing.T, fsys disk.FS) {
		for _, name := range names {
			require.NoError(t, fsys.Remove(name))
		}
	}
}

func both(all ...func(*testing.T, disk.FS)) func(*testing.T, disk.FS) {
	return func(t *testing.T, fsys disk.FS) {
		for _, do := range all {
			do(t, fsys)
		}
	}
}

// copyBatch copies a batch to another place of a segment, from another log if there is one.
func copyBatch(source func(*testing.T) disk.FS, name string, from, to int64) func(*testing.T, disk.FS) {
	return func(t *testing.T, fsys disk.FS) {
		src := fsys
		if source != nil {
			src = source(t)
		}
		write(name, to, readFile(t, src, name)[from:from+batchSize]...)(t, fsys)
	}
}

// longerLog is like damagedLog with one more record, behind a seal.
func longerLog(t *testing.T) disk.FS {
	fsys := damagedLog(t, false)
	l := mustOpen(t, logDir, small(fsys))
	_, err := l.Append(t.Context(), make([]byte, 200))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return fsys
}

func TestDamage(t *testing.T) {
	t.Parallel()
	sealed, middle, active := segmentFile(0), segmentFile(perSegment), segmentFile(activeBase)
	cases := []struct {
		name   string
		closed bool // in good order before the damage
		do     func(*testing.T, disk.FS)
		want   int    // records that are left, or
		file   string // where the CorruptionError points
		at     int64
	}{
		// What a power cut or a kill can leave is cut at the last whole record.
		{name: "nothing is damaged", closed: true, do: both(), want: totalRecords},
		{name: "killed", do: both(), want: totalRecords},
		{name: "torn last record, its end missing", do: write(active, sealAt-100, make([]byte, 100)...), want: totalRecords - 1},
		{name: "torn last record, its start missing", do: write(active, lastBatch, make([]byte, 100)...), want: totalRecords - 1},
		{name: "torn last record, a hole in it", do: write(active, lastBatch+100, make([]byte, 50)...), want: totalRecords - 1},
		{name: "last record gone without a trace", do: write(active, lastBatch, make([]byte, batchSize)...), want: totalRecords - 1},
		{name: "garbage behind the last record", do: write(active, sealAt+60, 1, 2, 3), want: totalRecords},
		{name: "record of another log behind the last", do: copyBatch(longerLog, active, sealAt+40, sealAt), want: totalRecords},
		{name: "torn seal", closed: true, do: flip(active, sealAt+30), want: totalRecords},
		{name: "seal lost", closed: true, do: write(active, sealAt, make([]byte, 40)...), want: totalRecords},
		{name: "index missing", closed: true, do: remove(indexFile(0)), want: totalRecords},
		{name: "index damaged", closed: true, do: flip(indexFile(0), 30), want: totalRecords},
		{name: "index cut", closed: true, do: truncate(indexFile(0), 20), want: totalRecords},
		{name: "index empty", closed: true, do: truncate(indexFile(0), 0), want: totalRecords},
		{name: "index of another segment", closed: true, do: func(t *testing.T, fsys disk.FS) {
			require.NoError(t, fsys.Rename(indexFile(perSegment), indexFile(0)))
		}, want: totalRecords},
		{name: "half-made files", closed: true, do: both(write(logDir+"/next.log.tmp", 0, 1, 2, 3), write(indexFile(7)+".tmp", 0, 9)), want: totalRecords},
		{name: "files of others", closed: true, do: both(write(logDir+"/readme.txt", 0, 1), write(logDir+"/1.log", 0, 1)), want: totalRecords},
		{name: "sealed segment not cut to size", closed: true, do: both(truncate(sealed, 4096)), want: totalRecords},
		{name: "sealed segment not cut to size, no index", closed: true, do: both(truncate(sealed, 4096), remove(indexFile(0))), want: totalRecords},

		// Damage before the tail stops the start.
		{name: "last record after a clean close", closed: true, do: flip(active, lastBatch+100), file: active, at: lastBatch},
		{name: "last record zeroed after a clean close", closed: true, do: write(active, lastBatch, make([]byte, batchSize)...), file: active, at: lastBatch},
		{name: "record before the last", do: flip(active, lastBatch-100), file: active, at: lastBatch - batchSize},
		{name: "salt of a record before the last", do: flip(active, lastBatch-batchSize), file: active, at: lastBatch - batchSize},
		{name: "length of a record before the last", do: flip(active, lastBatch-batchSize+14), file: active, at: lastBatch - batchSize},
		{name: "last two records", do: both(flip(active, lastBatch-100), flip(active, lastBatch+100)), file: active, at: lastBatch - batchSize},
		{name: "first record of the active segment zeroed", do: write(active, head, make([]byte, batchSize)...), file: active, at: head},
		{name: "active header magic", do: flip(active, 0), file: active, at: 0},
		{name: "active header salt", do: flip(active, 9), file: active, at: 0},
		{name: "active header zeroed", do: write(active, 0, make([]byte, head)...), file: active, at: 0},
		{name: "active segment cut", closed: true, do: truncate(active, 1000), file: active, at: 1000},
		{name: "active segment empty", closed: true, do: truncate(active, 0), file: active, at: 0},
		{name: "sealed header", closed: true, do: flip(sealed, 40), file: sealed, at: 0},
		{name: "record in a sealed segment", closed: true, do: flip(middle, batchAt(3)+50), file: middle, at: batchAt(3)},
		{name: "record in a sealed segment, no index", closed: true, do: both(flip(sealed, batchAt(3)+50), remove(indexFile(0))), file: sealed, at: batchAt(3)},
		{name: "last record of a sealed segment, no index", closed: true, do: both(flip(sealed, batchAt(perSegment-1)+50), remove(indexFile(0))), file: sealed, at: batchAt(perSegment - 1)},
		{name: "last record of a sealed segment zeroed, no index", closed: true, do: both(write(sealed, batchAt(perSegment-1), make([]byte, batchSize)...), remove(indexFile(0))), file: sealed, at: batchAt(perSegment - 1)},
		{name: "sealed segment cut", closed: true, do: truncate(sealed, batchAt(5)+7), file: sealed, at: batchAt(5)},
		{name: "sealed segment cut at a record", closed: true, do: truncate(sealed, batchAt(5)), file: sealed, at: batchAt(5)},
		{name: "garbage behind a sealed segment", closed: true, do: write(sealed, 4090, 1), file: sealed, at: batchAt(perSegment)},
		{name: "middle segment missing", closed: true, do: remove(middle, indexFile(perSegment)), file: middle},
		{name: "middle segment missing, its index there", closed: true, do: remove(middle), file: middle},
		{name: "last segment missing", closed: true, do: remove(active), file: active},
		{name: "all segments missing", closed: true, do: remove(sealed, middle, active), file: sealed},
		{name: "record twice", closed: true, do: copyBatch(nil, active, batchAt(3), batchAt(4)), file: active, at: batchAt(4)},
		{name: "segment twice", closed: true, do: func(t *testing.T, fsys disk.FS) { copyFile(t, fsys, middle, segmentFile(perSegment-1)) }, file: segmentFile(perSegment - 1)},
		{name: "segment under another name", closed: true, do: func(t *testing.T, fsys disk.FS) {
			copyFile(t, fsys, active, segmentFile(activeBase)+".copy")
			copyFile(t, fsys, middle, active)
		}, file: active, at: batchAt(perSegment)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := damagedLog(t, c.closed)
			c.do(t, fsys)
			before := snapshot(t, fsys)
			l, err := commitlog.Open(logDir, small(fsys))
			if c.file != "" {
				damage, ok := errors.AsType[*commitlog.CorruptionError](err)
				require.True(t, ok, "got %v", err)
				require.Equal(t, c.file, damage.File, "%v", err)
				require.Equal(t, c.at, damage.Offset, "%v", err)
				require.Error(t, damage.Err)
				require.Equal(t, before, snapshot(t, fsys), "nothing may be changed")
				return
			}
			require.NoError(t, err)
			carryOn(t, fsys, l, c.want)
		})
	}
}

// carryOn checks what was kept, appends and reopens: a cut must leave no trace that hurts later.
func carryOn(t *testing.T, fsys disk.FS, l *commitlog.Log, want int) {
	for round := range 3 {
		got := readAll(t, l)
		require.Len(t, got, want)
		for i, text := range got[:min(want, totalRecords-1)] {
			require.Equal(t, byte(i+1), text[199])
		}
		require.NoError(t, l.Verify(t.Context()))
		first, err := l.Append(t.Context(), make([]byte, 100+round))
		require.NoError(t, err)
		require.Equal(t, uint64(want), first)
		want++
		require.NoError(t, l.Close())
		l = mustOpen(t, logDir, small(fsys))
	}
	require.NoError(t, l.Close())
	require.NotContains(t, fileNames(t, fsys), "next.log.tmp")
	require.Contains(t, fileNames(t, fsys), "00000000000000000000.idx")
}

func snapshot(t *testing.T, fsys disk.FS) map[string]string {
	content := map[string]string{}
	for _, name := range fileNames(t, fsys) {
		content[name] = string(readFile(t, fsys, logDir+"/"+name))
	}
	return content
}

func readFile(t *testing.T, fsys disk.FS, name string) []byte {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err)
	}
	return b
}

func copyFile(t *testing.T, fsys disk.FS, from, to string) {
	content := readFile(t, fsys, from)
	truncate(to, 0)(t, fsys)
	write(to, 0, content...)(t, fsys)
}

// Every single bit of a closed log: flipped, it is either of no consequence or an error, and never
// changes or loses a record.
func TestNoFlippedBitIsMissed(t *testing.T) {
	t.Parallel()
	clean := damagedLog(t, true)
	want := snapshot(t, clean)
	for name, content := range want {
		for at := range content {
			if at%3 != 0 && testing.Short() {
				continue
			}
			fsys := clean.CrashClone(1)
			flip(logDir+"/"+name, int64(at))(t, fsys)
			l, err := commitlog.Open(logDir, small(fsys))
			if err != nil {
				_, ok := errors.AsType[*commitlog.CorruptionError](err)
				require.True(t, ok, "%s at %d: %v", name, at, err)
				continue
			}
			require.Equal(t, uint64(totalRecords), l.End(), "%s at %d", name, at)
			for i, text := range readAll(t, l) {
				require.Equal(t, byte(i+1), text[0], "%s at %d", name, at)
			}
			require.NoError(t, l.Close())
		}
	}
}

// Damage that happens while the log is open is found by reads and by Verify, with its place.
func TestDamageWhileOpenIsFound(t *testing.T) {
	fsys := damagedLog(t, true)
	l := mustOpen(t, logDir, small(fsys))
	flip(segmentFile(perSegment), batchAt(2)+99)(t, fsys)
	expect := func(err error, file string, at int64) {
		t.Helper()
		damage, ok := errors.AsType[*commitlog.CorruptionError](err)
		require.True(t, ok, "got %v", err)
		require.Equal(t, commitlog.CorruptionError{File: file, Offset: at, Err: damage.Err}, *damage)
	}
	expect(l.Verify(t.Context()), segmentFile(perSegment), batchAt(2))
	records, err := l.Read(perSegment, 1<<20)
	require.NoError(t, err)
	require.Len(t, records, 2, "those before it")
	for range 2 {
		_, err = l.Read(perSegment+2, 1<<20)
		expect(err, segmentFile(perSegment), batchAt(2))
	}
	flip(segmentFile(perSegment), batchAt(2)+99)(t, fsys)
	require.NoError(t, l.Verify(t.Context()))

	flip(indexFile(0), 9)(t, fsys)
	expect(l.Verify(t.Context()), indexFile(0), 0)
	flip(indexFile(0), 9)(t, fsys)

	write(segmentFile(0), head, make([]byte, 50)...)(t, fsys)
	_, err = l.OffsetAt(l.Segments()[0].Last)
	expect(err, segmentFile(0), head)
	require.NoError(t, l.Close())
}

// A payload that is itself a log's file, batches and salt and all, is never taken for one.
func TestAPayloadCannotForgeABatch(t *testing.T) {
	fsys := disktest.NewCrash(1)
	o := small(fsys)
	o.SegmentBytes = 64 << 10
	l := mustOpen(t, logDir, o)
	_, err := l.Append(t.Context(), []byte("first"))
	require.NoError(t, err)
	copied := readFile(t, fsys, segmentFile(0))[:2048]
	first, err := l.Append(t.Context(), copied)
	require.NoError(t, err)
	require.Equal(t, uint64(1), first)
	after := fsys.CrashClone(0)
	require.NoError(t, l.Close())
	// The batch with the copy is torn at its end; the copy within it survives whole.
	write(segmentFile(0), head+40+4+5+40+4+2040, 0xff)(t, after)
	o.FS = after
	l = mustOpen(t, logDir, o)
	require.Equal(t, []string{"first"}, readAll(t, l))
	require.NoError(t, l.Close())
}
