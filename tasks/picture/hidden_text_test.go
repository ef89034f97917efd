package picture_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// TestNoTextSurvives hides a text where it shows nowhere, in small JPEGs whose pixels are kept as
// they are, and looks for it in what is made of them.
func TestNoTextSurvives(t *testing.T) {
	const text = "patient of room 12, born 1961-07-03, and what else 64 bytes can tell"
	jpg := encodeJPEG(t, noise(64, 48))
	table := func(number byte) []byte { return segment(0xdb, append([]byte{number}, text[:64]...)) }
	huffman := func(class byte) []byte {
		counts := make([]byte, 16)
		counts[9] = byte(len(text))
		return segment(0xc4, slices.Concat([]byte{class}, counts, []byte(text)))
	}
	end := len(jpg) - 2
	scan := bytes.Index(jpg, []byte{0xff, 0xda})
	for name, b := range map[string][]byte{
		"a quantisation table that nobody names":     withSegments(jpg, table(3)),
		"a quantisation table that comes again":      withSegments(jpg, table(0)),
		"a Huffman table that nobody names":          withSegments(jpg, huffman(0x13)),
		"a Huffman table that comes again":           withSegments(jpg, huffman(0x10)),
		"behind the last block":                      slices.Concat(jpg[:end], []byte(text), jpg[end:]),
		"between restart markers behind it":          slices.Concat(jpg[:end], []byte("\xff\xd0"+text+"\xff\xd1"), jpg[end:]),
		"a scan that comes again":                    slices.Concat(jpg[:end], jpg[scan:scan+14], []byte(text), jpg[end:]),
		"a comment behind the scan":                  slices.Concat(jpg[:end], segment(0xfe, []byte(text)), jpg[end:]),
		"behind the end":                             slices.Concat(jpg, []byte(text)),
		"a segment of no meaning":                    withSegments(jpg, segment(0xf5, []byte(text))),
		"bytes between segments":                     slices.Concat(jpg[:scan], []byte(text), jpg[scan:]),
		"a number of lines behind the scan":          slices.Concat(jpg[:end], segment(0xdc, []byte(text)), jpg[end:]),
		"the thumbnail of a JFIF header":             withSegments(jpg, segment(0xe0, []byte("JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x05\x05"+text))),
		"Adobe's segment, longer than it must be":    withSegments(jpg, segment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x01"+text))),
		"a reserved marker with something behind it": withSegments(jpg, append([]byte{0xff, 0x03}, text...)),
		"a restart interval, longer than it must be": withSegments(jpg, segment(0xdd, []byte("\x00\x00"+text))),
	} {
		t.Run(name, func(t *testing.T) {
			res, err := process(t, b, picture.Options{})
			require.NoError(t, err)
			for _, made := range [][]byte{res.Full.Data, res.Thumb.Data} {
				require.NotContains(t, string(made), text[:30])
				require.NotContains(t, string(made), text[20:50])
			}
			requirePrivate(t, res)
			if name == "a comment behind the scan" {
				require.Equal(t, []string{"Comment"}, res.Removed, "what is left out is listed wherever it stood")
			}
		})
	}
}
