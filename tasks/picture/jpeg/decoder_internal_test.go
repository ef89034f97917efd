package jpeg

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
)

// lateEnd is a context that ends after it was looked at some times.
type lateEnd struct {
	context.Context
	left int
}

func (e *lateEnd) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestADecoderThatWasStoppedIsAsNew decodes a sound file with the decoder of one whose context ended
// anywhere: what that had found must not be told of the sound file.
func TestADecoderThatWasStoppedIsAsNew(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile("testdata/" + name + ".jpg")
		require.NoError(t, err)
		return data
	}
	restarts := read("420-restart")
	strays := slices.Insert(restarts, bytes.Index(restarts, []byte{0xff, 0xd0}), bytes.Repeat([]byte{0xff, 0xd7}, 100)...)
	for _, stopped := range [][]byte{strays, read("420-progressive"), read("420-approximation"), read("420-apart")} {
		for looks := 0; ; looks += 7 {
			d := new(decoder)
			err := decodeWith(d, &lateEnd{t.Context(), looks}, stopped)
			d.image = nil
			for _, name := range []string{"420-progressive", "420", "grey-restart"} {
				require.NoError(t, decodeWith(d, t.Context(), read(name)))
				require.NoError(t, d.damage.err(), "%s after %d looks", name, looks)
				require.Equal(t, decodedBy(t, new(decoder), read(name)), decodedBy(t, d, read(name)))
			}
			if !errors.Is(err, context.Canceled) {
				break
			}
		}
	}
}

func decodeWith(d *decoder, ctx context.Context, data []byte) error {
	h, err := ReadHeader(container.Memory(data))
	if err != nil {
		return err
	}
	for i := range d.coeffs {
		d.coeffs[i].release()
	}
	d.image, d.planes = nil, nil
	d.start(ctx, h, 8)
	return d.decode(data)
}

// decodedBy returns the rows of the planes. What lies behind a row is of no picture, and may be anything.
func decodedBy(t *testing.T, d *decoder, data []byte) (rows [][]byte) {
	t.Helper()
	require.NoError(t, decodeWith(d, t.Context(), data))
	for _, p := range d.image.Planes {
		for y := range p.Height {
			rows = append(rows, slices.Clone(p.Row(y)))
		}
	}
	return rows
}
