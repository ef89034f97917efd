package picture

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestScanCounter(t *testing.T) {
	scan := []byte{0xff, markerSOS, 0, 0xff, 0, 0xff, 0xff}
	for _, c := range []struct {
		scans int
		want  error
	}{{0, nil}, {maxScans, nil}, {maxScans + 1, errScans}} {
		data := bytes.Repeat(scan, c.scans)
		for _, r := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data))} {
			_, err := io.Copy(io.Discard, &scanCounter{r: r})
			require.ErrorIs(t, err, c.want)
		}
	}
}
