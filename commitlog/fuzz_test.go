package commitlog_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
)

// FuzzRecover opens a log made of arbitrary bytes: one segment, or two and the index of the first. It
// must not panic nor take memory without bound, and what it accepts must read back the same for ever.
// Where repair is set the checksums are made right, so that what lies behind them is reached.
func FuzzRecover(f *testing.F) {
	clean := disktest.NewCrash(1)
	l := mustOpen(f, logDir, small(clean))
	for i := range 20 {
		_, err := l.Append(f.Context(), make([]byte, 10*i), make([]byte, 200))
		require.NoError(f, err)
	}
	second := l.Segments()[1].Base
	require.NoError(f, l.Close())
	seed := func(name string) []byte {
		file, err := clean.OpenFile(name, os.O_RDONLY, 0)
		require.NoError(f, err)
		size, err := file.Size()
		require.NoError(f, err)
		b := make([]byte, size)
		_, err = file.ReadAt(b, 0)
		require.NoError(f, err)
		return b
	}
	whole := seed(segmentFile(0))
	f.Add(whole, []byte{}, []byte{}, uint8(0), false)
	f.Add(append(whole, make([]byte, 4096-len(whole))...), []byte{}, []byte{}, uint8(0), true)
	f.Add(whole, seed(segmentFile(second)), seed(indexFile(0)), uint8(second), false)
	f.Add(whole, seed(segmentFile(second)), []byte{}, uint8(second), true)
	f.Add([]byte("cplg"), []byte{}, []byte{}, uint8(0), true)
	f.Fuzz(func(t *testing.T, first, next, index []byte, base uint8, repair bool) {
		fsys := disktest.NewCrash(1)
		require.NoError(t, fsys.MkdirAll(logDir, 0o755))
		put(t, fsys, segmentFile(0), first, 0, repair)
		if base > 0 {
			put(t, fsys, segmentFile(uint64(base)), next, uint64(base), repair)
		}
		if len(index) > 0 {
			put(t, fsys, indexFile(0), index, 0, false)
		}
		require.NoError(t, fsys.SyncDir(logDir))
		o := small(fsys)
		l, err := commitlog.Open(logDir, o)
		if err != nil {
			_, ok := errors.AsType[*commitlog.CorruptionError](err)
			require.True(t, ok, "%v", err)
			return
		}
		want := readAll(t, l)
		require.NoError(t, l.Verify(t.Context()))
		_, err = l.OffsetAt(time.Unix(0, 0))
		require.NoError(t, err)
		_, err = l.Append(noCancel, []byte("more"))
		require.NoError(t, err)
		require.NoError(t, l.Close())
		o.FS = fsys.CrashClone(0)
		l, err = commitlog.Open(logDir, o)
		require.NoError(t, err)
		require.Equal(t, append(want, "more"), readAll(t, l))
		require.NoError(t, l.Close())
	})
}

func put(t *testing.T, fsys disk.FS, name string, content []byte, base uint64, repair bool) {
	content = append([]byte(nil), content...)
	if repair {
		makeRight(content, base)
	}
	file, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	require.NoError(t, err)
	_, err = file.WriteAt(content, 0)
	require.NoError(t, err)
	require.NoError(t, file.Sync())
}

// makeRight sets magic, version, salts, offsets and checksums of whatever could be a segment.
func makeRight(b []byte, base uint64) {
	le, table := binary.LittleEndian, crc32.MakeTable(crc32.Castagnoli)
	if len(b) < 64 {
		return
	}
	copy(b, "cplg\x01\x00\x00\x00")
	le.PutUint32(b[60:], crc32.Checksum(b[:60], table))
	salt := ^le.Uint64(b[8:])
	for b = b[64:]; len(b) >= 40; {
		size := 40 + int(le.Uint32(b[12:]))
		if size > len(b) || le.Uint64(b) == 0 {
			return
		}
		le.PutUint64(b, salt)
		le.PutUint64(b[16:], base)
		le.PutUint32(b[8:], crc32.Update(crc32.Checksum(b[:8], table), table, b[12:size]))
		base += uint64(le.Uint32(b[32:]))
		b = b[size:]
	}
}
