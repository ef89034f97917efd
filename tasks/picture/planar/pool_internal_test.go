package planar

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func keptBytes() int {
	free.Lock()
	defer free.Unlock()
	return free.bytes
}

// TestBuffersAreUsedAgainAndLetGo: a collection or two between two images makes no
// difference; when no images come any more nothing is held.
func TestBuffersAreUsedAgainAndLetGo(t *testing.T) {
	m := New(1000, 1000, 2, 2)
	first := &m.Planes[0].Pix[0]
	m.Release()
	runtime.GC()
	runtime.GC()
	m = New(1000, 1000, 2, 2)
	require.Same(t, first, &m.Planes[0].Pix[0])
	m.Release()
	require.Positive(t, keptBytes())
	for keptBytes() > 0 { // each collection is told of soon after it, and makes them older
		runtime.GC()
	}
}

func TestMemoryKeptIsBounded(t *testing.T) {
	var all []*Image
	for range 20 {
		all = append(all, New(3000, 2000, 2, 2))
	}
	for _, m := range all {
		m.Release()
	}
	require.LessOrEqual(t, keptBytes(), most)
}
