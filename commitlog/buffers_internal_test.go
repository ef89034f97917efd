package commitlog

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"casepress/disk"
	"casepress/disk/disktest"
)

func TestBufferSizesAreWholeBlocksAndWasteLittle(t *testing.T) {
	for n := 1; n < 20<<20; n += 1 + n/7 {
		size := bufferBytes(n)
		require.Zero(t, size%blockBytes)
		require.GreaterOrEqual(t, size, n)
		require.LessOrEqual(t, size, max(firstBuffer, n+n/4+blockBytes))
	}
}

func TestABatchStaysAlignedHoweverItGrows(t *testing.T) {
	b := newBatch(disk.Aligned(firstBuffer), 4095, 0)
	var want []byte
	for i := range 300 {
		p := make([]byte, i*50)
		for j := range p {
			p[j] = byte(i)
		}
		b.reserve(recordOverhead + len(p))
		b.buf, want = appendRecord(b.buf, p), appendRecord(want, p)
		require.True(t, disk.IsAligned(b.buf))
	}
	for _, start := range []int{0, 64, 4095, 1} {
		b.moveTo(start)
		held := make([]byte, start)
		for i := range held {
			held[i] = 0xee
		}
		whole := b.blocks(held)
		require.True(t, disk.IsAligned(whole))
		require.Zero(t, len(whole)%blockBytes)
		require.Equal(t, held, whole[:start:start])
		require.Equal(t, want, whole[start+batchBytes:start+b.size()])
		require.Equal(t, -1, lastNonZero(whole[start+b.size():]))
	}
}

// What a log keeps in memory follows what it is used for, and a burst is forgotten.
func TestMemoryFollowsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open("/log", Options{FS: disktest.NewCrash(1)})
		require.NoError(t, err)
		held := func() int {
			synctest.Wait() // until the log is at rest: it puts buffers back, and seals itself, when it comes to it
			n := cap(l.filling.buf) + l.recent.bytes
			for _, b := range l.buffers.free {
				n += cap(b)
			}
			return n
		}
		write := func(times, size int) {
			for range times {
				_, err := l.Append(t.Context(), make([]byte, size))
				require.NoError(t, err)
			}
		}
		write(1, 100)
		require.LessOrEqual(t, held(), 4*firstBuffer)
		write(20, 100)
		require.LessOrEqual(t, held(), recentLeast+4*firstBuffer)
		write(20, 100_000)
		require.LessOrEqual(t, held(), recentMost+4*bufferBytes(100_100))
		write(3, 16<<20)
		require.LessOrEqual(t, held(), recentMost+3*bufferBytes(16<<20))
		write(500, 100)
		require.LessOrEqual(t, held(), recentLeast+16*firstBuffer)
		require.NoError(t, l.Close())
		require.Zero(t, l.recent.bytes)
	})
}

// A buffer that a reader copies from is not used again; one that nobody reads is.
func TestABufferInUseIsNotHandedOut(t *testing.T) {
	var r recent
	seg := &segment{}
	push := func(pos int64) [][]byte {
		return r.push(&piece{seg: seg, pos: pos, buf: disk.Aligned(firstBuffer)}, 2*firstBuffer)
	}
	require.Empty(t, push(0))
	require.Empty(t, push(firstBuffer))
	held := r.hold(seg, 5)
	require.NotNil(t, held)
	require.Empty(t, push(2*firstBuffer), "in use")
	require.Nil(t, r.hold(seg, 5), "displaced")
	require.Len(t, push(3*firstBuffer), 1)
	require.Equal(t, 2*firstBuffer, r.bytes)
	require.Nil(t, r.hold(&segment{}, 3*firstBuffer), "of another segment")
}
