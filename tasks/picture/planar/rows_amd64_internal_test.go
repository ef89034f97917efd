//go:build amd64 && !purego

package planar

import (
	"math/rand/v2"
	"slices"
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
	requireVectors(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		width, taps := 1+rng.IntN(300), 2+2*rng.IntN(33)
		src := layout(width, taps)
		src.Pix = randomBytes(rng, src.Stride*taps+align)
		weights := make([]int16, taps)
		randomWeights(rng, weights)
		want, got := make([]int16, width+align), make([]int16, width+align)
		verticalGo(want, src.Pix, src.Stride, weights, width)
		vertical(got, src.Pix, src.Stride, weights, width)
		require.True(t, slices.Equal(want[:width], got[:width]), "%d samples, %d taps", width, taps)
	}
}

// TestHorizontalTwins holds the two ways to resize lines to the same samples.
func TestHorizontalTwins(t *testing.T) {
	requireVectors(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		from, to := 1+rng.IntN(300), 1+rng.IntN(300)
		g := group(randomFilter(rng, from, to))
		lines := [2][]int16{make([]int16, from+2*align), make([]int16, from+2*align)}
		pairs := make([]int64, from+2*align)
		for i := range pairs {
			lines[0][i], lines[1][i] = int16(rng.Uint32()), int16(rng.Uint32())
		}
		pair(pairs, lines[0], lines[1])
		var want, got [2][]byte
		for i := range want {
			want[i], got[i] = make([]byte, to), make([]byte, to+lane)
			horizontal(got[i], lines[i], &g)
			got[i] = got[i][:to]
		}
		horizontalGo(want[0], want[1], pairs, &g)
		require.Equal(t, want, got, "%d to %d samples, %d taps", from, to, g.chunks*lane)
	}
}

func randomFilter(rng *rand.Rand, from, to int) filter {
	f := filter{taps: min(1+rng.IntN(66), from), starts: make([]int32, to)}
	f.weights = make([]int16, to*f.taps)
	for i := range to {
		f.starts[i] = int32(rng.IntN(from - f.taps + 1))
		randomWeights(rng, f.weights[i*f.taps:][:f.taps])
	}
	slices.Sort(f.starts)
	return f
}

// TestTwins resizes whole pictures both ways.
func TestTwins(t *testing.T) {
	requireVectors(t)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 40 {
		src := New(1+rng.IntN(250), 1+rng.IntN(250), 1+rng.IntN(2), 1+rng.IntN(2))
		for i := range src.Planes {
			copy(src.Planes[i].Pix, randomBytes(rng, len(src.Planes[i].Pix)))
		}
		width, height := 1+rng.IntN(src.Width), 1+rng.IntN(src.Height)
		var made [2]*Image
		for i := range made {
			fast = i == 1
			made[i] = New(width, height, 2, 2)
			require.NoError(t, src.ResizeTo(t.Context(), made[i]))
		}
		for i := range src.Planes {
			for y := range made[0].Planes[i].Height {
				require.Equal(t, made[0].Planes[i].Row(y), made[1].Planes[i].Row(y))
			}
		}
	}
}

// requireVectors skips a test that has nothing to compare on this machine.
func requireVectors(t *testing.T) {
	t.Helper()
	if !fast {
		t.Skip("the machine has no AVX2")
	}
}
