//go:build amd64 && !purego

package pixels

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTwins scales the same pictures with vectors and without.
func TestTwins(t *testing.T) {
	if !fast {
		t.Skip("the machine has no AVX2")
	}
	defer func() { fast = true }()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		img := noise(rng, 1+rng.IntN(300), 1+rng.IntN(120))
		w, h := 1+rng.IntN(img.Rect.Dx()), 1+rng.IntN(img.Rect.Dy())
		fast = false
		want := scaled(img, w, h)
		fast = true
		require.Equal(t, want, scaled(img, w, h), "%v to %d x %d", img.Rect, w, h)
	}
}
