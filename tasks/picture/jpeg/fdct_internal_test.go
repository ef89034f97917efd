package jpeg

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// samplesOf gives lines of samples that are hard on a transform, by name.
func samplesOf(kind string, n int, r *rand.Rand) []byte {
	s := make([]byte, n)
	for i := range s {
		switch kind {
		case "noise":
			s[i] = byte(r.Uint32())
		case "black and white":
			s[i] = byte(r.Uint32()&1) * 255
		case "white":
			s[i] = 255
		case "checkers":
			s[i] = byte((i+i/48)&1) * 255
		case "ramp":
			s[i] = byte(i % 48 * 5)
		}
	}
	return s
}

var sampleKinds = []string{"noise", "black and white", "black", "white", "checkers", "ramp"}

// TestFDCTTwins checks that assembly, where there is some, gives the bits of Go.
func TestFDCTTwins(t *testing.T) {
	const stride, pairs = 48, 3
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range sampleKinds {
		for quality := 1; quality <= 100; quality += 3 {
			for class := range 2 {
				var q quantiser
				q.init(class, quality)
				src := samplesOf(kind, 8*stride, r)
				var got, want [128 * pairs]int16
				var gotSet, wantSet [2 * pairs]uint64
				fdct(got[:], gotSet[:], src, stride, pairs, &q)
				fdctGo(want[:], wantSet[:], src, stride, pairs, &q)
				require.Equal(t, want, got, "%s at %d", kind, quality)
				require.Equal(t, wantSet, gotSet, "%s at %d", kind, quality)
			}
		}
	}
}

// TestFDCTAccuracy compares with the definition, in floating point.
func TestFDCTAccuracy(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var q quantiser
	q.init(0, 100) // every step is 1
	for _, kind := range sampleKinds {
		src := samplesOf(kind, 8*16, r)
		var got [128]int16
		var set [2]uint64
		fdct(got[:], set[:], src, 16, 1, &q)
		for block := range 2 {
			for i := range 64 {
				want := coefficient(src[8*block:], 16, i>>3, i&7)
				require.InDelta(t, want, got[64*block+i], 0.5+0.08, "%s: coefficient %d", kind, i)
				require.Equal(t, got[64*block+i] != 0, set[block]>>i&1 == 1)
			}
		}
	}
}

// coefficient is T.81 A.3.3.
func coefficient(src []byte, stride, u, v int) float64 {
	sum := 0.0
	for y := range 8 {
		for x := range 8 {
			sum += (float64(src[y*stride+x]) - 128) *
				math.Cos(float64((2*x+1)*u)*math.Pi/16) * math.Cos(float64((2*y+1)*v)*math.Pi/16)
		}
	}
	for _, f := range []int{u, v} {
		if f == 0 {
			sum /= math.Sqrt2
		}
	}
	return sum / 4
}

// TestQuantiserDivides checks every quotient that can occur against a true division.
func TestQuantiserDivides(t *testing.T) {
	for step := uint32(1); step <= 255; step++ {
		var q quantiser
		q.set(0, step)
		divisor := step * fdctScale
		for c := uint32(0); c <= 1<<15; c++ {
			sum := c + uint32(q.bias[0])
			got := sum * uint32(q.reciprocal[0]) >> 16 * uint32(q.shift[0]) >> 16
			if want := (c + divisor/2) / divisor; got != want {
				require.Equal(t, want, got, "%d by %d", c, divisor)
			}
		}
	}
}

func TestZigzagOrder(t *testing.T) {
	require.Equal(t, []uint8{0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5}, zigzagOrder[:16])
	require.Equal(t, []uint8{61, 54, 47, 55, 62, 63}, zigzagOrder[58:])
}

func BenchmarkFDCT(b *testing.B) {
	const pairs = 100
	var q quantiser
	q.init(0, 80)
	src := samplesOf("noise", 8*16*pairs, rand.New(rand.NewPCG(5, 6)))
	coefficients, nonzero := make([]int16, 128*pairs), make([]uint64, 2*pairs)
	for name, f := range map[string]func([]int16, []uint64, []byte, int, int, *quantiser){"here": fdct, "go": fdctGo} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				f(coefficients, nonzero, src, 16*pairs, pairs, &q)
			}
		})
	}
}
