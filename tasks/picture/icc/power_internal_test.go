package icc

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPower(t *testing.T) {
	for _, y := range []float64{-2, -0.1, 0, 0.3, 1 / 2.4, 1, 2.19921875, 2.4, 17} {
		for x := 1e-6; x < 4; x *= 1.0173 {
			want := math.Pow(x, y)
			require.InEpsilon(t, want, power(x, y), 1e-12, "%v^%v", x, y)
		}
	}
	require.Zero(t, power(0, 0.5))
	require.Zero(t, power(-1, 0.5))
}

func TestInverse(t *testing.T) {
	one := multiply(inverse(sRGB), sRGB)
	for i := range one {
		for k := range one {
			want := 0.0
			if i == k {
				want = 1
			}
			require.InDelta(t, want, one[i][k], 1e-12)
		}
	}
}
