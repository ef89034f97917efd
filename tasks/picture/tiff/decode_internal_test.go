package tiff

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHalveRounds brings every sample of 16 bits to 8, in either order of bytes, and as many as are no multiple of four.
func TestHalveRounds(t *testing.T) {
	for _, big := range []bool{false, true} {
		d := &Decoder{Header: Header{bits: 16, big: big}}
		const n = 1<<16 + 3
		src, dst := make([]byte, 2*n), make([]byte, n)
		for v := range n {
			d.put16(src[2*v:], uint16(v))
		}
		d.unpackRow(dst, 1, src, n)
		for v, got := range dst {
			require.Equal(t, (v&0xffff+128)/257, int(got), v)
		}
	}
}
