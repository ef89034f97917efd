package commitlog_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/commitlog"
	"casepress/disk"
	"casepress/disk/disktest"
)

// Who reads what was just appended does not go to the disk, also across segments; who comes later does.
func TestTheNewestRecordsAreReadFromMemory(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	l := mustOpen(t, logDir, commitlog.Options{FS: fsys, SegmentBytes: 64 << 10})
	r := l.NewReader(0)
	before := fsys.Count(disktest.OpRead)
	for i := range 200 {
		want := bytes.Repeat([]byte{byte(i)}, 1000+i)
		for range 2 {
			_, err := l.Append(t.Context(), want)
			require.NoError(t, err)
		}
		for r.Offset() < l.End() {
			records, err := r.Next(1 << 20)
			require.NoError(t, err)
			require.Equal(t, want, records[0].Payload)
		}
	}
	require.Greater(t, len(l.Segments()), 3)
	require.Equal(t, before, fsys.Count(disktest.OpRead))
	_, err := l.Read(10, 100)
	require.NoError(t, err)
	require.Greater(t, fsys.Count(disktest.OpRead), before)
	require.NoError(t, r.Close())
	require.NoError(t, l.Close())
}

// Readers that keep up and readers that fall behind see the same bytes while the buffers go round.
func TestReadersWhileBuffersGoRound(t *testing.T) {
	t.Parallel()
	const each, producers = 150, 8
	l := mustOpen(t, t.TempDir(), commitlog.Options{SegmentBytes: 1 << 20})
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(noCancel, bytes.Repeat([]byte{byte(p), byte(i)}, 1<<(i%14))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, maxBytes := range []int{1, 3000, 100_000, 1 << 20} {
		wg.Go(func() {
			r := l.NewReader(0)
			defer r.Close()
			var next [producers]int
			for r.Offset() < each*producers {
				if err := l.Wait(noCancel, r.Offset()); err != nil {
					t.Error(err)
					return
				}
				records, err := r.Next(maxBytes)
				if err != nil {
					t.Error(err)
					return
				}
				for _, rec := range records {
					p := rec.Payload[0]
					if want := bytes.Repeat([]byte{p, byte(next[p])}, 1<<(next[p]%14)); !bytes.Equal(want, rec.Payload) {
						t.Errorf("record %d of producer %d differs", next[p], p)
						return
					}
					next[p]++
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, l.Verify(t.Context()))
	require.NoError(t, l.Close())
}

// Whatever place in a block the last batch ended at, the log goes on there after Close and after a power cut, also
// with files that earlier versions left, which do not end with a block.
func TestBatchesThatEndAnywhereInABlock(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 511, 512, 3987, 3988, 3989, 3990, 4000, 4095, 4096, 8192} {
		for name, before := range map[string]func(*testing.T, disk.FS){
			"as it was written": func(*testing.T, disk.FS) {},
			"cut to its size":   func(t *testing.T, fsys disk.FS) { cutToSize(t, fsys, segmentFile(0)) },
		} {
			t.Run(fmt.Sprintf("%d bytes, %s", size, name), func(t *testing.T) {
				fsys := disktest.NewCrash(1)
				o := commitlog.Options{FS: fsys, SegmentBytes: 4096}
				l := mustOpen(t, logDir, o)
				var want []string
				for round := range 4 {
					for i := range 2 {
						text := bytes.Repeat([]byte{byte('a' + 2*round + i)}, size)
						_, err := l.Append(t.Context(), text)
						require.NoError(t, err)
						want = append(want, string(text))
					}
					if round%2 == 0 {
						fsys = fsys.CrashClone(0)
					}
					require.NoError(t, l.Close())
					before(t, fsys)
					o.FS = fsys
					l = mustOpen(t, logDir, o)
					require.Equal(t, want, readAll(t, l))
				}
				require.NoError(t, l.Verify(t.Context()))
				require.NoError(t, l.Close())
			})
		}
	}
}

// cutToSize takes the zeros off the end of a file that is larger than was zeroed ahead.
func cutToSize(t *testing.T, fsys disk.FS, name string) {
	content := readFile(t, fsys, name)
	truncate(name, int64(max(4096, len(bytes.TrimRight(content, "\x00")))))(t, fsys)
}
