package planar

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFilters holds every filter to what the passes rely on.
func TestFilters(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 150 {
		a := axis{from: 1 + rng.IntN(2000), to: 1 + rng.IntN(400)}
		a.num, a.den = 2*a.from-rng.IntN(2), 2*a.to-rng.IntN(2)
		f := a.lanczos()
		for i, start := range f.starts {
			require.True(t, start >= 0 && int(start)+f.taps <= a.from)
			sum, size := 0, 0
			for _, w := range f.weights[i*f.taps:][:f.taps] {
				sum, size = sum+int(w), size+max(int(w), -int(w))
			}
			require.True(t, sum == unit && size < 2*unit, "%+v, sample %d", a, i)
		}
	}
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
