package planar

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomWeights fills w with weights whose magnitudes sum to no more than twice unit,
// which is more than Lanczos has and as much as a line can hold.
func randomWeights(rng *rand.Rand, w []int16) {
	for i := range w {
		w[i] = int16((rng.IntN(4*unit) - 2*unit) / len(w))
	}
	switch rng.IntN(3) {
	case 0:
		clear(w)
		w[rng.IntN(len(w))] = 2*unit - 1
	case 1:
		clear(w)
		w[rng.IntN(len(w))] = -2*unit + 1
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
		if rng.IntN(8) == 0 {
			p[i] = 255
		}
	}
	return p
}

// TestVerticalTwins holds the two ways to sum rows to the same samples.
func TestVerticalTwins(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		width, taps := 1+rng.IntN(300), 1+rng.IntN(66)
		src := layout(width, taps)
		src.Pix = randomBytes(rng, src.Stride*taps+align)
		weights := make([]int16, taps)
		randomWeights(rng, weights)
		want, got := make([]int16, width+align), make([]int16, width+align)
		verticalGo(want, src.Pix, src.Stride, weights, width)
		vertical(got, src.Pix, src.Stride, weights, width)
		require.Equal(t, want[:width], got[:width], "%d samples, %d taps", width, taps)
	}
}

// TestHorizontalTwins holds the two ways to resize a line to the same samples.
func TestHorizontalTwins(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		from, to := 1+rng.IntN(300), 1+rng.IntN(300)
		f := filter{taps: min(1+rng.IntN(66), from), starts: make([]int32, to)}
		f.weights = make([]int16, to*f.taps)
		for i := range to {
			f.starts[i] = int32(rng.IntN(from - f.taps + 1))
			randomWeights(rng, f.weights[i*f.taps:][:f.taps])
		}
		line := make([]int16, from+2*align)
		for i := range line {
			line[i] = int16(rng.Uint32())
		}
		g := group(f)
		want, got := make([]byte, to+lane), make([]byte, to+lane)
		horizontalGo(want, line, &g)
		horizontal(got, line, &g)
		require.Equal(t, want[:to], got[:to], "%d to %d samples, %d taps", from, to, f.taps)
	}
}

// TestFilters holds every filter to what the passes rely on.
func TestFilters(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		a := axis{from: 1 + rng.IntN(2000), to: 1 + rng.IntN(400)}
		a.num, a.den = 2*a.from-rng.IntN(2), 2*a.to-rng.IntN(2)
		f := a.lanczos()
		for i, start := range f.starts {
			require.GreaterOrEqual(t, start, int32(0))
			require.LessOrEqual(t, int(start)+f.taps, a.from)
			sum, size := 0, 0
			for _, w := range f.weights[i*f.taps:][:f.taps] {
				sum, size = sum+int(w), size+max(int(w), -int(w))
			}
			require.Equal(t, unit, sum, "%+v, sample %d", a, i)
			require.Less(t, size, 2*unit, "%+v, sample %d", a, i)
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
