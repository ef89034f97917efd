package font_test

import (
	"encoding/binary"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// fileOf makes a TrueType file of tables.
func fileOf(tables map[string][]byte) []byte {
	at := 12 + 16*len(tables)
	out := binary.BigEndian.AppendUint16([]byte{0, 1, 0, 0}, uint16(len(tables)))
	out = append(out, make([]byte, 6)...)
	var body []byte
	for _, tag := range slices.Sorted(maps.Keys(tables)) {
		out = append(out, tag...)
		for _, v := range []int{0, at + len(body), len(tables[tag])} {
			out = binary.BigEndian.AppendUint32(out, uint32(v))
		}
		body = append(body, tables[tag]...)
		body = append(body, make([]byte, -len(body)&3)...)
	}
	return append(out, body...)
}

func parse(t *testing.T, b []byte) *sfnt.Font {
	t.Helper()
	f, err := sfnt.Parse(b)
	require.NoError(t, err)
	return f
}

func outline(t *testing.T, f *sfnt.Font, id sfnt.GlyphIndex) sfnt.Segments {
	t.Helper()
	segments, err := f.LoadGlyph(nil, id, fixed.I(1000), nil)
	require.NoError(t, err)
	return slices.Clone(segments)
}

func whole(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("NotoSans-Regular.ttf")
	require.NoError(t, err)
	return b
}
