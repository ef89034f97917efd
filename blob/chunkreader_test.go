package blob

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Content that ends before its size ends every read, small or large, with an error.
func TestChunkReaderOfContentCutShort(t *testing.T) {
	for _, there := range []int{0, 10, chunkBytes - 1, chunkBytes, chunkBytes + 10} {
		r := &chunkReader{content: bytes.NewReader(make([]byte, there)), size: 3 * chunkBytes, start: -1}
		for _, length := range []int{1, chunkBytes, 3 * chunkBytes} {
			off := int64(there - there%chunkBytes)
			_, err := r.ReadAt(make([]byte, length), off)
			require.Error(t, err, "%d of %d", length, there)
			_, err = r.ReadAt(make([]byte, length), 3*chunkBytes)
			require.Equal(t, io.EOF, err)
		}
	}
}
