package memory

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keptBytes() int {
	free.Lock()
	defer free.Unlock()
	return free.bytes
}

// TestBuffersAreUsedAgainAndLetGo: a collection or two between two pictures makes no
// difference; when none come any more nothing is held.
func TestBuffersAreUsedAgainAndLetGo(t *testing.T) {
	b := Get(1_000_000)
	first := &b.Bytes[0]
	b.Free()
	runtime.GC()
	runtime.GC()
	b = Get(990_000)
	require.Same(t, first, &b.Bytes[0])
	b.Free()
	require.Positive(t, keptBytes())
	for keptBytes() > 0 { // each collection is told of soon after it, and makes them older
		runtime.GC()
	}
}

func TestMemoryKeptIsBounded(t *testing.T) {
	var all []*Buffer
	for range 20 {
		all = append(all, Get(9<<20))
	}
	for _, b := range all {
		b.Free()
	}
	require.LessOrEqual(t, keptBytes(), most)
	Get(largest + 1).Free()
	require.LessOrEqual(t, keptBytes(), most)
}

func TestClasses(t *testing.T) {
	last := 0
	for size := 1; size < 40<<20; size += 1 + size/50 {
		class, capacity := classOf(size)
		require.GreaterOrEqual(t, capacity, size)
		require.LessOrEqual(t, capacity, max(4096, size+size/8+1))
		require.GreaterOrEqual(t, class, last)
		again, same := classOf(capacity)
		require.Equal(t, []int{class, capacity}, []int{again, same})
		last = class
	}
}
