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
