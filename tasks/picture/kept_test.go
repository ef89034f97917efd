package picture_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// TestSmallJPEGIsKeptOrEncodedAnew keeps the pixels of a small JPEG that every reader takes, and encodes one anew,
// without a remark, that our decoder reads as it was meant and others refuse.
func TestSmallJPEGIsKeptOrEncodedAnew(t *testing.T) {
	jpg := encodeJPEG(t, quarters(64, 48))
	tables := bytes.Index(jpg, []byte{0xff, 0xc4})
	scan := bytes.Index(jpg, []byte{0xff, 0xda})
	end := tables + 2 + int(binary.BigEndian.Uint16(jpg[tables+2:]))
	// changed has another Huffman table for the DC of the first component, the first in its segment.
	changed := func(change func(table []byte) []byte) []byte {
		const first = 17 + 12
		segmentAt := tables + 4
		payload := slices.Concat(change(bytes.Clone(jpg[segmentAt:segmentAt+first])), jpg[segmentAt+first:end])
		return slices.Concat(jpg[:tables], segment(0xc4, payload), jpg[end:])
	}
	for name, c := range map[string]struct {
		data []byte
		kept bool
	}{
		"as it should be": {jpg, true},
		"a category of 16 bits in place of one that nothing uses": {changed(func(table []byte) []byte {
			table[len(table)-1] = 16
			return table
		}), false},
		"a code of ones alone": {changed(func(table []byte) []byte {
			longest := 16
			for table[longest] == 0 {
				longest--
			}
			table[longest]++
			return append(table, 0)
		}), false},
		"arithmetic conditioning of a table that cannot be": {withSegments(jpg, segment(0xcc, []byte{255, 0})), false},
		"a height that is told again":                       {slices.Concat(jpg[:scan], segment(0xdc, []byte{0, 48}), jpg[scan:]), false},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := process(t, c.data, picture.Options{})
			require.NoError(t, err)
			require.Empty(t, res.Notes)
			pixels := jpg[scan:]
			require.Equal(t, c.kept, bytes.Contains(res.Full.Data, pixels))
			requireQuarters(t, res.Full.Data, upright)
		})
	}
}
