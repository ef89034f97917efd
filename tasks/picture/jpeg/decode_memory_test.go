package jpeg_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/jpeg"
)

// allocated is what f allocates with all pools empty.
func allocated(f func()) int64 {
	runtime.GC()
	runtime.GC() // a pool outlives one
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// TestDecodeHoldsItsCost allocates no more than Cost says, and not much less either.
func TestDecodeHoldsItsCost(t *testing.T) {
	files := map[string][]byte{
		"4:2:0": picture(t, 1000, 750, 2, 2), "4:4:4": picture(t, 700, 500, 1, 1), "grey": picture(t, 1500, 500, 0, 0),
		"small": small(t, "420-progressive"), "wide": picture(t, 20000, 9, 2, 2),
	}
	for name, data := range files {
		for _, eighths := range scales {
			t.Run(fmt.Sprint(name, " at ", eighths), func(t *testing.T) { checkCost(t, data, eighths) })
		}
	}
}

func TestDecodeHoldsItsCostOfPhotos(t *testing.T) {
	for _, name := range []string{"02_note10_12mp_o6.jpg", "08_progressive_12mp.jpg"} {
		for _, eighths := range []int{4, 6} {
			t.Run(fmt.Sprint(name, " at ", eighths), func(t *testing.T) { checkCost(t, photo(t, name), eighths) })
		}
	}
}

func checkCost(t *testing.T, data []byte, eighths int) {
	t.Helper()
	h, err := jpeg.ReadHeader(container.Memory(data))
	require.NoError(t, err)
	var planes int64 // which may come from a pool that no collection empties
	used := allocated(func() {
		m, _, err := decode(t.Context(), data, eighths)
		require.NoError(t, err)
		planes = planeBytes(m)
		m.Release()
	})
	t.Logf("%d of %d bytes, planes %d", used, h.Cost(eighths), planes)
	require.LessOrEqual(t, max(used, planes), h.Cost(eighths))
	require.Less(t, h.Cost(eighths), (used+planes)*5/4+(128<<10))
}

// TestDecodeAllocatesNothingTwice decodes the same file over and over from the pools.
func TestDecodeAllocatesNothingTwice(t *testing.T) {
	for _, data := range [][]byte{picture(t, 400, 300, 2, 2), small(t, "420-progressive")} {
		h, err := jpeg.ReadHeader(container.Memory(data))
		require.NoError(t, err)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		before := m.TotalAlloc
		const rounds = 20
		for range rounds {
			decoded, _, err := decode(t.Context(), data, 8)
			require.NoError(t, err)
			decoded.Release()
		}
		runtime.ReadMemStats(&m)
		require.Less(t, (m.TotalAlloc-before)/rounds, uint64(h.Cost(8)/2))
	}
}
